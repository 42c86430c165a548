"""How workers end: told to, or because a part of them did; what they started ends with them."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.images import fetch_manifest
from conformance.clients.server import Server
from conformance.workers.brokers import RedisServer
from conformance.workers.company import ask_at_once
from conformance.workers.killing import descendants, left_of, roles_of, until
from conformance.workers.worker import Worker

NAME = "env/numpy:latest"
SLOW_SECONDS = 5


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Return a Redis of the test's own."""
    with RedisServer() as redis:
        yield redis


@pytest.fixture
def server(
    redis: RedisServer, paths: ChannelPaths, channel: ChannelServer, tmp_path: Path
) -> Iterator[Server]:
    """Return a server that has its work done by workers, of which there are none yet."""
    with Server(tmp_path / "store", channel.url, paths.base, redis.settings) as server:
        yield server


@pytest.fixture
def start_worker(server: Server, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Start workers of the server, until the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            Worker(Path(tempfile.mkdtemp(dir=tmp_path, prefix="worker-")), server.settings)
        )


def test_a_worker_that_is_told_to_end_ends_its_builds_first(
    server: Server,
    start_worker: Callable[[], Worker],
    channel: ChannelServer,
    redis: RedisServer,
) -> None:
    """It is the only one: nobody else would make the layers."""
    worker = start_worker()
    processes = descendants(worker.pid)
    channel.slow("*.conda", SLOW_SECONDS)

    async def scenario() -> None:
        pulling = asyncio.create_task(ask_at_once([server], NAME, 1))
        await until(lambda: redis.keys("running:build-*") != [])
        await asyncio.to_thread(worker.stop)
        assert redis.keys("running:*", "asked:*", "waiting") == []
        (answer,) = await pulling
        assert answer.is_success, answer.text

    try:
        asyncio.run(scenario())
    finally:
        channel.reset()
    assert left_of(processes) == []


@pytest.mark.parametrize("number", [0, 1], ids=["builds", "layers"])
def test_a_worker_one_of_whose_roles_is_killed_ends_and_the_next_does_its_work(
    server: Server,
    start_worker: Callable[[], Worker],
    channel: ChannelServer,
    redis: RedisServer,
    number: int,
) -> None:
    """Alone, the other role would wait, or work for nobody."""
    worker = start_worker()
    channel.slow("*.conda", SLOW_SECONDS)

    async def scenario() -> None:
        pulling = asyncio.create_task(ask_at_once([server], NAME, 1))
        await until(lambda: redis.keys("running:build-*") != [])
        processes = descendants(worker.pid)
        os.kill(roles_of(worker.pid)[number], signal.SIGKILL)
        await until(lambda: not worker.runs)
        assert left_of(processes) == []
        channel.reset()
        await asyncio.to_thread(start_worker)
        (answer,) = await pulling
        assert answer.is_success, answer.text

    asyncio.run(scenario())
    assert redis.keys("running:*", "asked:*", "waiting") == []


def test_nothing_of_a_worker_stays_when_its_supervisor_is_killed_at_work(
    server: Server,
    start_worker: Callable[[], Worker],
    channel: ChannelServer,
    redis: RedisServer,
) -> None:
    """Processes of layers included, which are in the midst of one."""
    worker = start_worker()
    channel.slow("*.conda", SLOW_SECONDS)

    async def scenario() -> None:
        pulling = asyncio.create_task(ask_at_once([server], NAME, 1))
        await until(lambda: redis.keys("running:layer-*") != [])
        processes = descendants(worker.pid)
        worker.kill()
        assert left_of(processes) == []
        channel.reset()
        await asyncio.to_thread(start_worker)
        (answer,) = await pulling
        assert answer.is_success, answer.text

    asyncio.run(scenario())
    assert fetch_manifest(server, NAME).digest
