"""Ordering work and waiting for it; with a real Redis."""

import asyncio
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from builder.concurrency.priority import Priority, current_priority
from builder.errors import Unsatisfiable, WorkerLost, WorkersBusy, WorkersUnavailable
from builder.ports import Progress, ProgressListener
from conformance.ports import free_port
from registry.images.fairness import SCHEDULED, current_client
from tests.registry.jobs.queue_harness import LIMIT, double, open_office

pytestmark = pytest.mark.anyio

TASK = "chore-x"

#: What :class:`Slow` says of itself.
HALF = (Progress("assemble", 1, 2), Progress("assemble", 1, 2, note="half of it"))


@dataclass
class Slow:
    """Works only when it is let, and says so."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, number: int, on_progress: ProgressListener) -> int:
        self.began.set()
        for progress in HALF:
            on_progress(progress)
        await self.may_end.wait()
        return 2 * number


async def assert_at_rest(redis: Redis) -> None:
    """Assert that nothing stays of tasks but how they ended."""
    assert await redis.keys("pullforge:[^e]*") == []


async def test_what_is_ordered_is_made_and_nothing_stays_locked(redis: Redis) -> None:
    async with open_office(redis) as office, office.worker() as counted:
        assert await office.run(21) == 42
        assert counted.ended == [("chore", False)]
    await assert_at_rest(redis)


async def test_two_orders_of_the_same_are_one_task(redis: Redis) -> None:
    """Of two servers, and one of them comes while it is being made."""
    work = Slow()
    async with (
        open_office(redis, ask_again_seconds=60) as one,
        open_office(redis, ask_again_seconds=60) as other,
    ):
        orders = [one.run(21), other.run(21), one.run(21)]
        async with one.worker(work) as counted, other.worker(work) as more:
            await work.began.wait()
            orders.append(other.run(21))
            await asyncio.wait(orders, timeout=0.2)
            work.may_end.set()
            assert await asyncio.gather(*orders) == [42] * 4
        assert counted.ended + more.ended == [("chore", False)]
        assert one.line.messages.empty()
        assert other.line.messages.empty()


async def test_an_earlier_outcome_is_taken_if_it_is_not_too_old(redis: Redis) -> None:
    async with open_office(redis) as office:
        async with office.worker():
            assert await office.run(21) == 42
        assert await office.run(21, max_age=60) == 42
        await office.task_state.end(TASK, "43", None)
        assert await office.run(21, max_age=60) == 43
        async with office.worker():
            assert await office.run(21, max_age=0) == 42


async def test_a_failure_is_the_answer_for_its_time_and_one_that_may_pass_for_a_tenth(
    redis: Redis,
) -> None:
    errors: list[Exception] = [Unsatisfiable("no"), WorkerLost("died")]

    async def fail(_number: int, _on_progress: ProgressListener) -> int:
        raise errors[len(counted.ended) > 0]

    async with open_office(redis) as office, office.worker(fail) as counted:
        for _ in range(3):
            with pytest.raises(Unsatisfiable, match=r"^no$"):
                await office.run(21)
        assert len(counted.ended) == 1
        for _ in range(3):
            with pytest.raises(WorkerLost, match=r"^died$"):
                await office.run(21, "y")
        assert len(counted.ended) == 2
        for name, seconds in (("x", 61), ("y", 7)):
            await grow_old(redis, f"chore-{name}", seconds)
            with pytest.raises(WorkerLost):
                await office.run(21, name)
        assert len(counted.ended) == 4


async def grow_old(redis: Redis, task: str, seconds: float) -> None:
    """Let so much time pass since a task ended."""
    change = """
        local outcome = cjson.decode(redis.call('GET', KEYS[1]))
        outcome['at'] = outcome['at'] - ARGV[1]
        redis.call('SET', KEYS[1], cjson.encode(outcome))
    """
    data = await redis.get(f"pullforge:ended:{task}")
    assert data is not None
    await redis.eval(change, 1, f"pullforge:ended:{task}", str(seconds))  # type: ignore[no-untyped-call,misc,unused-ignore] # as redis has it


async def test_a_message_that_is_lost_is_sent_again(redis: Redis) -> None:
    async with open_office(redis) as office, office.worker():
        office.line.loses = 2
        assert await office.run(21) == 42
    await assert_at_rest(redis)


async def test_work_of_a_worker_that_died_is_given_to_another(redis: Redis) -> None:
    """Its lock has to expire; the message that came back meanwhile was dropped."""
    async with open_office(redis) as office:
        order = office.run(21)
        first = await office.line.messages.get()
        await redis.set(f"pullforge:running:{TASK}", "of one that died", px=300)
        await office.task_state.begin(TASK)
        office.line.messages.put_nowait(first)
        async with office.worker() as counted:
            assert await order == 42
        assert len(counted.ended) == 1
    await assert_at_rest(redis)


async def test_a_broker_that_is_away_for_a_moment_is_waited_for(redis: Redis) -> None:
    async with open_office(redis) as office, office.worker():
        office.line.fails = 3
        assert await office.run(21) == 42
    await assert_at_rest(redis)


async def test_a_broker_that_stays_away_is_a_clear_error(redis: Redis) -> None:
    async with open_office(redis, away_seconds=0.3) as office:
        office.line.fails = 1000
        with pytest.raises(WorkersUnavailable, match="does not answer; pull again in a moment"):
            await office.run(21)
    await assert_at_rest(redis)


async def test_a_redis_that_stays_away_is_a_clear_error() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with (
        Redis.from_url(url, retry=None) as redis,
        open_office(redis, away_seconds=0.3) as office,
    ):
        with pytest.raises(WorkersUnavailable, match="does not answer; pull again in a moment"):
            await office.run(21)


async def test_work_that_does_not_end_is_a_clear_error(redis: Redis) -> None:
    async with open_office(redis, task_seconds=0.2) as office:
        with pytest.raises(WorkerLost, match="did not end in time; pull again"):
            await office.run(21)


async def test_when_too_much_waits_further_orders_are_refused_and_accepted_ones_are_not(
    redis: Redis,
) -> None:
    """Not even when their messages have to be sent again."""
    async with open_office(redis) as office:
        accepted = [office.run(number, str(number)) for number in range(LIMIT)]
        for _ in range(2 * LIMIT):  # each was sent twice
            await office.line.messages.get()
        with pytest.raises(WorkersBusy, match=f"{LIMIT} tasks wait for a worker already"):
            await office.run(5, "5")
        async with office.worker():
            assert await asyncio.gather(*accepted) == [0, 2]
            assert await office.run(5, "5") == 10


async def test_progress_and_notes_reach_everyone_who_waits(redis: Redis) -> None:
    work = Slow()
    async with open_office(redis) as one, open_office(redis) as other:
        orders = [one.run(21), other.run(21)]
        async with one.worker(work), other.worker(work):
            await one.hears.wait()
            await other.hears.wait()
            work.may_end.set()
            await asyncio.gather(*orders)
        for office in (one, other):
            assert set(office.heard) <= set(HALF)
            assert office.heard[-1] == HALF[-1]


async def test_no_stage_is_too_short_to_be_heard_and_none_is_heard_twice(redis: Redis) -> None:
    """The work is over before anything of it was shown."""
    told = [Progress("solve"), Progress("pypi"), Progress("download", 1, 2), Progress("finish")]

    async def work(number: int, on_progress: ProgressListener) -> int:
        for progress in told:
            on_progress(progress)
        return number

    async with open_office(redis) as office, office.worker(work):
        assert await office.run(21) == 21
        assert office.heard == [step for step in told if step.is_milestone]


async def test_a_caller_who_is_cancelled_stops_nothing(redis: Redis) -> None:
    work = Slow()
    async with open_office(redis) as office, office.worker(work) as counted:
        gives_up, stays = office.run(21), office.run(21)
        await work.began.wait()
        gives_up.cancel()
        await asyncio.wait([gives_up])
        work.may_end.set()
        assert await stays == 42
        assert counted.ended == [("chore", False)]
    await assert_at_rest(redis)


async def test_who_gives_up_before_anything_is_sent_holds_nobody_up(redis: Redis) -> None:
    """At whatever moment: another who wants the same gets it without waiting for a time to pass."""
    for slots in range(0, 60, 3):
        async with open_office(redis, ask_again_seconds=60) as office:
            gives_up = office.run(21)
            for _ in range(slots):
                await asyncio.sleep(0)
            gives_up.cancel()
            await asyncio.wait([gives_up])
            async with office.worker(), asyncio.timeout(20):
                assert await office.run(21) == 42
        await redis.flushall()


async def test_what_a_client_asks_beside_much_else_is_less_urgent(redis: Redis) -> None:
    async with open_office(redis, limit=100) as office:

        async def levels(count: int) -> list[int]:
            orders = [office.run(0, f"{current_client.get()}-{number}") for number in range(count)]
            got: dict[str, int] = {}
            while len(got) < count:
                message = await office.line.messages.get()
                got.setdefault(message.task, message.level)
            for order in orders:
                order.cancel()
            await asyncio.wait(orders)
            return sorted(got.values())

        current_client.set("one")
        assert await levels(12) == [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
        current_client.set("other")
        assert await levels(1) == [0]
        current_client.set("")
        current_priority.set(Priority(SCHEDULED))
        assert await levels(2) == [SCHEDULED, SCHEDULED]


async def test_what_becomes_more_urgent_is_sent_again_and_made_once(redis: Redis) -> None:
    """Another wants it too, of the same server or another, before a worker has begun."""
    its = Priority(2)
    async with open_office(redis, ask_again_seconds=60) as office:
        current_priority.set(its)
        orders = [office.run(21)]
        first = await office.line.messages.get()
        its.raise_to(1)
        second = await office.line.messages.get()
        current_priority.set(Priority(0))
        orders.append(office.run(21))
        third = await office.line.messages.get()
        assert [m.level for m in (first, second, third)] == [2, 1, 0]
        assert {m.task for m in (first, second, third)} == {first.task}
        for message in (third, first, second):
            office.line.messages.put_nowait(message)
        async with office.worker() as counted:
            assert await asyncio.gather(*orders) == [42, 42]
            assert await office.run(1, "y") == 2
        assert len(counted.ended) == 2


async def test_a_worker_makes_what_was_ordered_while_it_was_away(redis: Redis) -> None:
    async with open_office(redis) as office:
        order = office.run(21)
        await asyncio.wait([order], timeout=0.3)
        assert await office.task_state.waiting() != (0, 0)
        async with office.worker(double) as counted:
            assert await order == 42
            # Behind those that were sent again.
            assert await office.run(1, "y") == 2
        assert len(counted.ended) == 2
    await assert_at_rest(redis)
