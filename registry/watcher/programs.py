"""Runs a program to its end, within limits; nothing of it is left."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PIECE: Final = 256 * 1024
_MAX_SAID_BYTES: Final = 64 * 1024
#: Sets limits for the program and all that it starts, and becomes it: the first argument is the
#: largest file in blocks of 512 bytes, the second the memory in KiB.
_LIMITED: Final = 'ulimit -c 0; ulimit -f "$1"; ulimit -v "$2"; shift 2; exec "$@"'


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may take."""

    seconds: float
    #: The most that it may say.
    output_bytes: int
    #: The largest file that it may write.
    file_bytes: int = 1024**3
    memory_bytes: int = 4 * 1024**3


class ProgramFailed(Exception):
    """A program ended with an error, or took more than it may; the text is what it said."""

    #: Which limit ended it; empty: none.
    limit: str

    def __init__(self, said: str, limit: str = "") -> None:
        self.limit = limit
        super().__init__(said)


async def run_program(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    limits: Limits,
    given: bytes = b"",
) -> bytes:
    """Return the output of a program.

    May be cancelled: the program, and all that it has started, is gone then.

    Args:
        arguments: The program and what it is given.
        environment: All variables that it has.
        directory: Where it runs.
        limits: What it may take.
        given: Its standard input.

    Raises:
        ProgramFailed: It failed, or took too much.
        OSError: It cannot be started.
    """
    blocks, memory = str(limits.file_bytes // 512), str(limits.memory_bytes // 1024)
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", _LIMITED, "sh", blocks, memory, *arguments),
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    talking = asyncio.gather(
        _write(process.stdin, given),
        _read(process.stdout, limits.output_bytes),
        _said(process.stderr),
    )
    try:
        _, out, said = await asyncio.wait_for(talking, limits.seconds)
        await process.wait()
    except TimeoutError as exc:
        raise ProgramFailed("", "time") from exc
    finally:
        # Whatever it has started is in its group, also when it has ended itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    text = said.decode(errors="replace")
    if process.returncode in {-signal.SIGXFSZ, 128 + signal.SIGXFSZ} or "File too large" in text:
        raise ProgramFailed(text, "size")
    if process.returncode != 0:
        raise ProgramFailed(text)
    return out


async def _write(stream: asyncio.StreamWriter, data: bytes) -> None:
    # uvloop refuses to write to a program that has ended already.
    if stream.is_closing():
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    found = bytearray()
    while piece := await stream.read(_PIECE):
        found += piece
        if len(found) > most:
            raise ProgramFailed("", "output")
    return bytes(found)


async def _said(stream: asyncio.StreamReader) -> bytes:
    """Return the end of what a program says beside its output."""
    found = b""
    while piece := await stream.read(_PIECE):
        found = (found + piece)[-_MAX_SAID_BYTES:]
    return found
