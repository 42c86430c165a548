"""What a source can be like: its name, the address of a repository, a folder in it."""

import re
from typing import Final
from urllib.parse import urlsplit

from registry.catalog.lookup import searchable
from registry.catalog.source_patterns import parse_patterns
from registry.catalog.source_records import NewSource, SourceKind
from registry.errors import SourceInvalid

_MAX_NAME: Final = 100
_MAX_LOCATION: Final = 2000
#: What git itself refuses in the name of a branch, and what would be an option of its.
_BRANCH: Final = re.compile(
    r"(?![-/.])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)))[^\x00-\x20~^:?*\[\\\x7f]{1,200}"
)
_SCHEMES: Final = frozenset({"https", "file"})


def checked_source(wanted: NewSource) -> NewSource:
    """Return what a source can be made of.

    Raises:
        SourceInvalid: None can be like that; the sentence says what to write instead.
    """
    _require_line("name", wanted.name, _MAX_NAME)
    if wanted.location or wanted.kind != "remote":
        _require_line("location", wanted.location, _MAX_LOCATION)
    if wanted.kind == "directory" and not wanted.location.startswith("/"):
        raise SourceInvalid(
            "the location of a directory is its whole path on the server, which begins with '/'"
        )
    if wanted.kind == "git":
        _require_repository(wanted.location)
    elif wanted.branch or wanted.folder:
        raise SourceInvalid("'branch' and 'folder' are for sources of the kind 'git'")
    if wanted.branch and not _BRANCH.fullmatch(wanted.branch):
        raise SourceInvalid(f"'{wanted.branch[:100]}' cannot be the name of a branch")
    if wanted.folder:
        _require_folder(wanted.folder)
    if wanted.patterns is not None:
        parse_patterns(wanted.patterns, has_namespace=wanted.namespace is not None)
    return wanted


def is_trusted_location(wanted: NewSource) -> bool:
    """Tell whether only whoever runs the servers may have them look there.

    >>> is_trusted_location(NewSource("a", "git", "https://git.example.org/a.git", "team"))
    False
    >>> is_trusted_location(NewSource("a", "directory", "/etc", "team"))
    True
    """
    return wanted.namespace is None or is_of_server(wanted.kind, wanted.location)


def is_of_server(kind: SourceKind, location: str) -> bool:
    """Tell whether a location is a path of a server, which its admins alone are told.

    >>> is_of_server("git", "file:///srv/a.git"), is_of_server("remote", "/home/ada/envs")
    (True, False)
    """
    if kind == "git":
        return location.lower().lstrip().startswith("file:")
    return kind == "directory"


def _require_repository(location: str) -> None:
    try:
        parts = urlsplit(location)
        _ = parts.port
    except ValueError as exc:
        raise SourceInvalid(f"'{location[:100]}' is not the address of a repository") from exc
    if parts.scheme not in _SCHEMES:
        raise SourceInvalid(
            "the address of a repository is https://HOST/PATH, or file:///PATH where an"
            " administrator makes the source; other ways to fetch are not offered"
        )
    if parts.scheme != "file" and not parts.hostname:
        raise SourceInvalid("the address of a repository names no host: write https://HOST/PATH")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise SourceInvalid("a repository of the server itself is file:///PATH")
    if "@" in parts.netloc:
        raise SourceInvalid(
            "the address of a repository holds credentials, which would be shown: take them out;"
            " the administrator writes them into the file of PULLFORGE_CHANNEL_CREDENTIALS"
        )
    if parts.query or parts.fragment:
        raise SourceInvalid("the address of a repository has no query and no fragment")


def _require_folder(folder: str) -> None:
    _require_line("folder", folder, _MAX_LOCATION)
    if any(part in {"", ".", ".."} for part in folder.split("/")):
        raise SourceInvalid(
            "the folder of a repository is written from its top, as 'environments/team': without"
            " '..', and without '/' at its ends"
        )


def _require_line(what: str, text: str, most: int) -> None:
    if (
        not text.strip()
        or len(text) > most
        or searchable(text) != text
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in text)
    ):
        raise SourceInvalid(f"the {what} of a source is one line of 1 to {most} characters")
