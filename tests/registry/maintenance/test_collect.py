import asyncio
import time

import pytest
import structlog

from builder.errors import StoreUnavailable
from registry.maintenance.collect import collect, collect_all, evict
from registry.maintenance.eviction import Budget, plan_eviction
from registry.maintenance.inventory import take_inventory
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import loose_key
from tests.registry.maintenance.store_builder import Shelf

pytestmark = pytest.mark.anyio

HOUR = 3600.0
A, B = "a" * 32, "b" * 32
NOTHING = Budget(size_bytes=0)


@pytest.fixture
def long_ago() -> float:
    return time.time() - 1000 * HOUR


async def all_keys(store: FilesystemStore) -> set[str]:
    return {entry.key async for entry in store.entries("")}


async def test_layers_and_archives_go_and_everything_else_stays(
    shelf: Shelf, long_ago: float
) -> None:
    layer, package = await shelf.layer("x", long_ago), await shelf.package("p", long_ago)
    await shelf.image(A, [layer], [package], at=long_ago)
    await shelf.use(A, long_ago)
    for key in ("solves/aa/aa.json", "contents/aa/aa.json", "layers/aa/aa.zstd.json", "origins/a"):
        await shelf.put(key, b"{}", long_ago)
    await shelf.put("repositories/env/tool/_tags/latest.json", b"{}", long_ago)
    before = await all_keys(shelf.store)
    _, eviction = await collect(shelf.store, NOTHING, time.time())
    gone = {key.partition("/")[0] for key in before - await all_keys(shelf.store)}
    assert gone == {"blobs", "packages"}
    assert not await shelf.has(layer)
    assert not await shelf.has_package(package)
    assert (eviction.gone["layer"].number, eviction.gone["package"].number) == (1, 1)
    assert len(before) - len(await all_keys(shelf.store)) == 2


async def test_forms_go_before_archives_and_layers_of_the_same_age(
    shelf: Shelf, long_ago: float
) -> None:
    layer, package = await shelf.layer("x" * 96, long_ago), await shelf.package("p" * 100, long_ago)
    form = await shelf.form(A, "f" * 100, long_ago)
    await shelf.image(A, [layer], [package], at=long_ago)
    _, eviction = await collect(shelf.store, Budget(size_bytes=200), time.time())
    assert eviction.gone["form"].number == 1
    assert await shelf.store.size(form) is None
    assert await shelf.has(layer)
    assert await shelf.has_package(package)


async def test_forms_of_a_build_used_since_it_was_planned_are_spared(
    shelf: Shelf, long_ago: float
) -> None:
    form = await shelf.form(A, "f", long_ago)
    await shelf.image(A, [], at=long_ago)
    inventory = await take_inventory(shelf.store)
    plan = plan_eviction(inventory.items, NOTHING, time.time())
    await shelf.use(A, time.time())
    eviction = await evict(shelf.store, plan, inventory.marks)
    assert eviction.spared == 1
    assert await shelf.store.size(form) == 1


async def test_the_layers_of_the_image_used_longest_ago_go_first(
    shelf: Shelf, long_ago: float
) -> None:
    old, new = await shelf.layer("old", long_ago), await shelf.layer("new", long_ago)
    await shelf.image(A, [old], at=long_ago)
    await shelf.image(B, [new], at=long_ago)
    await shelf.use(A, long_ago + HOUR)
    await shelf.use(B, long_ago + 2 * HOUR)
    await collect(shelf.store, Budget(size_bytes=8), time.time())
    assert not await shelf.has(old)
    assert await shelf.has(new)


async def test_an_image_that_is_used_after_the_plan_keeps_its_layers_and_archives(
    shelf: Shelf, long_ago: float
) -> None:
    mine, other = await shelf.layer("mine", long_ago), await shelf.layer("other", long_ago)
    package = await shelf.package("p", long_ago)
    await shelf.image(A, [mine], [package], at=long_ago)
    await shelf.use(A, long_ago)
    inventory = await take_inventory(shelf.store)
    plan = plan_eviction(inventory.items, NOTHING, time.time())
    await shelf.use(A, time.time())
    eviction = await evict(shelf.store, plan, inventory.marks)
    assert eviction.spared == 2
    assert await shelf.has(mine)
    assert await shelf.has_package(package)
    assert not await shelf.has(other)


