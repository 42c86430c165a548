"""Which environments on this machine are in use, and which were not for long.

::

    builds/<key>          an environment
           <key>.lock     held by whoever makes it
           <key>.used     its time is that of the last start; every program that runs in the
                          environment has it locked, by a descriptor that it inherits
           .unmade-…      an environment that goes

The kernel forgets a lock when the last process ends that has it, however it ends.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: Begins the names of environments that go.
_UNMADE: Final = ".unmade-"
_DAY_SECONDS: Final = 86_400


def hold(prefix: Path) -> None:
    """Note that an environment is used, and have nobody remove it.

    That holds until this process has ended, and what it starts or becomes. Where nothing can be
    written, nothing can be removed either.
    """
    with suppress(OSError):
        handle = os.open(_used(prefix), os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(handle, fcntl.LOCK_SH)
        os.utime(handle)
        os.set_inheritable(handle, True)


def remove_unused(homes: Iterable[Path], days: float, say: Callable[[str], None]) -> None:
    """Remove the environments in which nothing was started for some days, but none in use.

    What is left of those that were being removed when a process was killed goes, too. What cannot
    be removed stays; nothing is raised.

    Args:
        homes: Directories with environments.
        days: How many.
        say: Tells people what is done.
    """
    before = time.time() - days * _DAY_SECONDS
    for home in homes:
        for lock in sorted(home.glob("*.lock")):
            with suppress(OSError):
                _remove_if_unused(home / lock.name.removesuffix(".lock"), before, say)


def put_aside(prefix: Path) -> None:
    """Take what is at the place of an environment away: whoever comes finds none, not half of one.

    Whoever calls holds the maker's lock, and then has :func:`remove_aside` remove it.

    Raises:
        OSError: It cannot be moved.
    """
    with suppress(FileNotFoundError):
        prefix.rename(prefix.with_name(f"{_UNMADE}{prefix.name}-{secrets.token_hex(4)}"))


def remove_aside(prefix: Path) -> None:
    """Remove what was put aside, also by processes that were killed."""
    for path in prefix.parent.glob(f"{_UNMADE}{prefix.name}-*"):
        shutil.rmtree(path, ignore_errors=True)


def _remove_if_unused(prefix: Path, before: float, say: Callable[[str], None]) -> None:
    if _last_used(prefix) > before:
        return
    used, lock = _used(prefix), prefix.with_name(f"{prefix.name}.lock")
    # What was made before uses were noted gets its file by being locked.
    is_noted = used.exists()
    with _alone(used) as is_idle, _alone(lock) as is_made:
        # Asked again: by now somebody may have used it, and be gone.
        if not (is_idle and is_made) or (is_noted and _last_used(prefix) > before):
            return
        if prefix.exists():
            say("removing environments that are not used any more")
            put_aside(prefix)
        remove_aside(prefix)


def _last_used(prefix: Path) -> float:
    """Return when something was started there last, or when it was made."""
    for path in (_used(prefix), prefix):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Give whether nobody else has a file locked; if so, nobody gets the lock for the block."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _used(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.used")
