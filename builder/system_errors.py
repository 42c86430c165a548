"""Which errors mean that the store or this machine cannot be used now, not that code is wrong.

Here alone errors of the system are judged. Whoever uses the store's disk does so within
:func:`disk_errors`; whoever answers for a whole piece of work, within :func:`machine_errors`.
"""

import errno
import re
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from builder.errors import (
    BaseImageUnavailable,
    BuilderError,
    ChannelUnavailable,
    IndexUnavailable,
    MachineUnavailable,
    PackageUnavailable,
    SandboxUnavailable,
    StoreUnavailable,
    WorkerLost,
)

_FULL: Final = "the store is full: its administrator has to make room, and then pull again"
_READ_ONLY: Final = "the store cannot be written by this server: its administrator has to look"
_BROKEN: Final = "the store's disk does not work: its administrator has to look"
_GONE: Final = (
    "the store's directory, or one that this server works in, is not there: its administrator has"
    " to put it back"
)
_FILES: Final = (
    "this server has as many files and connections open as it may: try again in a moment; if it"
    " lasts, its administrator has to allow more"
)
_MEMORY: Final = (
    "this server has no memory left for this: try again in a moment; if it lasts, its"
    " administrator has to give it more"
)
_PROCESSES: Final = (
    "this server may start no more threads and processes: try again in a moment; if it lasts, its"
    " administrator has to allow more"
)

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
_MACHINE: Final = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _PROCESSES,  # of fork; what does not block is asked where it is used
}
#: What a connection fails with as well: where nobody has said that a disk is used, these may be of
#: others.
_AMBIGUOUS: Final = frozenset({errno.EPERM, errno.ETIMEDOUT, errno.EAGAIN})
#: Errors that blame somebody else, who is innocent if this machine is the cause.
_BLAMING: Final = (
    BaseImageUnavailable,
    ChannelUnavailable,
    IndexUnavailable,
    PackageUnavailable,
    SandboxUnavailable,
    WorkerLost,
)
#: How programs in Rust (rattler, uv) write an error of the system.
_RUST: Final = re.compile(r"\(os error ([0-9]{1,3})\)")


def missing_store() -> StoreUnavailable:
    """Return the error for a store whose directory is not there."""
    return StoreUnavailable(_GONE)


def judged(error: BaseException) -> BuilderError | None:
    """Return what an error means if the store or this machine is its cause, else ``None``.

    >>> str(judged(OSError(errno.EMFILE, "Too many open files")))[:60]
    'this server has as many files and connections open as it may'
    >>> judged(OSError(errno.ECONNREFUSED, "Connection refused"))
    """
    if isinstance(error, BrokenProcessPool):
        return WorkerLost("a process that was at this died, perhaps for lack of memory; try again")
    number = _number(error)
    if number in _MACHINE:
        return MachineUnavailable(_MACHINE[number])
    return StoreUnavailable(_SENTENCES[number]) if number in _SENTENCES else None


def _number(error: BaseException) -> int:
    """Return the number of an error of the system, 0 if it is none."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return errno.EAGAIN
    return (error.errno or 0) if isinstance(error, OSError) else 0


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise what a disk cannot help as an error of the store or this machine; others pass.

    Raises:
        StoreUnavailable: The disk is full, read-only or broken.
        MachineUnavailable: This machine has no files, memory or processes left.
    """
    try:
        yield
    except (OSError, MemoryError) as exc:
        meant = judged(exc)
        if meant is None:
            raise
        raise meant from exc


@contextmanager
def machine_errors() -> Iterator[None]:
    """Raise errors with the true cause, around a whole piece of work.

    An error of the system that nobody has foreseen becomes one of the store or this machine, and
    so does one that blames a channel for what this machine lacks.

    Raises:
        StoreUnavailable: The store cannot be used.
        MachineUnavailable: This machine has no files, memory or processes left.
    """
    try:
        yield
    except _BLAMING as exc:
        meant = _true_cause(exc)
        if meant is None:
            raise
        raise meant from exc
    except BuilderError:
        raise
    except Exception as exc:
        is_lost = isinstance(exc, OSError) and _lacks_directory(exc)
        meant = missing_store() if is_lost else judged(exc)
        if meant is None:
            raise
        raise meant from exc


def _true_cause(error: BaseException) -> BuilderError | None:
    """Return what has led to an error if that is of this machine."""
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno not in _AMBIGUOUS:
            meant = judged(cause)
        else:
            meant = _judged_text(str(cause))
        if meant is not None:
            return meant
        cause = cause.__cause__ or cause.__context__
    return None


def _judged_text(text: str) -> BuilderError | None:
    for number in map(int, _RUST.findall(text)):
        if number not in _AMBIGUOUS and number != errno.ENOENT:
            meant = judged(OSError(number, ""))
            if meant is not None:
                return meant
    return None


def _lacks_directory(error: OSError) -> bool:
    """Tell whether a path cannot be made or found since the directory it is in is not there."""
    if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
        return False
    if not isinstance(error.filename, str):
        return "temporary directory" in (error.strerror or "")  # as tempfile has it
    try:
        return not Path(error.filename).parent.is_dir()
    except OSError:
        return True
