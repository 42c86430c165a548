"""Requirements of PyPI packages, as ``pip`` sections and requests write them."""

import re
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_MAX_LENGTH: Final = 500

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
    wanted.name = canonicalize_name(wanted.name)
    wanted.extras = {canonicalize_name(extra) for extra in wanted.extras}
    return str(wanted)


def _no_address(shown: str) -> str:
    return f"{shown} is an address or a path: only packages of the index can be asked for"
