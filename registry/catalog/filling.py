"""Writes down what locks have that rules ask for: those of before, and of no environment."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from sqlalchemy import exists, func, select, update

from registry.catalog.lock_rows import keep_lock, unread_keys
from registry.catalog.ports import ContentOf
from registry.database import Database, tables

#: So many locks are read in one round: the next one goes on.
MAX_LOCKS: Final = 2000
#: So many locks of no environment are judged at most: strangers can have any number of them made.
MAX_NAMELESS: Final = 20_000
_PAGE: Final = 100


async def fill_locks(database: Database, content_of: ContentOf, limit: int = MAX_LOCKS) -> int:
    """Read locks of built versions that were not read yet, and return how many those were.

    Their versions are judged again. A lock that is gone is passed over.

    Args:
        database: Where rows are.
        content_of: Reads locks.
        limit: How many to read at most.

    Raises:
        DatabaseUnavailable: It does not answer.
        StoreUnavailable: The store does not answer.
    """
    after, count = "", 0
    while count < limit:
        async with database.reading() as connection:
            keys = await unread_keys(connection, after, min(_PAGE, limit - count))
        if not keys:
            break
        for key in keys:
            content = await content_of(key)
            if content.packages:
                async with database.writing() as connection:
                    await keep_lock(connection, key, content)
                    again = tables.version.c.key == key
                    await connection.execute(update(tables.version).where(again).values(judged=0))
        count += len(keys)
        after = keys[-1]
    return count


async def fill_nameless(
    database: Database,
    keys: AsyncIterator[str],
    content_of: ContentOf,
    limit: int = MAX_LOCKS,
    most: int = MAX_NAMELESS,
) -> int:
    """Read locks of no environment that were not read yet, and return how many those were.

    If there are any, everything is judged again.

    Args:
        database: Where rows are.
        keys: Of all locks that there are.
        content_of: Reads locks.
        limit: How many to read at most.
        most: How many there are to be in the database at most.

    Raises:
        DatabaseUnavailable: It does not answer.
        StoreUnavailable: The store does not answer.
    """
    limit = min(limit, most - await _nameless(database))
    count, some = 0, list[str]()
    async for key in keys:
        some.append(key)
        if len(some) == _PAGE:
            count += await _fill(database, some, content_of, limit - count)
            some = []
        if count >= limit:
            break
    count += await _fill(database, some, content_of, limit - count)
    if count:
        async with database.writing() as connection:
            await connection.execute(update(tables.judging).values(digest=""))
    return count


async def _nameless(database: Database) -> int:
    table, version = tables.lock_platform, tables.version
    has_none = ~exists().where(version.c.key == table.c.key)
    statement = select(func.count(func.distinct(table.c.key))).where(has_none)
    async with database.reading() as connection:
        return int((await connection.execute(statement)).scalar_one())


async def _fill(database: Database, keys: Sequence[str], content_of: ContentOf, limit: int) -> int:
    table, version = tables.lock_platform, tables.version
    if not keys or limit <= 0:
        return 0
    async with database.reading() as connection:
        read = select(table.c.key).where(table.c.key.in_(keys))
        named = select(version.c.key).where(version.c.key.in_(keys))
        known = set((await connection.execute(read.union(named))).scalars())
    count = 0
    for key in [key for key in keys if key not in known][:limit]:
        content = await content_of(key)
        if content.packages:
            async with database.writing() as connection:
                await keep_lock(connection, key, content)
            count += 1
    return count
