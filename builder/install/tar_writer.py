"""The tar of a layer, the same bytes from the same entries.

USTAR headers, with a PAX header in front only where a path, a link or a size does not fit.
Directories are written by the writer itself: each once, before what lies in it, since docker
refuses a tar that names a path twice, and gives missing directories a mode of its own.
"""

from collections.abc import Callable, Iterable
from typing import Final

from builder.install.paths import PathTree
from builder.install.tar_header import BLOCK, byte_sum
from builder.install.tar_reader import Buffer

#: The time of everything that no package dates: 2000-01-01. Not 0, since zip cannot hold that.
GENERATED_MTIME: Final = 946_684_800
#: What fits into eleven octal digits: of a time, 2242.
MAX_NUMBER: Final = 8**11 - 1
_FILE: Final = b"0"
_HARDLINK: Final = b"1"
_SYMLINK: Final = b"2"
_DIRECTORY: Final = b"5"
_EXTENDED: Final = b"x"
_OWNER: Final = b"0000000\0" * 2
#: Magic and version; no names of users and groups; no device.
_USTAR: Final = b"ustar\00000" + bytes(64 + 16)


class TarWriter:
    """Writes one layer's tar; paths are relative to the root of the image."""

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write
        self._tree = PathTree()

    def add_directory(self, path: str) -> None:
        """Write a directory and those above it, as far as they are not written.

        Raises:
            PathTaken: Something on the way is no directory.
        """
        self._directories(self._tree.add_directory(path))

    def add_file(
        self, path: str, mode: int, mtime: int, size_bytes: int, chunks: Iterable[Buffer]
    ) -> None:
        """Write a file and the directories above it.

        Args:
            path: Has been checked.
            mode: All but the permission bits is dropped.
            mtime: Whole seconds since 1970.
            size_bytes: What ``chunks`` have together.
            chunks: The body.

        Raises:
            PathTaken: The path has been written, or something above it is no directory.
        """
        self._directories(self._tree.add_leaf(path))
        self._header(path, _FILE, mode, mtime, size_bytes)
        written = 0
        for chunk in chunks:
            self._write(chunk)
            written += len(chunk)
        assert written == size_bytes, f"{path}: {written} bytes, announced {size_bytes}"
        if padding := -size_bytes % BLOCK:
            self._write(bytes(padding))

    def add_symlink(self, path: str, target: str, mtime: int) -> None:
        """Write a symlink and the directories above it; raises as :meth:`add_file`."""
        self._directories(self._tree.add_leaf(path))
        self._header(path, _SYMLINK, 0o777, mtime, link=target)

    def add_hardlink(self, path: str, target: str, mode: int, mtime: int) -> None:
        """Write a hard link to a path that has been written; raises as :meth:`add_file`."""
        self._directories(self._tree.add_leaf(path))
        self._header(path, _HARDLINK, mode, mtime, link=target)

    def finish(self) -> None:
        """Write the end of the archive: two empty blocks."""
        self._write(bytes(2 * BLOCK))

    def _directories(self, paths: list[str]) -> None:
        for path in paths:
            self._header(path + "/", _DIRECTORY, 0o755, GENERATED_MTIME)

    def _header(
        self, path: str, kind: bytes, mode: int, mtime: int, size: int = 0, link: str = ""
    ) -> None:
        name, target = path.encode(), link.encode()
        records: dict[bytes, bytes] = {}
        prefix, tail = _split(name)
        if prefix is None or not name.isascii():
            records[b"path"] = name
            prefix, tail = b"", name[:100]
        if len(target) > 100 or not target.isascii():
            records[b"linkpath"] = target
            target = target[:100]
        if size > MAX_NUMBER:
            records[b"size"] = b"%d" % size
            size = 0
        if records:
            self._extended(records)
        mtime = min(max(mtime, 0), MAX_NUMBER)
        self._write(header(tail, prefix or b"", kind, mode & 0o777, mtime, size, target))

    def _extended(self, records: dict[bytes, bytes]) -> None:
        data = b"".join(_record(key, records[key]) for key in sorted(records))
        self._write(header(b"PaxHeaders/entry", b"", _EXTENDED, 0o644, 0, len(data), b""))
        self._write(data + bytes(-len(data) % BLOCK))


def header(
    name: bytes, prefix: bytes, kind: bytes, mode: int, mtime: int, size: int, link: bytes
) -> bytes:
    """Return a USTAR header; every value fits into its field."""
    start = b"%b%07o\0%b%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, _OWNER, size, mtime)
    end = b"%b%b%b%b" % (kind, link.ljust(100, b"\0"), _USTAR, prefix.ljust(167, b"\0"))
    # Eight spaces stand for the checksum while it is computed: 8 * 32.
    return b"%b%06o\0 %b" % (start, byte_sum(start + end) + 256, end)


def _split(name: bytes) -> tuple[bytes | None, bytes]:
    """Return prefix and name as USTAR splits a long path, or ``None`` where it cannot."""
    if len(name) <= 100:
        return b"", name
    # The slash between the two is not stored; the name is as long as it can be.
    cut = name.find(b"/", len(name) - 101, 156)
    # A directory's own slash at the end is part of its name.
    if cut <= 0 or cut == len(name) - 1:
        return None, name
    return name[:cut], name[cut + 1 :]


def _record(key: bytes, value: bytes) -> bytes:
    r"""Return a PAX record, whose length counts its own digits.

    >>> _record(b"path", b"a/b")
    b'12 path=a/b\n'
    """
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
