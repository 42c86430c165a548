"""Requirements of PyPI packages, as ``pip`` sections, requests and names write them.

They are handed to uv in a file, whose format knows much more than PEP 508: options, files to
include, variables, addresses, comments. Nothing of that passes here.
"""

import re
from collections.abc import Iterable
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_MAX_LENGTH: Final = 500

#: ``packaging`` also takes names that end in ``_``, whose normalized form it does not take.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")

_SHA256 = re.compile(r"sha256:[0-9A-Fa-f]{64}")

#: What no requirement needs: comments, variables and continued lines of that format.
_FORBIDDEN = re.compile(r"[^ -~]|[#$\\]")

#: What pip takes that names no package of an index: a path, an address, or a version control one.
_ADDRESS = re.compile(
    r"[./~\\]|[a-z+]+:|[A-Za-z]:\\|.*(?:://|\.whl\Z|\.tar\.gz\Z|\.zip\Z)", re.DOTALL
)


def canonical_requirement(text: str) -> str:
    r"""Return a requirement (PEP 508) in the one form that all of the same meaning have.

    >>> canonical_requirement("Ruamel_YAML[jinja2,Libyaml] >0.17 ,<1 ; python_version<'3.13'")
    'ruamel-yaml[jinja2,libyaml]<1,>0.17; python_version < "3.13"'
    >>> canonical_requirement("-r requirements.txt")
    Traceback (most recent call last):
        ...
    ValueError: '-r requirements.txt' is an option of pip: only packages of the index can be asked for

    Raises:
        ValueError: It is not one, or asks for something else than a package of the index: an
            option of pip, an address, a path, version control. The message is a sentence.
    """  # noqa: E501 - a doctest's line is as long as its message
    shown = repr(text[:100])
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"{shown}… has {len(text)} characters, and {_MAX_LENGTH} are allowed")
    stripped = text.strip()
    if stripped.startswith("-") or " --" in stripped:
        raise ValueError(
            f"{shown} is an option of pip: only packages of the index can be asked for"
        )
    if _ADDRESS.match(stripped):
        raise ValueError(_no_address(shown))
    try:
        wanted = Requirement(stripped)
    except (InvalidRequirement, RecursionError) as exc:
        raise ValueError(f"{shown} is not a requirement such as 'requests>=2'") from exc
    if wanted.url:
        raise ValueError(_no_address(shown))
    if not all(_NAME.fullmatch(name) for name in (wanted.name, *wanted.extras)):
        raise ValueError(f"{shown} is not a requirement such as 'requests>=2'")
    if _FORBIDDEN.search(stripped):
        raise ValueError(f"{shown} has characters that no requirement such as 'requests>=2' has")
    wanted.name = canonicalize_name(wanted.name)
    wanted.extras = {canonicalize_name(extra) for extra in wanted.extras}
    return str(wanted)


def split_hashes(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a requirement and the sha256 that stand behind it, as pip and conda-lock write them.

    >>> split_hashes("six == 1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274")
    ('six == 1.17.0', ('4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274',))

    Raises:
        ValueError: One is no sha256. The message is a sentence.
    """  # noqa: E501 - a doctest's line is as long as its hash
    requirement, *options = re.split(r"\s+--hash(?:=|\s+)", text.strip())
    for option in options:
        if not _SHA256.fullmatch(option):
            raise ValueError(
                f"'--hash={option[:100]}' is not 'sha256:' and 64 hex digits, which alone is"
                " verified: write that, or take it out"
            )
    return requirement, tuple(option.removeprefix("sha256:").lower() for option in options)


def project_of(requirement: str) -> str:
    """Return the normalized name of a requirement that is in canonical form.

    >>> project_of("requests[socks]>=2")
    'requests'
    """
    return Requirement(requirement).name


def canonical_requirements(texts: Iterable[str]) -> tuple[str, ...]:
    """Return requirements as :attr:`builder.spec.EnvironmentSpec.pip` has them.

    Those of one name and marker are joined, and the order in which they come does not matter.

    >>> canonical_requirements(["ruamel.yaml>=1", "requests[socks]", "ruamel-yaml<2", "Requests"])
    ('requests[socks]', 'ruamel-yaml<2,>=1')

    Raises:
        ValueError: One is none, as :func:`canonical_requirement` says.
    """
    joined: dict[tuple[str, str], Requirement] = {}
    for text in sorted(map(canonical_requirement, texts)):
        wanted = Requirement(text)
        other = joined.setdefault((wanted.name, str(wanted.marker or "")), wanted)
        other.extras |= wanted.extras
        other.specifier &= wanted.specifier
    return tuple(sorted(str(wanted) for wanted in joined.values()))


def _no_address(shown: str) -> str:
    return f"{shown} is an address or a path: only packages of the index can be asked for"
