"""Whose turn it is when more is wanted than can be made at once."""

import asyncio
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, get_args

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.images import HEADERS
from conformance.clients.server import Server
from conformance.workers.brokers import RabbitServer, RedisServer
from conformance.workers.company import PULL_SECONDS, BrokerName
from conformance.workers.stacks import stack, write_stacks
from conformance.workers.worker import Worker

#: How many environments one client asks for at once.
GREEDY: Final = 24


@pytest.mark.parametrize("broker", get_args(BrokerName))
def test_a_client_that_wants_much_does_not_keep_another_waiting(
    tmp_path: Path, paths: ChannelPaths, broker: BrokerName
) -> None:
    """One worker makes all; the two clients are told apart by their addresses."""
    channel = tmp_path / "channel"
    channel.mkdir()
    write_stacks(channel, stacks=GREEDY + 1, of=12, packages=400, package_bytes_each=1_000_000)
    with ExitStack() as services:
        redis = services.enter_context(RedisServer())
        settings = redis.settings
        if broker == "rabbitmq":
            rabbit = services.enter_context(RabbitServer())
            settings = {"broker": rabbit.url, "redis": redis.url}
        served = services.enter_context(ChannelServer(channel))
        server = services.enter_context(
            Server(tmp_path / "store", served.url, paths.base, {**settings, "workers": 1})
        )
        services.enter_context(Worker(tmp_path / "worker", server.settings))
        greedy, modest = asyncio.run(_waits(server))
    print(f"\n{broker}: {modest:.1f} s beside {statistics.median(greedy):.1f} s")
    assert modest < statistics.median(greedy) / 2


async def _waits(server: Server) -> tuple[list[float], float]:
    """Return how long one client waited for each of many images, and another for its only one."""
    some_are_made = asyncio.Event()

    async def pull(http: httpx.AsyncClient, number: int) -> float:
        asked_at = time.monotonic()
        repository, _, tag = stack(number).partition(":")
        answer = await http.get(f"{server.url}/v2/{repository}/manifests/{tag}")
        assert answer.status_code == 200, answer.text
        some_are_made.set()
        return time.monotonic() - asked_at

    async with (
        _client("127.0.0.2") as greedy,
        _client("127.0.0.3") as modest,
        asyncio.TaskGroup() as pulls,
    ):
        many = [pulls.create_task(pull(greedy, number)) for number in range(GREEDY)]
        await some_are_made.wait()
        one = pulls.create_task(pull(modest, GREEDY))
    return [task.result() for task in many], one.result()


def _client(address: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=GREEDY)
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits),
        headers=HEADERS,
        follow_redirects=True,
        timeout=PULL_SECONDS,
    )
