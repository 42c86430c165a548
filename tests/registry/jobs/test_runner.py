"""What a worker does with a message; with a real Redis."""

import asyncio

import pytest
from redis.asyncio import Redis

from builder.concurrency.priority import current_priority
from builder.errors import BuilderError, InputError
from builder.ports import Progress, ProgressListener
from conformance.workers.brokers import RedisServer
from registry.images.failure import Failure
from registry.jobs.queue import Message
from registry.jobs.state import Outcome, TaskState
from tests.registry.jobs.queue_harness import DOUBLE, Counted, carrier_of, double, message_of

pytestmark = pytest.mark.anyio

TASK = message_of(0, 0).task


async def outcome_of(task_state: TaskState) -> Outcome:
    snapshot = await task_state.snapshot(TASK)
    assert snapshot.outcome is not None
    assert not snapshot.is_running
    assert snapshot.asked is None
    return snapshot.outcome


async def failure_of(task_state: TaskState) -> Failure:
    failure = (await outcome_of(task_state)).failure
    assert failure is not None
    return failure


async def test_what_comes_of_a_message_is_its_tasks_outcome(task_state: TaskState) -> None:
    counted = Counted()
    await task_state.mark_queued(TASK)
    await carrier_of(task_state, double, counted).handle(message_of(21, await task_state.now()))
    assert (await outcome_of(task_state)).made == "42"
    assert await task_state.waiting() == (0, 0.0)
    assert counted.ended == [("chore", False)]


async def test_a_message_from_before_the_outcome_is_void_and_one_from_after_is_not(
    task_state: TaskState,
) -> None:
    counted = Counted()
    runner = carrier_of(task_state, double, counted)
    message = message_of(21, await task_state.now())
    await runner.handle(message)
    await task_state.mark_queued(TASK)
    await runner.handle(message)
    assert len(counted.ended) == 1
    assert (await task_state.snapshot(TASK)).asked is None
    await runner.handle(message_of(21, await task_state.now()))
    assert len(counted.ended) == 2


async def test_of_two_who_get_the_same_one_carries_it_out(redis: Redis) -> None:
    """However it falls out: at once, or the second as the first has just ended."""
    for slots in range(40):
        counted, task_state = Counted(), TaskState(redis)
        message = message_of(21, await task_state.now())
        one = asyncio.create_task(carrier_of(task_state, double, counted).handle(message))
        for _ in range(slots):
            await asyncio.sleep(0)
        other = asyncio.create_task(carrier_of(TaskState(redis), double, counted).handle(message))
        await asyncio.gather(one, other)
        assert counted.ended == [("chore", False)]
        assert (await outcome_of(task_state)).made == "42"
        assert not await redis.exists(f"pullforge:attempts:{TASK}")


async def test_what_ended_its_workers_again_and_again_ends_with_one_clear_sentence(
    task_state: TaskState,
) -> None:
    counted = Counted()
    for _ in range(DOUBLE.attempts):
        await task_state.begin(TASK)
    await carrier_of(task_state, double, counted).handle(message_of(21, await task_state.now()))
    failure = await failure_of(task_state)
    assert failure.kind == "WorkerLost"
    assert failure.message == (
        f"{DOUBLE.attempts} workers in turn ended while they were at this, perhaps for lack of"
        " memory; the workers' logs say more"
    )
    assert failure.transient
    # The next who asks may have more luck.
    await carrier_of(task_state).handle(message_of(21, await task_state.now()))
    assert (await outcome_of(task_state)).made == "42"


async def test_a_task_may_lose_its_worker_some_times(task_state: TaskState) -> None:
    for _ in range(DOUBLE.attempts - 1):
        await task_state.begin(TASK)
    await carrier_of(task_state).handle(message_of(21, await task_state.now()))
    assert (await outcome_of(task_state)).made == "42"


async def test_work_that_takes_too_long_ends_with_a_sentence(task_state: TaskState) -> None:
    async def hang(_number: int, _on_progress: ProgressListener) -> int:
        await asyncio.Event().wait()
        return 0

    await carrier_of(task_state, hang, task_seconds=0.05).handle(
        message_of(21, await task_state.now())
    )
    failure = await failure_of(task_state)
    assert (failure.kind, failure.message) == ("WorkerLost", "it took longer than 0.05 seconds")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (InputError("no", "dependencies[3]", 3), "InputError", "no"),
        (MemoryError(), "WorkerLost", "needs more memory than a task may have"),
        (ZeroDivisionError("secret"), "BuilderError", "a worker failed at this; its log says why"),
        (TimeoutError("of a socket"), "BuilderError", "a worker failed at this"),
    ],
)
async def test_whatever_work_raises_is_told_in_a_sentence(
    task_state: TaskState, error: Exception, kind: str, sentence: str
) -> None:
    counted = Counted()

    async def fail(_number: int, _on_progress: ProgressListener) -> int:
        raise error

    await carrier_of(task_state, fail, counted).handle(message_of(21, await task_state.now()))
    failure = await failure_of(task_state)
    assert failure.kind == kind
    assert sentence in failure.message
    assert "secret" not in failure.message
    assert isinstance(failure.error(), BuilderError)
    assert counted.ended == [("chore", True)]


@pytest.mark.engine("redis")
async def test_a_redis_that_is_away_when_a_message_comes_is_waited_for() -> None:
    with RedisServer() as server:
        # The connection is idle when Redis is killed, and broken when it is used again.
        async with Redis.from_url(server.url, socket_timeout=10) as redis:
            task_state = TaskState(redis)
            message = message_of(21, await task_state.now())
            server.kill()
            taking = asyncio.create_task(carrier_of(task_state).handle(message))
            await asyncio.wait([taking], timeout=0.2)
            assert not taking.done()
            server.start()
            await taking
            assert (await outcome_of(task_state)).made == "42"


async def test_a_kind_that_this_worker_does_not_know_is_told_in_a_sentence(
    task_state: TaskState,
) -> None:
    message = Message("solve", TASK, "{}", 0, await task_state.now())
    await carrier_of(task_state).handle(message)
    assert (await failure_of(task_state)).message == "a worker failed at this; its log says why"


async def test_what_the_work_needs_of_others_is_as_urgent_as_itself(task_state: TaskState) -> None:
    async def level(_number: int, _on_progress: ProgressListener) -> int:
        return current_priority.get().level

    message = message_of(21, await task_state.now(), level=2)
    await asyncio.create_task(carrier_of(task_state, level).handle(message))
    assert (await outcome_of(task_state)).made == "2"


async def test_progress_is_shown_meanwhile_and_its_milestones_in_the_end(
    task_state: TaskState,
) -> None:
    async def work(number: int, on_progress: ProgressListener) -> int:
        on_progress(Progress("assemble", 1, 2, note="first"))
        for _ in range(100):
            snapshot = await task_state.snapshot(TASK)
            if snapshot.progress:
                assert snapshot.progress == (Progress("assemble", 1, 2, note="first"),)
                on_progress(Progress("assemble", 2, 2, note="second"))
                return number
        raise AssertionError("it was never shown")

    await carrier_of(task_state, work).handle(message_of(21, await task_state.now()))
    assert await outcome_of(task_state) == Outcome(
        (await outcome_of(task_state)).at,
        "21",
        None,
        (Progress("assemble", 1, 2, note="first"), Progress("assemble", 2, 2, note="second")),
    )
    assert (await task_state.snapshot(TASK)).progress == ()
