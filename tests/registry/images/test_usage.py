import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator

import pytest
import structlog

from builder.errors import StoreUnavailable
from registry.images.usage import NOTE_SECONDS, Usage
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import used_key
from tests.registry.maintenance.clock import Clock

pytestmark = pytest.mark.anyio


class CountingStore(FilesystemStore):
    """Counts writes, and fails them while it is told to."""

    writes = 0
    broken = False

    async def write(self, key: str, data: bytes) -> None:
        self.writes += 1
        if self.broken:
            raise StoreUnavailable("the store is full")
        await super().write(key, data)


@pytest.fixture
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CountingStore]:
    store = CountingStore(tmp_path_factory.mktemp("store"))
    yield store
    store.close()


async def test_a_use_is_in_the_store_when_it_has_been_noted(store: CountingStore) -> None:
    await Usage(store, Clock(5000)).note("a" * 32)
    data = await store.read(used_key("a" * 32))
    assert data is not None
    assert json.loads(data) == {"at": 5000}


async def test_an_image_in_constant_use_is_noted_once_an_hour(store: CountingStore) -> None:
    clock = Clock()
    usage = Usage(store, clock)
    for _ in range(120):
        await usage.note("a")
        clock.now += 60
    assert store.writes == 2


async def test_a_use_counts_as_noted_for_an_hour(store: CountingStore) -> None:
    clock = Clock()
    usage = Usage(store, clock)
    assert not usage.is_noted("a")
    await usage.note("a")
    assert usage.is_noted("a")
    clock.now += NOTE_SECONDS
    assert not usage.is_noted("a")


async def test_of_many_uses_at_once_one_is_written(store: CountingStore) -> None:
    usage = Usage(store, Clock())
    await asyncio.gather(*(usage.note("a") for _ in range(200)))
    assert store.writes == 1


async def test_every_image_is_noted_for_itself(store: CountingStore) -> None:
    usage = Usage(store, Clock())
    for key in ("a", "b", "a", "b"):
        await usage.note(key)
    assert [entry.key async for entry in store.entries("used/")] == [used_key("a"), used_key("b")]
    assert store.writes == 2


async def test_a_store_that_fails_is_logged_and_tried_again_a_minute_later(
    store: CountingStore,
) -> None:
    clock = Clock()
    usage = Usage(store, clock)
    store.broken = True
    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            await usage.note("a")
    assert [line["event"] for line in lines] == ["failed to note a use"]
    store.broken = False
    clock.now += 61
    await usage.note("a")
    assert await store.size(used_key("a")) is not None
    clock.now += NOTE_SECONDS - 1
    await usage.note("a")
    assert store.writes == 2


async def test_a_million_images_take_no_more_memory_than_ten_thousand() -> None:
    class Sink:
        async def write(self, key: str, data: bytes) -> None:
            pass

    usage = Usage(Sink(), Clock())  # type: ignore[arg-type]  # nothing else of a store is used
    for number in range(10_000):
        await usage.note(f"{number:032x}")
    tracemalloc.start()
    for number in range(10_000, 40_000):
        await usage.note(f"{number:032x}")
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 5_000_000
