"""Not working for clients that have gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.types import Receive

T = TypeVar("T")

#: Work that takes less is not watched: a task for each would cost more than a warm answer does.
_GRACE_SECONDS: Final = 0.05


class ClientGone(Exception):
    """Nobody is there to answer any more."""


async def wait_until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection; what it still sends is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns; cancel it when the client goes away before.

    Nothing runs any more when this has returned or raised.

    Raises:
        ClientGone: The client went away.
    """
    watch = _Watch(receive)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.has_cancelled_alone():
            raise ClientGone from None
        raise
    finally:
        await watch.end()


class _Watch:
    """Cancels the task it was made in when the client goes away.

    The counting of cancellations is that of :func:`asyncio.timeout`: somebody else may have
    cancelled the task at the same time, and then it stays cancelled.
    """

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelled_before = task.cancelling()
        self._receive = receive
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._start)

    def has_cancelled_alone(self) -> bool:
        """Tell whether it was this that cancelled the task; take the cancellation back if so."""
        return self._gone and self._task.uncancel() <= self._cancelled_before

    async def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await wait_until_gone(self._receive)
        self._gone = True
        self._task.cancel()
