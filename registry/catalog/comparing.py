"""Compares the documents in the store with the database, and has those mended that differ."""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from builder.concurrency.single_flight import together
from builder.ports import Store
from registry.catalog.block_loading import BLOCK, blocks_after
from registry.catalog.journal import queue_documents
from registry.catalog.pointers import namespaces_after, pointers_after
from registry.database import Database
from registry.images.blocked import dump_block
from registry.sources.directory import Pointer, dump_namespace
from registry.storage.layout import BLOCKED, ENVIRONMENTS, NAMESPACES

#: Returns what is written into the store of a pointer.
Dump = Callable[[Pointer], bytes]
_PREFIXES: Final = (NAMESPACES, ENVIRONMENTS, BLOCKED)


async def compare(
    database: Database,
    store: Store,
    dump: Dump,
    on_found: Callable[[str], None] = lambda _path: None,
) -> int:
    """Have every document written again that is not what the database says; return how many.

    Both are read in the order of their paths, a hundred at a time: neither is held in memory. What
    changes meanwhile may be written once more, which does no harm.

    Args:
        database: Says what is right.
        store: Has the documents.
        dump: Makes documents of pointers.
        on_found: Is told the path of each that is wrong, as the outbox has it.

    Raises:
        DatabaseUnavailable: It does not answer.
        StoreUnavailable: It does not answer.
    """
    return sum([await _compare(database, store, dump, prefix, on_found) for prefix in _PREFIXES])


async def _compare(
    database: Database, store: Store, dump: Dump, prefix: str, on_found: Callable[[str], None]
) -> int:
    found, after = 0, ""
    while True:
        async with database.reading() as connection:
            right = await _right(connection, dump, prefix, after)
        last = max(right, default="")
        written = await _written(store, prefix, after, last)
        wrong = [path for path in right.keys() | written if right.get(path) != written.get(path)]
        if prefix == BLOCKED:
            wrong = [f"{BLOCK}{key}" for key in wrong]
        for path in sorted(wrong):
            on_found(path)
        if wrong:
            async with database.writing() as connection:
                await queue_documents(connection, wrong, database.now())
        found += len(wrong)
        if not right:
            return found
        after = last


async def _right(
    connection: AsyncConnection, dump: Dump, prefix: str, after: str
) -> Mapping[str, bytes]:
    """Return the next documents as they are to be."""
    if prefix == NAMESPACES:
        return {slug: dump_namespace(slug) for slug in await namespaces_after(connection, after)}
    if prefix == BLOCKED:
        blocks = await blocks_after(connection, after)
        return {key: dump_block(reason) for key, reason in blocks.items()}
    pointers = await pointers_after(connection, after)
    return {f"{one.namespace}/{one.environment}": dump(one) for one in pointers}


async def _written(store: Store, prefix: str, after: str, last: str) -> Mapping[str, bytes]:
    """Return the documents of the paths after one up to another; empty: all that come after."""
    paths: list[str] = []
    async for entry in store.entries(prefix, f"{prefix}{after}" if after else ""):
        path = entry.key.removeprefix(prefix)
        if last and path > last:
            break
        paths.append(path)
    read = await together(store.read(f"{prefix}{path}") for path in paths)
    return {path: data for path, data in zip(paths, read, strict=True) if data is not None}
