"""What is blocked is in the store, too, as the database says it."""

import pytest

from registry.catalog.blocks import Blocks
from registry.catalog.comparing import compare
from registry.catalog.outbox import OutboxWriter
from registry.catalog.records import Actor
from registry.images.blocked import parse_block
from registry.sources.directory import dump_pointer
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import BLOCKED, blocked_key
from tests.registry.catalog.house import House

pytestmark = pytest.mark.anyio

KEYS = [f"{number:032x}" for number in range(3)]
ADMIN = Actor("root")


async def written(store: FilesystemStore) -> dict[str, str]:
    """Return what the store says: why, by key."""
    found = {}
    async for entry in store.entries(BLOCKED):
        data = await store.read(entry.key)
        assert data is not None
        found[entry.key.removeprefix(BLOCKED)] = parse_block(data)
    return found


async def write_all(house: House, store: FilesystemStore) -> None:
    writer = OutboxWriter(house.database, store, dump_pointer)
    while await writer.write():
        pass


async def test_blocking_writes_a_document_and_unblocking_deletes_it(
    house: House, store: FilesystemStore
) -> None:
    blocks = Blocks(house.database)
    for key in KEYS:
        await blocks.block(ADMIN, key, f"reason of {key}")
    await blocks.block(ADMIN, KEYS[0], "another one")
    await house.environment()
    await write_all(house, store)
    expected = {key: f"reason of {key}" for key in KEYS} | {KEYS[0]: "another one"}
    assert await written(store) == expected
    await blocks.unblock(ADMIN, KEYS[1])
    await write_all(house, store)
    del expected[KEYS[1]]
    assert await written(store) == expected


async def test_documents_that_differ_from_the_database_are_mended(
    house: House, store: FilesystemStore
) -> None:
    blocks = Blocks(house.database)
    for key in KEYS[:2]:
        await blocks.block(ADMIN, key, "it is bad")
    await write_all(house, store)
    await store.delete(blocked_key(KEYS[0]))
    await store.write(blocked_key(KEYS[1]), b'{"reason":"other words"}')
    await store.write(blocked_key(KEYS[2]), b'{"reason":"nobody said so"}')
    wrong: list[str] = []
    assert await compare(house.database, store, dump_pointer, wrong.append) == 3
    assert wrong == [f"blocked:{key}" for key in KEYS]
    await write_all(house, store)
    assert await written(store) == dict.fromkeys(KEYS[:2], "it is bad")
    assert await compare(house.database, store, dump_pointer) == 0
