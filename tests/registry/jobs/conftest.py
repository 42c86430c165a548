from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from conformance.workers.brokers import RedisServer
from registry.jobs.state import TaskState


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Return a real Redis; the tests share it, each finds it empty."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def redis(redis_server: RedisServer, anyio_backend: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url, socket_timeout=10) as redis:
        await redis.flushall()
        yield redis


@pytest.fixture
def task_state(redis: Redis) -> TaskState:
    return TaskState(redis)
