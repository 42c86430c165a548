"""Waiting until what was written has reached the disk."""

import ctypes
import os
from pathlib import Path
from typing import Final

from builder.install.prefix.sharing import opened

_libc: Final = ctypes.CDLL(None, use_errno=True)
#: ``SYNC_FILE_RANGE_WRITE`` of Linux.
_BEGIN: Final = 2


def sync_file_system(directory: Path | int) -> None:
    """Have everything on a directory's file system reach the disk: one wait, however many files.

    What was written before is there after a loss of power; without it, a file that was renamed to
    its place may be empty then.

    Args:
        directory: A path, or what is open.

    Raises:
        OSError: The disk does not work, or has no room for what seemed to fit.
    """
    if isinstance(directory, int):
        _sync(directory)
        return
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _sync(file)
    finally:
        os.close(file)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory reach the disk.

    Raises:
        OSError: It is no directory, may not be read, or the disk does not work.
    """
    with opened(directory) as file:
        os.fsync(file)


def begin_sync(file: int) -> None:
    """Have what was written to a file begin to reach the disk; nothing is waited for, or told.

    A system writes by itself some seconds later. Who waits for all of it in the end waits less.

    Source: sync_file_range(2).
    """
    _libc.sync_file_range(file, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(_BEGIN))


def _sync(file: int) -> None:
    if _libc.syncfs(file) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
