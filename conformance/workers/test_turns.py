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
GREEDY: Final = 48


@pytest.mark.parametrize("broker", [None, *get_args(BrokerName)])
def test_a_client_that_wants_much_does_not_keep_another_waiting(
    tmp_path: Path, paths: ChannelPaths, broker: BrokerName | None
) -> None:
    """One worker makes all, or the server itself; clients are told apart by their addresses."""
    channel = tmp_path / "channel"
    channel.mkdir()
    write_stacks(channel, stacks=GREEDY + 1, of=12, packages=400, package_bytes_each=1_000_000)
    with ExitStack() as services:
        settings: dict[str, object] = {"workers": 1}
        if broker is not None:
            redis = services.enter_context(RedisServer())
            settings |= redis.settings
        if broker == "rabbitmq":
            rabbit = services.enter_context(RabbitServer())
            settings |= {"broker": rabbit.url, "redis": redis.url}
        served = services.enter_context(ChannelServer(channel))
        server = services.enter_context(
            Server(tmp_path / "store", served.url, paths.base, settings)
        )
        if broker is not None:
            services.enter_context(Worker(tmp_path / "worker", server.settings))
        before, left = asyncio.run(_turns(server))
    print(f"\n{broker}: after {before} of {left}")
    assert before < left / 2


async def _turns(server: Server) -> tuple[int, int]:
    """Let a client ask for one image while another waits for many.

    Returns how many of those it was given after, and how many were left when it asked.
    """
    some_are_made = asyncio.Event()
    made: list[int] = []

    async def pull(http: httpx.AsyncClient, number: int) -> None:
        repository, _, tag = stack(number).partition(":")
        answer = await http.get(f"{server.url}/v2/{repository}/manifests/{tag}")
        assert answer.status_code == 200, answer.text
        made.append(number)
        some_are_made.set()

    async with (
        _client("127.0.0.2") as greedy,
        _client("127.0.0.3") as modest,
        asyncio.TaskGroup() as pulls,
    ):
        for number in range(GREEDY):
            pulls.create_task(pull(greedy, number))
        await some_are_made.wait()
        made_before = len(made)
        pulls.create_task(pull(modest, GREEDY))
    return made.index(GREEDY) - made_before, GREEDY - made_before


def _client(address: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=GREEDY)
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits),
        headers=HEADERS,
        follow_redirects=True,
        timeout=PULL_SECONDS,
    )
