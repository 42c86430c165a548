"""Files that are a prefix's own: those that say where it is, and those that say what it is.

Where files are shared by reflinks, a binary shares what the prefix does not change in it: it is a
reflink of the part, over which only what differs is written.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from builder.install.package_info import Relocation
from builder.install.prefix.rendering import render
from builder.install.prefix.sharing import reflink, write_all
from builder.install.prefix.shebang import has_shebang, replace_shebang
from builder.install.prefix.unpacked import PrefixedFile
from builder.install.relocate import relocate

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_PIECE_BYTES: Final = 1024 * 1024
#: What is written over a reflink at once, if anything in it differs.
_CHANGE_BYTES: Final = 16 * 1024


@dataclass
class PrefixWriter:
    """Writes files into one prefix, whose directories are there."""

    #: The directory of the prefix, open.
    target: int
    #: What the files say where they are.
    prefix: str
    #: Who owns them; -1: whoever writes them.
    uid: int = -1
    gid: int = -1
    files: int = field(default=0, init=False)
    #: What they take that nothing else has.
    bytes_written: int = field(default=0, init=False)

    def write_prefixed(
        self, parts: int, files: Iterable[PrefixedFile], *, by_reflink: bool
    ) -> None:
        """Write what one package has with a prefix.

        Args:
            parts: The directory of their contents, open.
            files: In the order of the package: templates name hashes of what is before them.
            by_reflink: Whether to try to share what stays the same.

        Raises:
            ValueError: Something is no template.
            OSError: The file system has refused.
        """
        written: dict[str, tuple[bytes, int]] = {}
        for file in files:
            with _opened(parts, file.part) as part:
                content: Iterable[bytes]
                if file.placeholder:
                    content = _relocated(_read(part), file, self.prefix)
                else:
                    content = [render(b"".join(_read(part)), written)]
                is_patched = by_reflink and file.file_mode == "binary"
                written[file.path] = self.write(
                    file.path, content, file.mode, file.mtime, part if is_patched else None
                )

    def write(
        self,
        path: str,
        content: Iterable[bytes],
        mode: int,
        mtime: int,
        original: int | None = None,
    ) -> tuple[bytes, int]:
        """Write a file that is not there, and return its sha256 and its size.

        Args:
            path: Relative to the prefix.
            content: In pieces.
            mode: Permissions, whatever the umask of the process.
            mtime: Seconds since 1970.
            original: A file of the same size with much of the content, open.
        """
        digest, size_bytes = hashlib.sha256(), 0
        file = os.open(path.encode(), _WRITE, 0o600, dir_fd=self.target)
        try:
            if original is not None and not reflink(original, file):
                original = None
            for piece in content:
                digest.update(piece)
                if original is None:
                    write_all(file, piece)
                    self.bytes_written += len(piece)
                else:
                    self.bytes_written += _write_changes(file, original, size_bytes, piece)
                size_bytes += len(piece)
            if (self.uid, self.gid) != (-1, -1):
                os.fchown(file, self.uid, self.gid)
            os.fchmod(file, mode)
            os.utime(file, (mtime, mtime))
        finally:
            os.close(file)
        self.files += 1
        return digest.digest(), size_bytes


def _relocated(content: Iterable[bytes], file: PrefixedFile, prefix: str) -> Iterator[bytes]:
    """Yield the content of a part with its placeholder replaced."""
    relocation = Relocation(file.placeholder.encode(), file.file_mode)
    pieces = iter(content)
    first = next(pieces, b"")
    # A line that goes on in the next piece is none that a kernel would read.
    is_whole = len(first) < _PIECE_BYTES or b"\n" in first
    if file.file_mode == "text" and is_whole and has_shebang(first):
        line, newline, first = first.partition(b"\n")
        yield replace_shebang(line, relocation.placeholder, prefix.encode()) + newline
    yield from relocate(itertools.chain((first,), pieces), relocation, prefix.encode())


def _write_changes(file: int, original: int, offset: int, piece: bytes) -> int:
    """Write what of a piece the original has not at its place; return how much that is."""
    if os.pread(original, len(piece), offset) == piece:
        return 0
    written = 0
    for start in range(0, len(piece), _CHANGE_BYTES):
        part = piece[start : start + _CHANGE_BYTES]
        if os.pread(original, len(part), offset + start) != part:
            os.lseek(file, offset + start, os.SEEK_SET)
            write_all(file, part)
            written += len(part)
    return written


def _read(part: int) -> Iterator[bytes]:
    while piece := os.read(part, _PIECE_BYTES):
        yield piece


@contextmanager
def _opened(parts: int, number: int) -> Iterator[int]:
    part = os.open(str(number), _READ, dir_fd=parts)
    try:
        yield part
    finally:
        os.close(part)
