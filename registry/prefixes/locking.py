"""The lock of a root: one process at a time changes it, or several that only add to it."""

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from registry.errors import RootUnusable

_LOOK_SECONDS: Final = 0.05


async def acquire(
    root: Path,
    file: Path,
    mode: int,
    wait_seconds: float,
    say: Callable[[str], None] | None,
    *,
    shared: bool,
) -> int:
    """Return a descriptor that holds the lock until it is closed, or the process has ended.

    Args:
        root: What is locked, for people.
        file: What is locked, in fact; is made.
        mode: Of the file.
        wait_seconds: How long to wait for others.
        say: Is told who is waited for, once.
        shared: Others may have it, too, who only add to the root.

    Raises:
        RootUnusable: Another process has it all the time, or there are no locks.
        OSError: The file cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file, flags, mode)
    try:
        await _wait(descriptor, root, wait_seconds, say, shared=shared)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


async def _wait(
    descriptor: int,
    root: Path,
    wait_seconds: float,
    say: Callable[[str], None] | None,
    *,
    shared: bool,
) -> None:
    end = time.monotonic() + wait_seconds
    is_told = False
    while not _try_lock(descriptor, root, shared=shared):
        holder = _holder(descriptor)
        if time.monotonic() >= end:
            raise RootUnusable(f"{root} is being changed by {holder}: wait until it has ended")
        if say is not None and not is_told:
            say(f"waiting for {holder}, which is changing {root}")
        is_told = True
        await asyncio.sleep(_LOOK_SECONDS)


def _try_lock(descriptor: int, root: Path, *, shared: bool) -> bool:
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise RootUnusable(
            f"the file system of {root} has no locks ({exc.strerror}): use another one"
        ) from exc
    if not shared:
        who = json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode()
        with suppress(OSError):  # no room: others are told less
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, who, 0)
    return True


def _holder(descriptor: int) -> str:
    try:
        who = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(who['process'])} on {str(who['host'])[:100]}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
