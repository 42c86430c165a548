"""Requirements for PyPI in canonical form; what could lead elsewhere than to its wheels is refused.

The text of a requirement is handed to uv in a file, whose format knows much more than PEP 508:
options, files to include, variables, addresses. Nothing of that passes here.
"""

import re
from collections.abc import Iterable
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from builder.errors import UnsupportedRequirement

_MAX_LENGTH: Final = 500
_MAX_COUNT: Final = 1000

#: What a requirement is never made of: a comment, a variable and a continued line of pip's format.
_FORBIDDEN: Final = re.compile(r"[^ -~]|[#$\\]")
_ADDRESS: Final = re.compile(
    r"://|^(?:git|hg|svn|bzr)\+|^[./~]|\.(?:whl|zip|tar\.\w+|tgz)$|/[^;]*$"
)


def canonical_pip(requirements: Iterable[str]) -> tuple[str, ...]:
    """Return requirements as :attr:`builder.spec.EnvironmentSpec.pip` has them.

    Names are normalized, requirements of one name and marker are joined, and the order in which
    they come does not matter.

    >>> canonical_pip(["Ruamel.YAML >=0.17", "requests [socks]", "ruamel_yaml<1"])
    ('requests[socks]', 'ruamel-yaml<1,>=0.17')

    Raises:
        UnsupportedRequirement: One is not a project's name with versions, extras and a marker:
            an address, a path, an option, or not a requirement at all; or there are too many.

    Source:
        PEP 508, PEP 503 (normalized names).
    """
    joined: dict[tuple[str, str], Requirement] = {}
    for count, text in enumerate(requirements, 1):
        if count > _MAX_COUNT:
            raise UnsupportedRequirement(
                f"more than {_MAX_COUNT} requirements for PyPI are asked for"
            )
        wanted = _parse(text)
        other = joined.setdefault((wanted.name, str(wanted.marker or "")), wanted)
        other.extras |= wanted.extras
        other.specifier &= wanted.specifier
    return tuple(sorted(str(wanted) for wanted in joined.values()))


def pip_requirement(name: str, conditions: Iterable[str]) -> str:
    """Return the requirement of a project in any of the versions that meet all ``conditions``.

    >>> pip_requirement("requests", [">=2", "<3"])
    'requests<3,>=2'

    Raises:
        UnsupportedRequirement: A condition or the name is none of PyPI's.
    """
    return canonical_pip([name + str(_specifier(name, ",".join(conditions)))])[0]


def _parse(text: str) -> Requirement:
    text = text.strip()
    shown = f"'{''.join(c if c.isprintable() else '?' for c in text[:80])}'"
    if text.startswith("-"):
        raise UnsupportedRequirement(
            f"{shown} is an option of pip: list the projects themselves; the index is a setting "
            f"of this server"
        )
    if _ADDRESS.search(text.partition(";")[0].strip()):
        raise _is_address(shown)
    if len(text) > _MAX_LENGTH or _FORBIDDEN.search(text):
        raise UnsupportedRequirement(f"{shown} contains what no requirement for PyPI can")
    try:
        wanted = Requirement(text)
    except (InvalidRequirement, RecursionError) as exc:
        raise UnsupportedRequirement(
            f"{shown} is not a requirement for PyPI, such as 'requests>=2': "
            f"{str(exc).splitlines()[0]}"
        ) from exc
    if wanted.url:
        raise _is_address(shown)
    wanted.name = canonicalize_name(wanted.name)
    return wanted


def _is_address(shown: str) -> UnsupportedRequirement:
    return UnsupportedRequirement(
        f"{shown} is an address: packages come as wheels from this server's index alone, so ask "
        f"for a project by its name"
    )


def _specifier(name: str, conditions: str) -> SpecifierSet:
    try:
        return SpecifierSet(conditions)
    except ValueError as exc:
        raise UnsupportedRequirement(
            f"'{conditions[:80]}' is no condition on the versions of '{name[:80]}', which are "
            f"numbered as PEP 440 says"
        ) from exc
