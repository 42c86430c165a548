"""Directories change places, so that a path is there at every moment."""

import ctypes
import errno
import os
from typing import Final

_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
#: What is said where the file system, the system or its library cannot do it.
_CANNOT: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})

_libc: Final = ctypes.CDLL(None, use_errno=True)


def rename_new(source: int, name: str, target: int, target_name: str) -> None:
    """Rename within a file system, to a name that there is not.

    Args:
        source: A descriptor of the directory that ``name`` is in.
        name: What is renamed.
        target: A descriptor of the directory where it goes.
        target_name: What it is called there.

    Raises:
        FileExistsError: There is something of that name.
        OSError: It cannot be renamed.
    """
    number = _renameat2(source, name, target, target_name, _NOREPLACE)
    if number in _CANNOT:
        if _is_there(target, target_name):
            number = errno.EEXIST
        else:
            os.rename(name, target_name, src_dir_fd=source, dst_dir_fd=target)
            return
    if number:
        raise OSError(number, os.strerror(number), target_name)


def exchange(source: int, name: str, target: int, target_name: str) -> bool:
    """Have two entries change places; tell whether the system can do that in one step.

    Raises:
        OSError: They cannot; both are as they were.
    """
    number = _renameat2(source, name, target, target_name, _EXCHANGE)
    if number in _CANNOT:
        return False
    if number:
        raise OSError(number, os.strerror(number), target_name)
    return True


def _renameat2(source: int, name: str, target: int, target_name: str, flags: int) -> int:
    """Return the number of the error, or 0."""
    call = getattr(_libc, "renameat2", None)
    if call is None:
        return errno.ENOSYS
    arguments = (source, os.fsencode(name), target, os.fsencode(target_name), flags)
    return ctypes.get_errno() if call(*arguments) else 0


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
