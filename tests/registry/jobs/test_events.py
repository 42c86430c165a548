"""Being woken when something happens to a task; with a real Redis."""

import asyncio

import pytest
from redis.asyncio import Redis

from builder.ports import Progress
from conformance.ports import free_port
from conformance.workers.brokers import RedisServer
from registry.jobs.state import TaskEvents, TaskState

pytestmark = pytest.mark.anyio

TASK = "layer-abc"
SOON_SECONDS = 30


async def wake_of(event: asyncio.Event) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        await event.wait()
    event.clear()


async def listeners(redis: Redis, task: str) -> int:
    (_, count), *_ = await redis.pubsub_numsub(f"pullforge:happened:{task}")
    return int(count)


async def test_what_one_client_shows_wakes_another(redis: Redis, redis_server: RedisServer) -> None:
    async with (
        Redis.from_url(redis_server.url) as other,
        TaskEvents(other).listening() as task_events,
    ):
        task_state = TaskState(redis)
        async with task_events.of(TASK) as event, task_events.of("else") as unmoved:
            await wake_of(event)  # it is listened to
            await wake_of(unmoved)
            await task_state.report(TASK, [Progress("assemble", 2, 9)])
            await wake_of(event)
            await task_state.end(TASK, "1", None)
            await wake_of(event)
            assert not unmoved.is_set()


async def test_all_who_wait_for_a_task_are_woken_and_those_who_stay_go_on_listening(
    redis: Redis,
) -> None:
    async with TaskEvents(redis).listening() as task_events:
        task_state = TaskState(redis)
        async with task_events.of(TASK) as stays:
            await wake_of(stays)
            async with task_events.of(TASK) as goes:
                await task_state.report(TASK, [Progress("assemble", 2, 9)])
                await wake_of(goes)
                await wake_of(stays)
            await task_state.end(TASK, "1", None)
            await wake_of(stays)


async def test_who_comes_as_the_last_one_goes_is_woken_too(redis: Redis) -> None:
    """Subscribing and unsubscribing are under way at once then."""
    async with TaskEvents(redis).listening() as task_events:
        task_state = TaskState(redis)
        for _ in range(50):
            async with task_events.of(TASK):
                await asyncio.sleep(0)
        async with task_events.of(TASK) as event:
            await task_state.end(TASK, "1", None)
            await wake_of(event)


async def test_nobody_listens_to_what_nobody_waits_for(redis: Redis) -> None:
    async with TaskEvents(redis).listening() as task_events:
        async with task_events.of(TASK) as event:
            await wake_of(event)
            assert await listeners(redis, TASK) == 1
        async with task_events.of("else") as event:
            await wake_of(event)  # what was wanted before is done with
            assert await listeners(redis, TASK) == 0


async def test_wakes_come_again_after_redis_was_killed(anyio_backend: str) -> None:
    with RedisServer() as server:
        async with (
            Redis.from_url(server.url) as redis,
            TaskEvents(redis).listening() as task_events,
            task_events.of(TASK) as event,
        ):
            await wake_of(event)
            server.kill()
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(SOON_SECONDS):
                while not event.is_set():
                    await TaskState(redis).report(TASK, [Progress("assemble", 2, 9)])
                    await asyncio.sleep(0.05)


async def test_wakes_come_when_redis_is_started_after_the_server(anyio_backend: str) -> None:
    server = RedisServer()
    server.port = free_port()
    async with (
        Redis.from_url(server.url) as redis,
        TaskEvents(redis).listening() as task_events,
        task_events.of(TASK) as event,
    ):
        with server:
            await wake_of(event)
            await TaskState(redis).end(TASK, "1", None)
            await wake_of(event)
