"""Workers and brokers that are killed at any moment lose no build and leave nothing locked."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server
from conformance.workers.company import BrokerName, Company, ask_at_once
from conformance.workers.killing import TARGETS, Killer
from conformance.workers.stacks import stack, write_stacks

#: Of everything, shared out to the two brokers.
WORKER_KILLS: Final = 50
BROKER_KILLS: Final = 10
PACKAGES: Final = 100
STACKS: Final = 100
#: How many clients ask at once, on the servers in turn.
CLIENTS: Final = 6
#: The longest pause between two kills.
PAUSE_SECONDS: Final = 4.0
#: Nobody is at anything any more then, and no message is on its way: a note that one was sent by a
#: server that has gone since lasts a minute.
QUIET_SECONDS: Final = 90


@pytest.fixture(scope="module")
def large_channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChannelServer]:
    """Serve a channel of environments of a hundred packages each."""
    directory = tmp_path_factory.mktemp("channel")
    write_stacks(
        directory, stacks=STACKS, of=PACKAGES, packages=PACKAGES + 20, package_bytes_each=500_000
    )
    with ChannelServer(directory) as channel:
        yield channel


def undisturbed_digest(home: Path, channel_url: str, base: Path, name: str) -> str:
    """Return the digest that a server without workers gives."""
    with Server(home, channel_url, base) as server:
        (answer,) = asyncio.run(ask_at_once([server], name, 1))
        return answer.headers["docker-content-digest"]


@pytest.mark.parametrize("broker", get_args(BrokerName))
def test_whatever_is_killed_every_pull_ends_right_or_with_one_clear_error(
    paths: ChannelPaths, large_channel: ChannelServer, broker: BrokerName, tmp_path: Path
) -> None:
    """Different environments are pulled one after the other while a killer is at work."""
    moments = random.Random(f"2026 {broker}")
    kills = ["worker"] * (WORKER_KILLS // 2) + ["broker"] * (BROKER_KILLS // 2)
    moments.shuffle(kills)
    answers: dict[str, list[httpx.Response]] = {}
    settings: dict[str, object] = {"error_ttl_seconds": 2}
    with Company(paths, large_channel.url, broker, settings=settings) as company:
        with Killer(company.workers, moments) as killer:

            async def pull_while_killed() -> None:
                killing = asyncio.create_task(asyncio.to_thread(kill_all, kills, killer, company))
                while not killing.done():
                    name = stack(len(answers))
                    answers[name] = await ask_at_once(company.servers, name, CLIENTS)
                await killing

            asyncio.run(pull_while_killed())
        assert killer.stayed == [], "processes of a supervisor that was killed"
        assert set(killer.killed) >= set(TARGETS), killer.killed
        failed = [a for those in answers.values() for a in those if not a.is_success]
        sentences = Counter(a.json()["errors"][0]["message"] for a in failed)
        assert not any("its log says why" in sentence for sentence in sentences), sentences
        # What failed is there now, and all of them are the same.
        for name, those in answers.items():
            again = asyncio.run(ask_at_once(company.servers, name, len(company.servers)))
            digests = {a.headers.get("docker-content-digest") for a in (*those, *again)}
            assert {a.status_code for a in again} == {200}, again[0].text
            assert len(digests - {None}) == 1
        assert_quiet(company)
        print(f"\n{broker}: {dict(killer.killed)}; of {len(answers)} environments: {sentences}")
    name = next(iter(answers))
    expected = undisturbed_digest(tmp_path / "store", large_channel.url, paths.base, name)
    assert {a.headers["docker-content-digest"] for a in answers[name] if a.is_success} <= {expected}


def kill_all(kills: list[str], killer: Killer, company: Company) -> None:
    """Kill what is to be killed, with pauses."""
    moments = random.Random(len(kills))
    for kill in kills:
        time.sleep(moments.uniform(0, PAUSE_SECONDS))
        if kill == "worker":
            killer.kill_worker()
        elif company.rabbit is not None and killer.killed["rabbitmq"] <= killer.killed["redis"]:
            killer.kill_broker("rabbitmq", company.rabbit.kill, company.rabbit.start)
        else:
            killer.kill_broker("redis", company.redis.kill, company.redis.start)


def assert_quiet(company: Company) -> None:
    """Assert that before long nothing is locked, asked for or waiting."""
    deadline = time.monotonic() + QUIET_SECONDS
    while left := company.redis.keys("running:*", "asked:*", "waiting", "asking:*"):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
