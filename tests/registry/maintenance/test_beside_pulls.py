"""Collecting while the whole service is pulled from: the cache may vanish under its feet."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from builder.keys import BLOBS
from builder.oci.digest import digest_of
from registry.app import create_app
from registry.maintenance.collect import collect
from registry.maintenance.eviction import GRACE_SECONDS, Budget
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import PACKAGES
from registry.wiring.services import open_services
from tests.registry.asgi import Client, open_client
from tests.tiny_channel import write_tiny_channel

pytestmark = pytest.mark.anyio

NAMES = ("env/tool", "env/library", "env/tool.library", "env/tool.eq.1.0")
ACCEPT = [("Accept", "application/vnd.oci.image.manifest.v1+json"), ("User-Agent", "containerd/2")]

#: How much has to be collected until a test has seen enough.
ENOUGH = 40
#: How much older than now a file can be that is written now.
CLOCK_TICK_SECONDS = 0.02


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    channel = write_tiny_channel(tmp_path / "channel")
    return Settings(
        store=str(tmp_path / "store"),
        channels={"main": f"file://{channel}"},
        default_channels=["main"],
        workers=2,
    )


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[Client]:
    async with open_client(create_app(lambda: open_services(settings), access_log=False)) as client:
        yield client


async def pull(client: Client, repository: str, tag: str = "bare") -> dict[str, int]:
    """Pull as an engine does, and return the digests and sizes of all that was got."""
    reply, _ = await client.follow("GET", f"/v2/{repository}/manifests/{tag}", ACCEPT)
    assert reply.status == 200, reply
    document = reply.json()
    got = {reply.headers["docker-content-digest"]: len(reply.body)}
    for part in [document["config"], *document["layers"]]:
        blob, _ = await client.follow("GET", f"/v2/{repository}/blobs/{part['digest']}")
        assert blob.status == 200, blob
        assert digest_of(blob.body) == part["digest"]
        got[part["digest"]] = len(blob.body)
    return got


async def collect_all(store: FilesystemStore, before: float) -> int:
    """Collect all that was written and used before a moment: the grace begins there."""
    _, eviction = await collect(store, Budget(size_bytes=0), before + GRACE_SECONDS)
    return sum(amount.number for amount in eviction.gone.values())


async def test_what_was_evicted_is_made_again_with_the_same_digests(settings: Settings) -> None:
    store = FilesystemStore(Path(settings.store))
    async with open_house(settings) as client:
        before = {name: await pull(client, name) for name in NAMES}
        assert await collect_all(store, time.time() + 1) > 0
        assert [entry async for entry in store.entries(PACKAGES)] == []
        left = {f"sha256:{e.key.rpartition('/')[2]}" async for e in store.entries(BLOBS)}
        assert {name: await pull(client, name) for name in NAMES} == before
        assert any(set(got) - left for got in before.values())
    store.close()


async def test_no_pull_fails_while_the_cache_is_collected_all_the_time(settings: Settings) -> None:
    """As hard as it can be: only what is newer than the oldest pull under way is left alone.

    The real grace is two hours, so that no pull ever is so old.
    """
    store = FilesystemStore(Path(settings.store))
    seen: dict[str, set[frozenset[tuple[str, int]]]] = {name: set() for name in NAMES}
    starts: dict[str, float] = {}
    collected = 0

    async def collector() -> None:
        nonlocal collected
        while collected < ENOUGH:
            oldest = min(starts.values(), default=0.0)
            collected += await collect_all(store, oldest - CLOCK_TICK_SECONDS)

    async def puller(client: Client, name: str, number: int) -> None:
        while not collecting.done():
            starts[f"{name} {number}"] = time.time()
            seen[name].add(frozenset((await pull(client, name)).items()))

    async with open_house(settings) as client:
        collecting = asyncio.create_task(collector())
        try:
            pullers = (puller(client, name, number) for name in NAMES for number in range(2))
            await asyncio.gather(*pullers)
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
    store.close()
    assert {name: len(digests) for name, digests in seen.items()} == dict.fromkeys(NAMES, 1)
