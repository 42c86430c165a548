"""Names of repositories and tags (distribution-spec, "Pulling manifests")."""

import re
from typing import Final, NewType

from registry.errors import NameInvalid, TagInvalid

#: A well-formed name such as ``"env/python.3.12.numpy"``.
RepositoryName = NewType("RepositoryName", str)

#: A well-formed tag such as ``"latest"``.
TagName = NewType("TagName", str)

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
#: What clients accept for a name, often together with the host's.
_MAX_NAME: Final = 255


def parse_repository(text: str) -> RepositoryName:
    """Return ``text`` as a repository's name.

    >>> parse_repository("env/ruamel.yaml")
    'env/ruamel.yaml'

    Raises:
        NameInvalid: It does not follow the grammar, or is too long.
    """
    if len(text) > _MAX_NAME:
        raise NameInvalid(f"a repository's name has at most {_MAX_NAME} characters")
    if not _NAME.fullmatch(text):
        raise NameInvalid(
            f"{text!r} is not a repository's name: write lower-case letters and digits,"
            " with '.', '_', '__', '-' or '/' between them"
        )
    return RepositoryName(text)


def parse_tag(text: str) -> TagName:
    """Return ``text`` as a tag.

    >>> parse_tag("2026-11-01")
    '2026-11-01'

    Raises:
        TagInvalid: It does not follow the grammar.
    """
    if not _TAG.fullmatch(text):
        raise TagInvalid(
            f"{text[:128]!r} is not a tag: write at most 128 letters, digits, '.', '_' or '-',"
            " the first a letter, digit or '_'"
        )
    return TagName(text)
