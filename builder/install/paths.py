"""Which paths may be written, and that each is written once."""

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Of one name, on every file system that images are unpacked to.
_MAX_NAME_BYTES: Final = 255
#: Linux takes no more than 4096 with the prefix in front.
_MAX_PATH_BYTES: Final = 4000
#: Of the paths of all directories of one tree: above one path of 4000 bytes there may be 2000, with
#: 4 MB of paths. The largest environments have 10 million.
MAX_DIRECTORY_CHARACTERS: Final = 128 * 1024 * 1024


def path_fault(path: str) -> str | None:
    """Return why ``path`` may not be installed, in words that follow the path, else ``None``.

    >>> path_fault("lib/libz.so.1")
    >>> path_fault("lib/../../etc/passwd")
    'leaves the prefix'
    >>> path_fault("/etc/passwd")
    'is absolute'
    """
    # Every path of a package comes by here twice: searching for strings is ten times as fast as
    # one regular expression that says the same.
    closed = f"/{path}/"
    if "//" in closed or "/./" in closed or "/../" in closed:
        if path.startswith("/"):
            return "is absolute"
        return "leaves the prefix" if "/../" in closed else "has an empty segment"
    if has_control_characters(path):
        return "has control characters"
    if not is_unicode(path):
        return "is not Unicode"
    if len(path) > (_MAX_NAME_BYTES if path.isascii() else _MAX_NAME_BYTES // 4):
        return _length_fault(path.encode())
    return None


def _length_fault(path: bytes) -> str | None:
    if len(path) > _MAX_PATH_BYTES:
        return "is too long"
    longest = max(map(len, path.split(b"/")))
    return "has a name that is too long" if longest > _MAX_NAME_BYTES else None


def plain_path(path: str) -> str:
    """Return ``path`` without the segments that mean nothing; an absolute one stays so.

    >>> plain_path("./lib//./libz.so")
    'lib/libz.so'
    """
    if "//" not in path and "./" not in path and not path.endswith(("/", "/.")):
        return path
    root = "/" if path.startswith("/") else ""
    return root + "/".join(part for part in path.split("/") if part not in ("", "."))


def has_control_characters(text: str) -> bool:
    r"""Tell whether ``text`` would break out of one line, or hide part of it.

    >>> has_control_characters("a\nb")
    True
    """
    return not text.isprintable() and _CONTROL.search(text) is not None


def is_unicode(text: str) -> bool:
    r"""Tell whether ``text`` can be written as UTF-8.

    >>> is_unicode("caf\udce9")
    False
    """
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class PathTaken(Exception):
    """A path cannot be written where another entry is; the text follows the path."""

    def __init__(self, path: str, fault: str) -> None:
        self.path = path
        self.fault = fault
        super().__init__(f"{path} {fault}")


class PathTree:
    """The paths of one tree, so that no path is written twice, or below a file or a symlink."""

    def __init__(self) -> None:
        self._leaves: set[str] = set()
        self._directories: set[str] = set()
        self._characters = 0

    def has_leaf(self, path: str) -> bool:
        """Tell whether a file or link has been noted at exactly that path."""
        return path in self._leaves

    def add_leaf(self, path: str) -> list[str]:
        """Note a file or link; return the directories above it that are new, outermost first.

        Raises:
            PathTaken: The path is there already, or something above it is no directory.
        """
        if path in self._leaves:
            raise PathTaken(path, "is there twice")
        if path in self._directories:
            raise PathTaken(path, "is a directory as well")
        parent = path.rpartition("/")[0]
        # Nearly every file lies beside the one before it: one look-up is all that it costs.
        new = [] if parent in self._directories or not parent else self.add_directory(parent)
        self._leaves.add(path)
        return new

    def add_directory(self, path: str) -> list[str]:
        """Note a directory, which may be there; return it and those above it that are new.

        Raises:
            PathTaken: Something on the way is no directory, or there are too many.
        """
        new: list[str] = []
        while path and path not in self._directories:
            if path in self._leaves:
                raise PathTaken(path, "is a file or symlink with other paths below it")
            new.append(path)
            path = path.rpartition("/")[0]
        self._characters += sum(map(len, new))
        if self._characters > MAX_DIRECTORY_CHARACTERS:
            raise PathTaken(new[0], "is below more directories than are allowed")
        new.reverse()
        self._directories.update(new)
        return new
