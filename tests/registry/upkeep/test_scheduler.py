"""The loop: what is done when, and that nothing ends it."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from registry.errors import DatabaseUnavailable
from registry.upkeep.scheduler import Scheduler

pytestmark = pytest.mark.anyio


class Scripted:
    """Has so many due, and notes what it is asked."""

    def __init__(self, *due: int) -> None:
        self.due = list(due)
        self.asked: list[str] = []
        self.errors: list[Exception] = []

    async def carry_out(self) -> int:
        self.asked.append("carry out")
        if self.errors:
            raise self.errors.pop()
        return self.due.pop(0) if self.due else 0

    async def heed_advisories(self) -> int:
        self.asked.append("heed")
        return 0

    async def put_right(self) -> int:
        self.asked.append("put right")
        return 0


async def test_all_that_is_due_is_carried_out_in_one_look() -> None:
    due = Scripted(20, 20, 3)
    await Scheduler(due, lambda: 0).look()
    assert due.asked == ["put right", "heed", *["carry out"] * 4]


async def test_the_rest_is_looked_at_now_and_then_whatever_the_time_of_day_is() -> None:
    due, now = Scripted(), [0.0]
    scheduler = Scheduler(due, lambda: now[0])
    counts = []
    for second in range(0, 7200, 5):
        now[0] = second
        due.asked.clear()
        await scheduler.look()
        counts.append(tuple(due.asked))
    assert counts.count(("carry out",)) == 1440 - 240
    assert counts.count(("heed", "carry out")) == 238
    assert counts.count(("put right", "heed", "carry out")) == 2


async def test_no_error_ends_it_and_a_database_that_is_down_is_not_logged_again() -> None:
    due = Scripted()
    due.errors = [ValueError("odd"), DatabaseUnavailable()]
    looks = asyncio.Semaphore(3)
    done = asyncio.Event()

    async def pause(_seconds: float) -> None:
        if looks.locked():
            done.set()
            await asyncio.Future()
        await looks.acquire()

    with capture_logs() as logs:
        running = asyncio.create_task(Scheduler(due, lambda: 0, pause).run())
        await asyncio.wait_for(done.wait(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    said: list[Any] = [line["event"] for line in logs]
    assert said == ["failed to carry out schedules"]
    assert due.asked.count("carry out") == 4
