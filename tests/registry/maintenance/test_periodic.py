import asyncio

import pytest
import structlog

from builder.concurrency.priority import current_priority
from registry.images.fairness import SCHEDULED
from registry.maintenance.periodic import PeriodicJob, run_forever

pytestmark = pytest.mark.anyio


class Enough(Exception):
    """Ends what would go on for ever."""


async def test_each_chore_is_done_now_and_again_after_its_own_time() -> None:
    done: list[str] = []
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            raise Enough
        await asyncio.sleep(0)

    async def work(name: str) -> None:
        done.append(name)

    chores = [PeriodicJob("a", 10, lambda: work("a")), PeriodicJob("b", 20, lambda: work("b"))]
    with pytest.raises(ExceptionGroup) as ended:
        await run_forever(chores, pause)
    assert ended.group_contains(Enough)
    assert done[:6] == ["a", "b"] * 3
    assert pauses[:6] == [10, 20] * 3


async def test_a_chore_that_fails_is_logged_and_does_not_end_the_others() -> None:
    async def fail() -> None:
        raise ValueError("no room")

    with structlog.testing.capture_logs() as lines:
        await PeriodicJob("collect", 10, fail).do()
    assert [(line["event"], line["chore"], line["error"]) for line in lines] == [
        ("failed to do a chore", "collect", "no room")
    ]


async def test_what_a_chore_asks_for_comes_after_what_somebody_waits_for() -> None:
    levels = []

    async def look() -> None:
        levels.append(current_priority.get().level)

    await PeriodicJob("renew", 10, look).do()
    assert levels == [SCHEDULED]
