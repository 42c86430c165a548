"""Builds that are blocked, read into a server's memory: all of them, or what changes name."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.ports import Blocks
from registry.database import Database, tables

#: So many rows are read at once.
_BATCH: Final = 500
#: What the paths of their documents start with in the outbox; no slug has a colon.
BLOCK: Final = "blocked:"


async def blocks_at(connection: AsyncConnection, keys: Sequence[str]) -> Mapping[str, str]:
    """Return why builds are blocked, by their keys; those that are not are not in it."""
    table = tables.block
    found: dict[str, str] = {}
    for start in range(0, len(keys), _BATCH):
        statement = select(table.c.key, table.c.reason).where(
            table.c.key.in_(keys[start : start + _BATCH])
        )
        found.update((row.key, row.reason) for row in await connection.execute(statement))
    return found


async def blocks_after(connection: AsyncConnection, key: str) -> Mapping[str, str]:
    """Return the next builds that are blocked after a key, in their order; none at the end."""
    table = tables.block
    statement = (
        select(table.c.key, table.c.reason)
        .where(table.c.key > key)
        .order_by(table.c.key)
        .limit(_BATCH)
    )
    return {row.key: row.reason for row in await connection.execute(statement)}


class BlockLoading:
    """Keeps what is blocked in memory as the database has it.

    Args:
        blocks: What knows it in memory; it may have read the store before.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    async def everything(self, database: Database) -> None:
        """Read all of them; what was blocked before and is no more is let go.

        Raises:
            DatabaseUnavailable: It does not answer; memory has a part of it.
        """
        last = ""
        kept: set[str] = set()
        while True:
            async with database.reading() as connection:
                found = await blocks_after(connection, last)
            for key, reason in found.items():
                self._blocks.put(key, reason)
            kept.update(found)
            if not found:
                break
            last = max(found)
        for key in self._blocks.keys() - kept:
            self._blocks.remove(key)

    async def again(self, connection: AsyncConnection, keys: Sequence[str]) -> None:
        """Read what is named."""
        found = await blocks_at(connection, keys)
        for key in keys:
            if key in found:
                self._blocks.put(key, found[key])
            else:
                self._blocks.remove(key)
