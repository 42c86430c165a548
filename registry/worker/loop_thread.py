"""An event loop in a thread of its own, with what was opened on it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final

from registry.jobs.queue import Message
from registry.jobs.runner import TaskRunner

#: How long opening and closing may take, in seconds.
_OPEN_SECONDS: Final = 120


class EventLoopThread:
    """Runs tasks of Celery, which are plain functions, on an event loop."""

    def __init__(self, open_runner: Callable[[], AbstractAsyncContextManager[TaskRunner]]) -> None:
        """Start nothing yet: it is opened in the process that uses it, after any fork."""
        self._open_runner = open_runner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[TaskRunner] | None = None
        self._closing: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Start the loop and open the runner on it.

        Raises:
            Exception: What opening raised.
        """
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)), name="event-loop", daemon=True
        )
        self._thread.start()
        started.wait(_OPEN_SECONDS)
        self._runner()

    def handle(self, message: Message) -> None:
        """Carry a message out and return when it has ended.

        Raises:
            Exception: What :meth:`TaskRunner.handle` raised.
        """
        self._wait_for(self._runner().handle(message))

    def do_chore(self, name: str, every_seconds: float) -> None:
        """Do a chore, unless that was done lately, and return when it has ended.

        Raises:
            Exception: What :meth:`TaskRunner.do_chore` raised.
        """
        self._wait_for(self._runner().do_chore(name, every_seconds))

    def close(self) -> None:
        """Close what was opened; idempotent."""
        if self._loop is not None and self._closing is not None and self._thread is not None:
            with suppress(RuntimeError):  # what could not be opened has closed the loop already
                self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(_OPEN_SECONDS)
            self._loop = None

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None, "it was not opened"
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _runner(self) -> TaskRunner:
        assert self._ready is not None, "it was not opened"
        return self._ready.result()

    async def _live(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._ready = self._loop.create_future()
        try:
            async with self._open_runner() as runner:
                self._ready.set_result(runner)
                started.set()
                await self._closing.wait()
        except Exception as exc:
            if self._ready.done():
                raise
            self._ready.set_exception(exc)
        finally:
            started.set()
