"""Whose turn it is when more is wanted than can be made at once."""

import asyncio
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
#: How many of them are made at most until the other client, who asks later, has its own.
AHEAD: Final = GREEDY // 2


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
        ended = asyncio.run(_order_of_ends(server))
    assert len(ended) == GREEDY + 1
    assert ended.index("modest") <= AHEAD, ended


async def _order_of_ends(server: Server) -> list[str]:
    """Return which client got an image, in the order in which they did."""
    ended: list[str] = []
    some_are_made = asyncio.Event()

    async def pull(http: httpx.AsyncClient, client: str, number: int) -> None:
        repository, _, tag = stack(number).partition(":")
        answer = await http.get(f"{server.url}/v2/{repository}/manifests/{tag}")
        assert answer.status_code == 200, answer.text
        ended.append(client)
        some_are_made.set()

    async with _client("127.0.0.2") as greedy, _client("127.0.0.3") as modest:
        async with asyncio.TaskGroup() as pulls:
            for number in range(GREEDY):
                pulls.create_task(pull(greedy, "greedy", number))
            await some_are_made.wait()
            pulls.create_task(pull(modest, "modest", GREEDY))
    return ended


def _client(address: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=GREEDY)
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits),
        headers=HEADERS,
        follow_redirects=True,
        timeout=PULL_SECONDS,
    )
