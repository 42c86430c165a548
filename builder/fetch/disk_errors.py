"""Which errors of a disk mean that it cannot be used now, rather than that code is wrong."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from builder.errors import StoreUnavailable

_FULL: Final = "the store is full: its administrator has to make room, and then pull again"
_READ_ONLY: Final = "the store cannot be written by this server: its administrator has to look"
_BROKEN: Final = "the store's disk does not work: its administrator has to look"

_SENTENCES: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,  # a limit of the process or of the file system on the size of files
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,  # NFS
    errno.ETIMEDOUT: _BROKEN,
    errno.ENODEV: _BROKEN,
    errno.ENXIO: _BROKEN,
}


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise what a disk cannot help as an error of the store; other errors pass.

    Raises:
        StoreUnavailable: The disk is full, read-only or broken.
    """
    try:
        yield
    except OSError as exc:
        sentence = _SENTENCES.get(exc.errno) if exc.errno is not None else None
        if sentence is None:
            raise
        raise StoreUnavailable(sentence) from exc


def used_bytes(directory: Path) -> int:
    """Return what all files below ``directory`` take on disk; takes some 2 µs each."""
    return sum(found.st_blocks * 512 for _, found in files_below(directory))


def files_below(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield files and what they are; those that vanish meanwhile are left out."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - many, and a Path costs more
            try:
                yield path, os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as above
            except FileNotFoundError:
                continue
