"""The process in which rattler downloads, unpacks, parses and solves, within limits.

rattler has none of its own: what a channel sends is unpacked to disk and parsed to its end. So all
of that is done in a process that has limits of the kernel, and may die of them::

    RLIMIT_FSIZE   one file; rattler gets an error, and the process goes on
    RLIMIT_DATA    memory; an allocation in Rust that fails ends the process
    a watch        what the cache takes on disk; too much ends the process

It speaks in pickles, each after its length in eight bytes: questions come in by standard input,
answers go out by standard output. It ends with its standard input, that is, with its parent.
"""

import asyncio
import os
import pickle
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from builder.concurrency.priority import NICENESS
from builder.errors import BuilderError, ChannelUnavailable, SolveError
from builder.fetch.channel_credentials import ChannelCredentials
from builder.network.index_limits import IndexLimits, used_bytes
from builder.solve.cache import hold_cache, sweep_cache
from builder.solve.repodata import Repodata
from builder.spec import Channel, EnvironmentSpec

#: How the process ends where a limit is seen by itself.
OUT_OF_MEMORY: Final = 64
OUT_OF_CACHE: Final = 65
LENGTH: Final = struct.Struct(">Q")

_WATCH_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Setup:
    """What the process is told first."""

    cache_dir: Path
    limits: IndexLimits
    network_timeout_seconds: float
    ttl_seconds: float
    max_retries: int
    credentials: ChannelCredentials


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to be carried out: a function of :mod:`builder.solve.questions`."""

    number: int
    ask: Callable[..., Awaitable[Any]]
    arguments: tuple[Any, ...]
    #: By the clock of whoever asks.
    now: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tells the process that a question was cancelled."""

    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer or exception of a question."""

    number: int
    result: Any = None
    error: BaseException | None = None


def main() -> None:
    """Answer questions until standard input ends."""
    questions, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)  # whatever prints shall not be taken for an answer
    os.nice(NICENESS)
    setup: Setup = pickle.loads(_read(questions.read))  # noqa: S301 - of this server
    held = hold_cache(setup.cache_dir)
    setup.limits.hold()
    try:
        asyncio.run(_serve(setup, questions, answers))
    except Exception as exc:  # noqa: BLE001 - whatever it is, the process ends by it
        if _is_out_of_memory(exc):
            os._exit(OUT_OF_MEMORY)
    finally:
        os.close(held)
        os._exit(0)  # rattler's threads may crash a process that ends in order


async def _serve(setup: Setup, questions: Any, answers: Any) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), questions)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, answers)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    now = [0.0]
    repodata = Repodata(
        setup.cache_dir,
        network_timeout_seconds=setup.network_timeout_seconds,
        ttl_seconds=setup.ttl_seconds,
        max_retries=setup.max_retries,
        credentials=setup.credentials,
        clock=lambda: now[0],
    )
    tasks: dict[int, asyncio.Task[None]] = {}
    _Watch(setup, tasks).start()

    async def carry_out(question: Question) -> None:
        try:
            answer = Answer(question.number, await question.ask(repodata, *question.arguments))
            data = pickle.dumps(answer)
            if len(data) > setup.limits.answer_bytes:
                data = pickle.dumps(Answer(question.number, error=_too_long(question, setup)))
        except BuilderError as exc:
            data = pickle.dumps(Answer(question.number, error=exc))
        except Exception as exc:  # noqa: BLE001 - it is the other process that fails by it
            if _is_out_of_memory(exc):
                os._exit(OUT_OF_MEMORY)
            error = RuntimeError(f"{type(exc).__name__}: {exc}")
            data = pickle.dumps(Answer(question.number, error=error))
        finally:
            tasks.pop(question.number, None)
        writer.write(LENGTH.pack(len(data)) + data)

    while True:
        try:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            message = pickle.loads(await reader.readexactly(length))  # noqa: S301 - of this server
        except asyncio.IncompleteReadError:
            os._exit(0)
        if isinstance(message, Question):
            now[0] = max(now[0], message.now)
            tasks[message.number] = asyncio.create_task(carry_out(message))
        elif message.number in tasks:
            tasks[message.number].cancel()


class _Watch(threading.Thread):
    """Keeps the cache within its limit: gives up what is being done, or empties it."""

    def __init__(self, setup: Setup, under_way: dict[int, asyncio.Task[None]]) -> None:
        super().__init__(daemon=True)
        self._setup = setup
        self._under_way = under_way

    def run(self) -> None:
        """Look every half second while something is done, or less often if looking takes long."""
        directory, limits = self._setup.cache_dir, self._setup.limits
        pause_seconds, was_busy = _WATCH_SECONDS, False
        while True:
            time.sleep(pause_seconds)
            is_busy = bool(self._under_way)
            if is_busy or was_busy:
                started = time.monotonic()
                if used_bytes(directory) > limits.cache_bytes:
                    if self._under_way:
                        os._exit(OUT_OF_CACHE)
                    sweep_cache(directory, limits)
                pause_seconds = max(_WATCH_SECONDS, 10 * (time.monotonic() - started))
            was_busy = is_busy


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory was at its end; the stack of a new thread is of it, too."""
    return isinstance(error, MemoryError) or "can't start new thread" in str(error)


def _too_long(question: Question, setup: Setup) -> SolveError:
    first = question.arguments[0]
    channels = first.channels if isinstance(first, EnvironmentSpec) else (first,)
    names = " and ".join(c.told for c in channels if isinstance(c, Channel))
    return ChannelUnavailable(
        f"channel {names} cannot be used: it says more of its packages than the"
        f" {setup.limits.answer_bytes} bytes that this server takes at once"
    )


def _read(read: Callable[[int], bytes]) -> bytes:
    """Return one message; ``read`` may return less than it is asked for."""

    def exactly(size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = read(size - len(found))
            if not piece:
                os._exit(0)
            found += piece
        return found

    (length,) = LENGTH.unpack(exactly(LENGTH.size))
    return exactly(length)
