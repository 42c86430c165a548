"""What errors of the system mean for a root, in sentences."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from builder.errors import DomainError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
#: So many are called by their names.
_MAX_NAMES: Final = 3
#: Nothing in the root can be written.
_CLOSED: Final = frozenset({errno.EROFS, errno.EIO, errno.ESTALE})


def is_full(error: BaseException) -> bool:
    """Tell whether something failed as there is no room, in whatever the error was wrapped.

    >>> is_full(OSError(errno.ENOSPC, "No space left on device")), is_full(ValueError())
    (True, False)
    """
    return _number_in(error, _FULL)


def is_closed(error: BaseException) -> bool:
    """Tell whether something failed as the file system of the root cannot be written at all."""
    return _number_in(error, _CLOSED)


def _number_in(error: BaseException | None, numbers: frozenset[int]) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in numbers:
            return True
        error = error.__cause__ or error.__context__
    return False


def no_room(root: Path, not_made: Sequence[str]) -> str:
    """Return the sentence for a root that is full.

    Args:
        root: Which.
        not_made: What versions are called for which there was none.
    """
    left = ""
    try:
        stat = os.statvfs(root)
    except OSError:
        pass
    else:
        inodes = f" and {stat.f_favail} inodes" if stat.f_files else ""
        left = f" ({stat.f_bavail * stat.f_frsize // 1024} KiB{inodes} are free)"
    names = ", ".join(not_made[:_MAX_NAMES])
    more = f" and {len(not_made) - _MAX_NAMES} more" if len(not_made) > _MAX_NAMES else ""
    lacking = f" for {names}{more}" if names else ""
    return (
        f"{root} has no room left{lacking}{left}: all that was there is as it was; make room, or"
        " keep fewer versions or environments"
    )


def told(error: BaseException) -> str:
    """Return an error as one sentence for people."""
    if isinstance(error, DomainError):
        return error.message
    if isinstance(error, TimeoutError) and error.errno is None:
        return "it has not ended in time"
    if isinstance(error, OSError):
        name = error.filename2 or error.filename
        where = os.fsdecode(name) if isinstance(name, str | bytes) else "a file"
        return f"{where} cannot be made, read or moved: {error.strerror or error}"
    return " ".join(f"{type(error).__name__}: {error}".split())
