"""Shared work: however many ask for a thing at once, it is made once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from builder.concurrency.priority import Priority, current_priority

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    priority: Priority
    #: Ends when the flight does.
    joins: ExitStack = field(default_factory=ExitStack)


class SingleFlight(Generic[Result]):
    """Runs one task per key at a time and gives its result to everyone who asked meanwhile.

    The task belongs to this object, not to a caller: a caller that is cancelled or stops waiting
    leaves the task running. It is as urgent as the most urgent of them. Nothing is remembered once
    a task has ended.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Result]] = {}

    def start(
        self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]
    ) -> asyncio.Task[Result]:
        """Return the running task for ``key``, or a new one; its exception may stay unread."""
        asked = current_priority.get()
        flight = self._flights.get(key)
        if flight is None:
            its = Priority(asked.level)
            context = copy_context()
            context.run(current_priority.set, its)
            flight = _Flight(asyncio.create_task(work(), name=key, context=context), its)
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._forget(key))
        flight.joins.enter_context(asked.followed(flight.priority.raise_to))
        return flight.task

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what ``work`` returns, or what the call already under way for ``key`` returns.

        Raises:
            Exception: Whatever the work raised, to every caller.
        """
        return await asyncio.shield(self.start(key, work))

    def running(self, key: str) -> bool:
        """Tell whether ``key`` is being made now."""
        return key in self._flights

    async def settle(self) -> None:
        """Wait for all running tasks; their exceptions are left to the callers."""
        while self._flights:
            await asyncio.wait(self._tasks())

    async def close(self) -> None:
        """Cancel all running tasks and wait for them to end."""
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[Result]]:
        return [flight.task for flight in self._flights.values()]

    def _forget(self, key: str) -> None:
        flight = self._flights.pop(key)
        flight.joins.close()
        if not flight.task.cancelled():
            flight.task.exception()  # marks it as read: a build nobody waits for may fail quietly


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
