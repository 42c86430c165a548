"""The server's end of the processes that read indexes: starts, asks and replaces them.

::

    question ──→ shared: many at once ──→ answer
                   │ died
                   └──→ apart: one at a time, in a new process if it dies ──→ answer
                          │ died with this one alone
                          └──→ the channel is to blame, and is asked apart for a while

So a channel whose index is too much for a process ends the questions of others once, who get their
answers from the second process, and never again while it stays as it is.
"""

import asyncio
import itertools
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Concatenate, Final, ParamSpec, TypeVar

from builder.errors import ChannelUnavailable
from builder.network.index_limits import CACHE_SETTING, MEMORY_SETTING
from builder.solve.cache import sweep_cache
from builder.solve.child import (
    LENGTH,
    OUT_OF_CACHE,
    OUT_OF_MEMORY,
    Answer,
    Cancel,
    Question,
    Setup,
)
from builder.solve.questions import forget
from builder.solve.repodata import RETRY_SECONDS, Repodata
from builder.spec import Channel

P = ParamSpec("P")
Result = TypeVar("Result")

#: How long a channel is asked apart after it was too much for a process.
_APART_SECONDS: Final = 600.0
#: Instead of the status of a process that was ended because it did not answer.
_HANGS: Final = 256


class _Lost(Exception):
    """The process ended before it answered."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class IndexProcesses:
    """Two processes that answer questions about channels; to be used in one event loop."""

    def __init__(
        self,
        setup: Setup,
        clock: Callable[[], float],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Make them; each starts when it is needed first.

        Args:
            setup: What they are told.
            clock: Tells the seconds that times-to-live are measured by.
            environment: Their variables; ``None``: those of this process.
        """
        self._setup = setup
        self._clock = clock
        self._shared = _Process(setup, environment)
        self._apart = _Process(setup, environment)
        self._one_at_a_time = asyncio.Lock()
        #: Until when channels, by their addresses, are asked apart.
        self._apart_until: dict[tuple[str, ...], float] = {}
        #: Until when questions are not asked again, and what is answered instead.
        self._refused: dict[bytes, tuple[float, str]] = {}

    async def ask(
        self,
        channels: Sequence[Channel],
        seconds: float,
        ask: Callable[Concatenate[Repodata, P], Awaitable[Result]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return what a function of :mod:`builder.solve.questions` answers.

        Args:
            channels: The channels that it concerns.
            seconds: After how long its process is taken to hang.
            ask: The function.
            args: What it gets besides the indexes; by position.
            kwargs: Nothing.

        Raises:
            ChannelUnavailable: The index of a channel is too much for a process.
            Exception: Whatever the function raises.
        """
        assert not kwargs, "arguments are positional"
        asked = pickle.dumps((ask, args))
        urls = tuple(channel.url for channel in channels)
        now = self._clock()
        self._refuse_again(asked)
        if now >= self._apart_until.get(urls, 0):
            try:
                found: Result = await self._shared.ask(ask, args, now, seconds)
            except _Lost:
                # Whose index it was is not known: all who asked find out, one after the other.
                await self._sweep()
            else:
                return found
        async with self._one_at_a_time:
            self._refuse_again(asked)
            return await self._ask_apart(channels, seconds, ask, args, asked)

    async def close(self) -> None:
        """End both processes; the next question starts them again."""
        await self._shared.close()
        await self._apart.close()

    async def _ask_apart(
        self,
        channels: Sequence[Channel],
        seconds: float,
        ask: Callable[..., Awaitable[Result]],
        args: tuple[object, ...],
        asked: bytes,
    ) -> Result:
        is_new = not self._apart.is_running
        try:
            found: Result = await self._apart.ask(ask, args, self._clock(), seconds)
        except _Lost as lost:
            await self._sweep()
            if not is_new:  # it may have been full of what others asked before
                return await self._ask_apart(channels, seconds, ask, args, asked)
            said = self._reason(lost, channels)
            now = self._clock()
            self._apart_until[tuple(channel.url for channel in channels)] = now + _APART_SECONDS
            self._refused = {k: v for k, v in self._refused.items() if v[0] > now}
            self._refused[asked] = (now + RETRY_SECONDS, said)
            with suppress(_Lost):
                await self._apart.ask(forget, (channels,), now, seconds)
            raise ChannelUnavailable(said) from None
        return found

    def _refuse_again(self, asked: bytes) -> None:
        until, said = self._refused.get(asked, (0.0, ""))
        if self._clock() < until:
            raise ChannelUnavailable(said)

    async def _sweep(self) -> None:
        await asyncio.to_thread(sweep_cache, self._setup.cache_dir, self._setup.limits)

    def _reason(self, lost: _Lost, channels: Sequence[Channel]) -> str:
        limits = self._setup.limits
        names = " and ".join(channel.told for channel in channels)
        who = f"channel {names}" if len(channels) == 1 else f"one of the channels {names}"
        cause = "its index ends the process that reads it"
        if lost.status == OUT_OF_CACHE:
            cause = (
                f"its indexes take more on disk than the {limits.cache_bytes} bytes that"
                f" {CACHE_SETTING} allows for all channels"
            )
        if lost.status in {OUT_OF_MEMORY, -signal.SIGABRT, -signal.SIGKILL}:
            cause = (
                f"reading its index, or solving with it, takes more than the {limits.memory_bytes}"
                f" bytes of memory that {MEMORY_SETTING} allows"
            )
        if lost.status == _HANGS:
            cause = "reading its index does not come to an end"
        return f"{who} cannot be used: {cause}"


class _Process:
    """One process, started by a question if it does not run."""

    def __init__(self, setup: Setup, environment: Mapping[str, str] | None) -> None:
        self._setup = setup
        self._environment = environment
        self._numbers = itertools.count()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._starting = asyncio.Lock()
        self._start: asyncio.Task[asyncio.subprocess.Process] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def ask(
        self,
        ask: Callable[..., Awaitable[Result]],
        args: tuple[object, ...],
        now: float,
        seconds: float,
    ) -> Result:
        """Return what the function answers there.

        Raises:
            _Lost: The process ended before.
        """
        process = await self._started()
        question = Question(next(self._numbers), ask, args, now)
        waiting = self._waiting
        waiting[question.number] = asyncio.get_running_loop().create_future()
        try:
            _send(process, question)
            answer = await asyncio.wait_for(waiting[question.number], seconds)
        except TimeoutError:
            process.kill()
            raise _Lost(_HANGS) from None
        except asyncio.CancelledError:
            _send(process, Cancel(question.number))
            raise
        finally:
            waiting.pop(question.number, None)
        if answer.error is not None:
            raise answer.error
        result: Result = answer.result
        return result

    async def close(self) -> None:
        """End the process; pending questions get no answer."""
        if self._start is not None and not self._start.done():
            await asyncio.wait({self._start})
        process, reading = self._process, self._reading
        self._process = self._reading = None
        if process is None or reading is None:
            return
        if process.returncode is None:
            process.kill()  # whatever it writes is put in place whole
        await reading

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return self._process
            # Not given up when whoever asks leaves: nobody would end what has begun to start.
            if self._start is None or self._start.done():
                self._start = asyncio.create_task(self._started_anew())
            return await asyncio.shield(self._start)

    async def _started_anew(self) -> asyncio.subprocess.Process:
        await asyncio.to_thread(sweep_cache, self._setup.cache_dir, self._setup.limits)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"import sys; sys.path[:] = {sys.path!r}; import builder.solve.child as child;"
            " child.main()",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        _send(process, self._setup)
        self._waiting = {}
        self._process = process
        self._reading = asyncio.create_task(_read_answers(process, self._waiting))
        return process


def _send(process: asyncio.subprocess.Process, message: object) -> None:
    data = pickle.dumps(message)
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(LENGTH.pack(len(data)) + data)


async def _read_answers(
    process: asyncio.subprocess.Process, waiting: dict[int, asyncio.Future[Answer]]
) -> None:
    """Give answers to who waits for them, until the process ends; then tell all others."""
    assert process.stdout is not None
    try:
        while True:
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            data = await process.stdout.readexactly(length)
            answer: Answer = await asyncio.to_thread(pickle.loads, data)
            future = waiting.get(answer.number)
            if future is not None and not future.done():
                future.set_result(answer)
    except asyncio.IncompleteReadError:
        pass
    except asyncio.CancelledError:  # the loop ends without a close
        process.kill()
        raise
    finally:
        status = await process.wait()
        for future in waiting.values():
            if not future.done():
                future.set_exception(_Lost(status))
