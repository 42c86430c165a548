"""What a worker does with a message; with a real Redis."""

import asyncio

import pytest
from redis.asyncio import Redis

from builder.concurrency.priority import urgency
from builder.errors import BuilderError, InputError
from builder.ports import Progress, ProgressListener
from conformance.workers.brokers import RedisServer
from registry.jobs.queue import Message
from registry.jobs.state import Board, Outcome
from registry.requests.status import Failure
from tests.registry.jobs.queue_harness import DOUBLE, Counted, carrier_of, double, message_of

pytestmark = pytest.mark.anyio

TASK = message_of(0, 0).task


async def outcome_of(board: Board) -> Outcome:
    sight = await board.look(TASK)
    assert sight.outcome is not None
    assert not sight.is_running
    assert sight.asked is None
    return sight.outcome


async def failure_of(board: Board) -> Failure:
    failure = (await outcome_of(board)).failure
    assert failure is not None
    return failure


async def test_what_comes_of_a_message_is_its_tasks_outcome(board: Board) -> None:
    counted = Counted()
    await board.ask(TASK)
    await carrier_of(board, double, counted).take(message_of(21, await board.now()))
    assert (await outcome_of(board)).made == "42"
    assert await board.waiting() == (0, 0.0)
    assert counted.ended == [("chore", False)]


async def test_a_message_from_before_the_outcome_is_void_and_one_from_after_is_not(
    board: Board,
) -> None:
    counted = Counted()
    carrier = carrier_of(board, double, counted)
    message = message_of(21, await board.now())
    await carrier.take(message)
    await board.ask(TASK)
    await carrier.take(message)
    assert len(counted.ended) == 1
    assert (await board.look(TASK)).asked is None
    await carrier.take(message_of(21, await board.now()))
    assert len(counted.ended) == 2


async def test_of_two_who_get_the_same_one_carries_it_out(redis: Redis) -> None:
    """However it falls out: at once, or the second as the first has just ended."""
    for turns in range(40):
        counted, board = Counted(), Board(redis)
        message = message_of(21, await board.now())
        one = asyncio.create_task(carrier_of(board, double, counted).take(message))
        for _ in range(turns):
            await asyncio.sleep(0)
        other = asyncio.create_task(carrier_of(Board(redis), double, counted).take(message))
        await asyncio.gather(one, other)
        assert counted.ended == [("chore", False)]
        assert (await outcome_of(board)).made == "42"
        assert not await redis.exists(f"pullforge:attempts:{TASK}")


async def test_what_ended_its_workers_again_and_again_ends_with_one_clear_sentence(
    board: Board,
) -> None:
    counted = Counted()
    for _ in range(DOUBLE.attempts):
        await board.begin(TASK)
    await carrier_of(board, double, counted).take(message_of(21, await board.now()))
    failure = await failure_of(board)
    assert failure.kind == "WorkerLost"
    assert failure.message == (
        f"{DOUBLE.attempts} workers in turn ended while they were at this, perhaps for lack of"
        " memory; the workers' logs say more"
    )
    assert failure.transient
    # The next who asks may have more luck.
    await carrier_of(board).take(message_of(21, await board.now()))
    assert (await outcome_of(board)).made == "42"


async def test_a_task_may_lose_its_worker_some_times(board: Board) -> None:
    for _ in range(DOUBLE.attempts - 1):
        await board.begin(TASK)
    await carrier_of(board).take(message_of(21, await board.now()))
    assert (await outcome_of(board)).made == "42"


async def test_work_that_takes_too_long_ends_with_a_sentence(board: Board) -> None:
    async def hang(_number: int, _listen: ProgressListener) -> int:
        await asyncio.Event().wait()
        return 0

    await carrier_of(board, hang, task_seconds=0.05).take(message_of(21, await board.now()))
    failure = await failure_of(board)
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
    board: Board, error: Exception, kind: str, sentence: str
) -> None:
    counted = Counted()

    async def fail(_number: int, _listen: ProgressListener) -> int:
        raise error

    await carrier_of(board, fail, counted).take(message_of(21, await board.now()))
    failure = await failure_of(board)
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
            board = Board(redis)
            message = message_of(21, await board.now())
            server.kill()
            taking = asyncio.create_task(carrier_of(board).take(message))
            await asyncio.wait([taking], timeout=0.2)
            assert not taking.done()
            server.start()
            await taking
            assert (await outcome_of(board)).made == "42"


async def test_a_kind_that_this_worker_does_not_know_is_told_in_a_sentence(board: Board) -> None:
    message = Message("solve", TASK, "{}", 0, await board.now())
    await carrier_of(board).take(message)
    assert (await failure_of(board)).message == "a worker failed at this; its log says why"


async def test_what_the_work_needs_of_others_is_as_urgent_as_itself(board: Board) -> None:
    async def level(_number: int, _listen: ProgressListener) -> int:
        return urgency.get().level

    message = Message(DOUBLE.name, TASK, "21", 2, await board.now())
    await asyncio.create_task(carrier_of(board, level).take(message))
    assert (await outcome_of(board)).made == "2"


async def test_progress_is_shown_meanwhile_and_notes_in_the_end(board: Board) -> None:
    async def work(number: int, listen: ProgressListener) -> int:
        listen(Progress("assemble", 1, 2, note="first"))
        for _ in range(100):
            sight = await board.look(TASK)
            if sight.progress is not None:
                assert sight.progress == Progress("assemble", 1, 2)
                listen(Progress("assemble", 2, 2, note="second"))
                return number
        raise AssertionError("it was never shown")

    await carrier_of(board, work).take(message_of(21, await board.now()))
    assert await outcome_of(board) == Outcome(
        (await outcome_of(board)).at, "21", None, ("first", "second")
    )
    assert (await board.look(TASK)).progress is None
