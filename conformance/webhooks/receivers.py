"""Receivers that take events while a test waits for them."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from tests.registry.webhooks.receiver import Receiver

Result = TypeVar("Result")
_PATIENCE_SECONDS = 60


class Receivers:
    """Any number of receivers, in a thread; a context manager that stops them all."""

    def __init__(self) -> None:
        """Prepare the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: list[Receiver] = []

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all."""
        for receiver in self._open:
            self._do(receiver.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def new(self, tls: ssl.SSLContext | None = None) -> Receiver:
        """Return a receiver that takes events."""
        receiver = Receiver()
        self._do(receiver.start(tls))
        self._open.append(receiver)
        return receiver

    def stop(self, receiver: Receiver) -> None:
        """Have a receiver be down."""
        self._open.remove(receiver)
        self._do(receiver.stop())

    def start(self, receiver: Receiver) -> None:
        """Have it take events again, on its port."""
        self._do(receiver.start())
        self._open.append(receiver)

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


def until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    """Return when something holds; it is looked at again and again.

    Args:
        holds: Tells whether it does.
        what: What is shown if it does not in time.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
