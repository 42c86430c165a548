"""Shared work: however many ask for a thing at once, it is made once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Runs one task per key at a time and gives its result to everyone who asked meanwhile.

    The task belongs to this object, not to a caller: a caller that is cancelled or stops waiting
    leaves the task running. Nothing is remembered once a task has ended.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Result]] = {}

    def start(
        self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]
    ) -> asyncio.Task[Result]:
        """Return the task that is making ``key``, started now if there was none.

        The task's exception may go unread: whoever needs it asks again.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(work(), name=key)
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what ``work`` returns, or what the call already under way for ``key`` returns.

        Raises:
            Exception: Whatever the work raised, to every caller.
        """
        return await asyncio.shield(self.start(key, work))

    def running(self, key: str) -> bool:
        """Tell whether ``key`` is being made now."""
        return key in self._tasks

    async def settle(self) -> None:
        """Wait until nothing is under way any more; failures stay with those who asked."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: str, task: asyncio.Task[Result]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()  # marks it as read: a build nobody waits for may fail quietly


async def together(work: Iterable[Awaitable[Result]]) -> list[Result]:
    """Return the results of all of ``work``, run at once, in order.

    Unlike a ``TaskGroup``, the first failure is raised as it is and not inside a group, so that an
    error table can map it; the rest is cancelled then.

    Raises:
        Exception: What the first to fail raised.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
