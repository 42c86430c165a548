"""Runs a program of this machine to its end."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

#: Are not on everybody's path.
ADMINISTRATORS: Final = ("/usr/sbin", "/sbin")
_MAX_SAID: Final = 64 * 1024
#: For what has nothing to do that grows.
_SECONDS: Final = 120.0
#: How long one that is killed is waited for: the kernel may keep it, for a disk that is away.
_END_SECONDS: Final = 10.0


class ProgramMissing(Exception):
    """This machine has no such program."""


class ProgramFailed(Exception):
    """A program ended with an error; the text is what it said last."""


async def run_program(arguments: Sequence[str], seconds: float = _SECONDS) -> None:
    """Return when a program has ended well.

    It says what it has to say in English, whatever the locale is, and it knows nothing else of this
    process. May be cancelled: the program is gone then.

    Args:
        arguments: The program and what it is given.
        seconds: How long it may take.

    Raises:
        ProgramFailed: It failed, or took too long.
        ProgramMissing: This machine has no such program.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *ADMINISTRATORS])
    if shutil.which(arguments[0], path=path) is None:
        raise ProgramMissing
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={"PATH": path, "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(seconds):
            while piece := await process.stderr.read(_MAX_SAID):
                said = (said + piece)[-_MAX_SAID:]
            status = await process.wait()
    except (asyncio.CancelledError, TimeoutError) as exc:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        if isinstance(exc, TimeoutError):
            raise ProgramFailed(f"it has not ended within {seconds:.0f} s") from exc
        raise
    if status != 0:
        raise ProgramFailed(said.decode(errors="replace").strip())