async def test_an_image_that_is_built_after_the_plan_keeps_the_layers_it_shares(
    shelf: Shelf, long_ago: float
) -> None:
    layer = await shelf.layer("x", long_ago)
    await shelf.image(A, [layer], at=long_ago)
    inventory = await take_inventory(shelf.store)
    plan = plan_eviction(inventory.items, NOTHING, time.time())
    await shelf.image(B, [layer], at=time.time())
    await evict(shelf.store, plan, inventory.marks)
    assert await shelf.has(layer)


async def test_a_build_that_is_pinned_after_the_plan_keeps_its_archives(
    shelf: Shelf, long_ago: float
) -> None:
    package = await shelf.package("p", long_ago)
    await shelf.image(A, [], [package], at=long_ago)
    inventory = await take_inventory(shelf.store)
    plan = plan_eviction(inventory.items, NOTHING, time.time())
    await shelf.pin(A, time.time())
    await evict(shelf.store, plan, inventory.marks)
    assert await shelf.has_package(package)


async def test_a_blob_that_is_made_again_after_the_plan_stays(
    shelf: Shelf, long_ago: float
) -> None:
    layer = await shelf.layer("x", long_ago)
    inventory = await take_inventory(shelf.store)
    plan = plan_eviction(inventory.items, NOTHING, time.time())
    await shelf.layer("x", time.time())
    eviction = await evict(shelf.store, plan, inventory.marks)
    assert await shelf.has(layer)
    assert eviction.spared == 1


async def test_two_collectors_at_once_are_harmless(shelf: Shelf, long_ago: float) -> None:
    for number in range(600):
        await shelf.layer(str(number), long_ago)
    done = await asyncio.gather(*(collect(shelf.store, NOTHING, time.time()) for _ in range(2)))
    assert sum(eviction.gone["layer"].number for _, eviction in done) >= 600
    assert [entry async for entry in shelf.store.entries("blobs/")] == []


async def test_a_cache_below_its_size_is_only_listed(
    shelf: Shelf, long_ago: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = await shelf.layer("x", long_ago)
    await shelf.image(A, [layer], at=long_ago)

    async def read(key: str) -> bytes | None:
        raise AssertionError(key)

    monkeypatch.setattr(shelf.store, "read", read)
    plan, _ = await collect(shelf.store, Budget(size_bytes=10_000), time.time())
    assert plan.items == ()


async def test_a_collection_that_fails_is_logged_and_the_next_one_succeeds(
    shelf: Shelf, long_ago: float
) -> None:
    class Store(FilesystemStore):
        broken = False

        def entries(self, prefix: str, after: str = ""):  # type: ignore[no-untyped-def]
            if self.broken:
                raise StoreUnavailable("the store does not answer")
            return super().entries(prefix, after)

    store = Store(shelf.root)
    await shelf.layer("first", long_ago)
    with structlog.testing.capture_logs() as lines:
        await collect_all(store, NOTHING, time.time(), upload_seconds=3600)
        store.broken = True
        await collect_all(store, NOTHING, time.time(), upload_seconds=3600)
        store.broken = False
        await shelf.layer("second", long_ago)
        await collect_all(store, NOTHING, time.time(), upload_seconds=3600)
    store.close()
    failed = ["failed to collect"] * 3  # what was pushed, the cache, and rules: each by itself
    assert [line["event"] for line in lines] == ["collected", *failed, "collected"]
    assert lines[0]["freed_bytes"] == 9
    assert lines[1]["error"] == "the store does not answer"


async def test_without_a_budget_only_what_was_pushed_is_collected(
    shelf: Shelf, long_ago: float
) -> None:
    layer, pushed = await shelf.layer("x", long_ago), await shelf.layer("y", long_ago)
    await shelf.put(loose_key(pushed, "team/a"), b"", long_ago)
    with structlog.testing.capture_logs() as lines:
        await collect_all(shelf.store, Budget(), time.time(), upload_seconds=3600)
    assert await shelf.has(layer)
    assert not await shelf.has(pushed)
    assert [(line["event"], line["blobs"]) for line in lines] == [("collected what was pushed", 1)]
