import tracemalloc
from collections.abc import AsyncIterator

import pytest

from builder.keys import blob_key, package_key
from builder.ports import StoreEntry
from registry.maintenance.eviction import Budget, CacheItem, plan_eviction
from registry.maintenance.inventory import take_inventory
from tests.registry.maintenance.store_builder import Shelf

pytestmark = pytest.mark.anyio

HOUR = 3600.0
A, B = "a" * 32, "b" * 32
LONG_AGO = 1000 * HOUR


async def items(shelf: Shelf) -> dict[str, CacheItem]:
    inventory = await take_inventory(shelf.store)
    return {item.key: item for item in inventory.items}


async def test_a_layer_was_used_when_the_last_of_its_images_was(shelf: Shelf) -> None:
    shared = await shelf.layer("shared", LONG_AGO)
    own = await shelf.layer("own", LONG_AGO)
    await shelf.image(A, [shared, own], at=LONG_AGO)
    await shelf.image(B, [shared], at=LONG_AGO)
    await shelf.use(A, LONG_AGO + 5 * HOUR)
    await shelf.use(B, LONG_AGO + 9 * HOUR)
    found = await items(shelf)
    assert found[blob_key(own)].used == LONG_AGO + 5 * HOUR
    assert found[blob_key(shared)].used == LONG_AGO + 9 * HOUR
    assert found[blob_key(shared)].modified == LONG_AGO


async def test_an_image_whose_use_was_never_noted_was_used_when_it_was_built(shelf: Shelf) -> None:
    layer = await shelf.layer("x", LONG_AGO)
    await shelf.image(A, [layer], at=LONG_AGO + HOUR)
    assert (await items(shelf))[blob_key(layer)].used == LONG_AGO + HOUR


async def test_an_archive_was_used_when_an_image_was_whose_lock_has_it(shelf: Shelf) -> None:
    mine, nobodys = await shelf.package("p", LONG_AGO), await shelf.package("q", LONG_AGO)
    await shelf.image(A, [], [mine], at=LONG_AGO)
    await shelf.use(A, LONG_AGO + HOUR)
    found = await items(shelf)
    assert found[package_key(mine)].used == LONG_AGO + HOUR
    assert found[package_key(nobodys)].used == LONG_AGO


async def test_a_form_was_used_when_the_image_of_its_build_was(shelf: Shelf) -> None:
    mine, nobodys = await shelf.form(A, "a", LONG_AGO), await shelf.form(B, "bb", LONG_AGO)
    await shelf.image(A, [], at=LONG_AGO)
    await shelf.use(A, LONG_AGO + HOUR)
    found = await items(shelf)
    assert (found[mine].kind, found[mine].used) == ("form", LONG_AGO + HOUR)
    assert (found[nobodys].size_bytes, found[nobodys].used) == (2, LONG_AGO)


async def test_forms_of_a_pinned_build_are_cache_all_the_same(shelf: Shelf) -> None:
    form = await shelf.form(A, "a", LONG_AGO)
    await shelf.image(A, [], at=LONG_AGO)
    await shelf.pin(A, LONG_AGO)
    assert form in await items(shelf)


async def test_manifests_configs_and_the_documents_of_bases_are_no_cache(shelf: Shelf) -> None:
    layer = await shelf.layer("x", LONG_AGO)
    await shelf.image(A, [layer], at=LONG_AGO)
    await shelf.manifest([layer], LONG_AGO + 1)
    await shelf.blob(b'{"a document": "of nobody"}', LONG_AGO)
    assert set(await items(shelf)) == {blob_key(layer)}


async def test_a_layer_of_no_image_was_used_when_it_was_written(shelf: Shelf) -> None:
    layer = await shelf.layer("left by a build that failed", LONG_AGO)
    empty = await shelf.blob(b"", LONG_AGO)
    found = await items(shelf)
    assert found[blob_key(layer)].used == LONG_AGO
    assert set(found) == {blob_key(layer), blob_key(empty)}


async def test_all_flavours_of_an_image_are_used_together(shelf: Shelf) -> None:
    zstd, gzip = await shelf.layer("zstd", LONG_AGO), await shelf.layer("gzip", LONG_AGO)
    await shelf.image(A, [zstd], at=LONG_AGO)
    await shelf.image(A, [gzip], at=LONG_AGO, flavour="oci-gzip")
    await shelf.use(A, LONG_AGO + HOUR)
    assert {item.used for item in (await items(shelf)).values()} == {LONG_AGO + HOUR}


async def test_what_a_pinned_build_needs_is_no_cache_but_its_own_layers_are(shelf: Shelf) -> None:
    base_layer, layer = await shelf.layer("base", LONG_AGO), await shelf.layer("x", LONG_AGO)
    base = await shelf.manifest([base_layer], LONG_AGO)
    shared, other = await shelf.package("p", LONG_AGO), await shelf.package("q", LONG_AGO)
    await shelf.image(A, [base_layer, layer], [shared], at=LONG_AGO, base=base)
    await shelf.image(B, [base_layer], [shared, other], at=LONG_AGO, base=base)
    assert len(await items(shelf)) == 4
    await shelf.pin(A, LONG_AGO)
    assert set(await items(shelf)) == {blob_key(layer), package_key(other)}


async def test_damaged_records_stop_nothing(shelf: Shelf) -> None:
    layer = await shelf.layer("x", LONG_AGO)
    await shelf.put(f"images/{A}.oci-zstd.json", b"{", LONG_AGO)
    await shelf.put(f"images/{B}.oci-zstd.json", b'{"top": "sha256:x", "first": 3}', LONG_AGO)
    await shelf.put(f"used/{A}.json", b"[]", LONG_AGO)
    await shelf.pin("c" * 32, LONG_AGO)
    broken = await shelf.image("d" * 32, [layer], at=LONG_AGO)
    await shelf.put(blob_key(broken), b"not json", LONG_AGO)
    assert blob_key(layer) in await items(shelf)


async def test_what_lies_under_a_strange_name_is_left_alone(shelf: Shelf) -> None:
    await shelf.put("blobs/sha256/aa/notes.txt", b"x", LONG_AGO)
    await shelf.put(f"packages/bb/{'c' * 64}", b"x", LONG_AGO)
    assert await items(shelf) == {}


async def test_an_inventory_and_plan_of_100000_blobs_takes_few_bytes_each() -> None:
    number = 100_000

    class Large:
        """Has that many layers of no image, and nothing else."""

        async def entries(self, prefix: str) -> AsyncIterator[StoreEntry]:
            if prefix.startswith("blobs/"):
                for index in range(number):
                    digits = f"{index:064x}"
                    yield StoreEntry(f"blobs/sha256/00/{digits}", 10**8, float(index))

    tracemalloc.start()
    inventory = await take_inventory(Large())  # type: ignore[arg-type]  # it is only listed
    plan = plan_eviction(inventory.items, Budget(size_bytes=10**8), 10**9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.items) == number - 1
    assert peak / number < 1000
