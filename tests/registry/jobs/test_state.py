"""What Redis knows of tasks; with a real one."""

from typing import Self

import pytest
from redis.asyncio import Redis

from builder.ports import Progress
from registry.images.failure import Failure
from registry.jobs.state import TaskState

pytestmark = pytest.mark.anyio

TASK = "layer-abc"


async def expire(redis: Redis, key: str) -> None:
    """Let the time of a key be over."""
    assert await redis.pttl(key) > 0
    await redis.pexpire(key, 0)


async def test_of_a_task_that_nobody_wants_there_is_nothing_to_see(task_state: TaskState) -> None:
    snapshot = await task_state.snapshot(TASK)
    assert (snapshot.outcome, snapshot.progress) == (None, ())
    assert not snapshot.is_running
    assert snapshot.asked is None


async def test_one_of_many_asks_and_the_next_only_when_nobody_has_begun_for_long(
    task_state: TaskState, redis: Redis
) -> None:
    assert [await task_state.mark_queued(TASK) for _ in range(3)] == [True, False, False]
    assert (await task_state.snapshot(TASK)).asked == 0
    await expire(redis, f"pullforge:asked:{TASK}")
    assert await task_state.mark_queued(TASK)


async def test_what_is_asked_is_asked_again_by_whom_it_is_more_urgent_to(
    task_state: TaskState,
) -> None:
    assert [await task_state.mark_queued(TASK, level) for level in (2, 3, 2, 1, 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert (await task_state.snapshot(TASK)).asked == 1


async def test_what_is_asked_again_waits_since_it_was_asked_first(
    task_state: TaskState, redis: Redis
) -> None:
    await task_state.mark_queued(TASK)
    await redis.zincrby("pullforge:waiting", -100, TASK)
    await redis.delete(f"pullforge:asked:{TASK}")
    await task_state.mark_queued(TASK)
    count, age = await task_state.waiting()
    assert count == 1
    assert 100 <= age < 110
    await task_state.begin(TASK)
    assert await task_state.waiting() == (0, 0.0)
    assert (await task_state.snapshot(TASK)).asked is None


async def test_a_task_belongs_to_one_worker_until_it_lets_go(task_state: TaskState) -> None:
    async with task_state.claim(TASK) as first:
        async with task_state.claim(TASK) as second:
            assert (first, second) == (True, False)
        assert (await task_state.snapshot(TASK)).is_running
    assert not (await task_state.snapshot(TASK)).is_running
    async with task_state.claim(TASK) as third:
        assert third


async def test_a_task_is_free_again_when_its_worker_gives_no_sign_of_life(
    task_state: TaskState, redis: Redis
) -> None:
    async with task_state.claim(TASK):
        await expire(redis, f"pullforge:running:{TASK}")
        async with task_state.claim(TASK) as other:
            assert other
            assert (await task_state.snapshot(TASK)).is_running
    assert not (await task_state.snapshot(TASK)).is_running


async def test_a_worker_that_lost_its_task_leaves_the_lock_of_the_next_alone(
    redis: Redis,
) -> None:
    one, other = TaskState(redis), TaskState(redis)
    claimed = one.claim(TASK)
    await claimed.__aenter__()
    await expire(redis, f"pullforge:running:{TASK}")
    async with other.claim(TASK) as is_mine:
        assert is_mine
        await claimed.__aexit__(None, None, None)
        assert (await other.snapshot(TASK)).is_running


async def test_a_claim_is_renewed_while_it_lasts_even_when_redis_forgot_it(redis: Redis) -> None:
    task_state = TaskState(redis, lease_seconds=0.3)
    key = f"pullforge:running:{TASK}"
    async with task_state.claim(TASK):
        await redis.delete(key)
        # Longer than the lease: it has been claimed again, and then renewed.
        async with Watch(redis) as watch:
            await watch.until("set", "expire")
        assert (await task_state.snapshot(TASK)).is_running
    assert not (await task_state.snapshot(TASK)).is_running


async def test_attempts_count_until_the_task_ends(task_state: TaskState) -> None:
    assert [await task_state.begin(TASK) for _ in range(3)] == [1, 2, 3]
    await task_state.end(TASK, "1", None)
    assert await task_state.begin(TASK) == 1


async def test_an_outcome_shows_what_was_made_why_not_and_what_happened_meanwhile(
    task_state: TaskState,
) -> None:
    progress = (Progress("plan", note="two have bin/x"), Progress("assemble", 2, 9))
    await task_state.report(TASK, progress)
    assert (await task_state.snapshot(TASK)).progress == progress
    before = await task_state.now()
    await task_state.end(TASK, '"made"', None, progress)
    snapshot = await task_state.snapshot(TASK)
    assert snapshot.progress == ()
    assert snapshot.outcome is not None
    assert (snapshot.outcome.made, snapshot.outcome.progress) == ('"made"', progress)
    assert before <= snapshot.outcome.at <= snapshot.now
    failure = Failure("InputError", "line 3: no", "dependencies[3]", 3)
    await task_state.end(TASK, None, failure)
    outcome = (await task_state.snapshot(TASK)).outcome
    assert outcome is not None
    assert outcome.failure == failure


async def test_what_has_ended_is_neither_asked_nor_waiting(
    task_state: TaskState, redis: Redis
) -> None:
    await task_state.mark_queued(TASK)
    await task_state.begin(TASK)
    await task_state.mark_queued(TASK)  # of a server that had looked just before
    await task_state.end(TASK, "1", None)
    assert await task_state.waiting() == (0, 0.0)
    assert await redis.keys("*") == [f"pullforge:ended:{TASK}".encode()]


async def test_nothing_stays_for_ever(task_state: TaskState, redis: Redis) -> None:
    await task_state.mark_queued(TASK)
    await task_state.report(TASK, [Progress("assemble", 2, 9)])
    await task_state.begin(TASK)
    async with task_state.claim(TASK), task_state.under_way("somebody"):
        for key in await redis.keys("*"):
            assert await redis.pttl(key) > 0, key
    await task_state.end(TASK, "1", None)
    for key in await redis.keys("*"):
        assert await redis.pttl(key) > 0, key


async def test_what_a_client_has_under_way_is_counted_on_all_servers(redis: Redis) -> None:
    one, other = TaskState(redis), TaskState(redis)
    async with (
        one.under_way("somebody") as first,
        other.under_way("somebody") as second,
        other.under_way("else") as third,
    ):
        assert (first, second, third) == (1, 2, 1)
    async with one.under_way("somebody") as again:
        assert again == 1


class Watch:
    """Sees what a Redis is told; a context manager."""

    def __init__(self, redis: Redis) -> None:
        self._monitor = redis.pubsub()
        self._redis = redis

    async def __aenter__(self) -> Self:
        await self._redis.config_set("notify-keyspace-events", "KA")
        await self._monitor.psubscribe("__keyspace@0__:*")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._monitor.aclose()  # type: ignore[no-untyped-call] # as redis has it
        await self._redis.config_set("notify-keyspace-events", "")

    async def until(self, *events: str) -> None:
        """Wait for events of keys, in this order."""
        left = list(events)
        for _ in range(100):
            message = await self._monitor.get_message(timeout=10)
            if message and message["type"] == "pmessage" and message["data"].decode() == left[0]:
                left.pop(0)
            if not left:
                return
        raise AssertionError(f"never seen: {left}")
