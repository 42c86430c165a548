"""What is done again and again, whether anybody asks or not.

::

    collect    every hour      take away what was pushed and is needed no more, and of the cache
                               what is over its budget
    renew      before expiry   make ``latest`` new of what was pulled lately: nobody waits for it
    prewarm    as renew        make the images of a list of references
    scrub      if set          read the store, a 256th at a time, and take out what is damaged

    refresh    as expiry       fetch the channels' indexes: every process that solves, by itself

A server without workers does all of it itself (:func:`run_forever`). With workers, Celery's beat
has each done in its time by whichever is free, after everything that somebody waits for
(``pullforge beat``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from builder.concurrency.priority import Priority, current_priority
from registry.images.fairness import SCHEDULED


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """A periodic job: idempotent, may be cancelled."""

    name: str
    every_seconds: float
    work: Callable[[], Awaitable[None]]

    async def do(self) -> None:
        """Run the job once and log a failure, since the next run may succeed."""
        current_priority.set(Priority(SCHEDULED))
        try:
            await self.work()
        except Exception as exc:  # noqa: BLE001 (whatever it is, the next time may succeed)
            structlog.get_logger().warning(
                "failed to do a chore", chore=self.name, error=str(exc), kind=type(exc).__name__
            )


async def run_forever(
    chores: Iterable[PeriodicJob], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Run each chore at once and then periodically, side by side, until cancelled."""

    async def repeat(chore: PeriodicJob) -> None:
        while True:
            await chore.do()
            await pause(chore.every_seconds)

    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(repeat(chore), name=chore.name)
