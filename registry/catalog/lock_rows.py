"""What locks have, as rows: which packages, so that environments are found and judged by them.

::

    package         each exact package once        rules are held against it
    lock_package    which lock has which           what a rule hits
    lock_platform   a lock's base, and its sums    what rules ask of a lock as a whole; those that
                                                   were written before have none until they are read
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.ports import LockContent, LockedPackage
from registry.database import tables

#: So many rows are looked up by one statement.
_BATCH: Final = 500


async def keep_lock(connection: AsyncConnection, key: str, content: LockContent) -> None:
    """Write down what a lock has, if that is not there.

    Args:
        connection: Of the transaction.
        key: The lock's.
        content: What it has.
    """
    await keep_locks(connection, {key: content})


async def keep_locks(connection: AsyncConnection, locks: Mapping[str, LockContent]) -> None:
    """Do as :func:`keep_lock` for some locks at once, by their keys, in as many statements."""
    sums, table = tables.lock_platform, tables.lock_package
    known = select(sums.c.key).where(sums.c.key.in_(list(locks)))
    there = set((await connection.execute(known)).scalars())
    # Of one name once, as in locks.
    new = {
        key: {(one.platform, one.manager, one.name): one for one in content.packages}.values()
        for key, content in locks.items()
        if content.packages and key not in there
    }
    if not new:
        return
    # Rows of before know less: what they say is said again.
    await connection.execute(delete(table).where(table.c.key.in_(list(new))))
    facts = {one: facts_of(one) for packages in new.values() for one in packages}
    numbers = await _numbers(connection, {named: one for one, named in facts.items()})
    rows = [
        {
            "key": key,
            "platform": one.platform,
            "manager": one.manager,
            "name": one.name,
            "version": one.version,
            "build": one.build,
            "channel": one.channel,
            "package_id": numbers[facts[one]],
        }
        for key, packages in new.items()
        for one in packages
    ]
    await connection.execute(insert(table), rows)
    await connection.execute(
        insert(sums),
        [
            _sums(key, platform, locks[key].base, packages)
            for key, packages in new.items()
            for platform in sorted({one.platform for one in packages})
        ],
    )


async def unread_keys(connection: AsyncConnection, after: str, limit: int) -> Sequence[str]:
    """Return keys of built versions whose locks have no row of sums yet, sorted."""
    version, sums = tables.version, tables.lock_platform
    is_read = exists().where(sums.c.key == version.c.key)
    statement = (
        select(version.c.key)
        .where(version.c.key > after, version.c.key.is_not(None), ~is_read)
        .group_by(version.c.key)
        .order_by(version.c.key)
        .limit(limit)
    )
    return list((await connection.execute(statement)).scalars())


def facts_of(package: LockedPackage) -> str:
    """Return 32 hex digits of what rules ask of a package, whichever platform it is for."""
    facts = [
        *(package.manager, package.name, package.version, package.build, package.channel),
        *(package.licence, package.published_ms, package.project, package.size_bytes),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


async def _numbers(
    connection: AsyncConnection, wanted: Mapping[str, LockedPackage]
) -> Mapping[str, int]:
    """Return the numbers of packages by their facts; those that are new get a row."""
    table = tables.package
    found: dict[str, int] = {}
    facts = list(wanted)
    for start in range(0, len(facts), _BATCH):
        part = facts[start : start + _BATCH]
        is_one = table.c.facts.in_(part)
        rows = await connection.execute(select(table.c.facts, table.c.id).where(is_one))
        found.update((row.facts, row.id) for row in rows)
        new = [_row(one, wanted[one]) for one in part if one not in found]
        if new:
            await connection.execute(insert(table), new)
            added = [row["facts"] for row in new]
            statement = select(table.c.facts, table.c.id).where(table.c.facts.in_(added))
            found.update((row.facts, row.id) for row in await connection.execute(statement))
    return found


def _row(facts: str, package: LockedPackage) -> dict[str, Any]:
    return {
        "facts": facts,
        "manager": package.manager,
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "channel": package.channel,
        "licence": package.licence,
        "published_ms": package.published_ms,
        "project": package.project,
        "size_bytes": package.size_bytes,
    }


def _sums(
    key: str, platform: str, base: str, packages: Collection[LockedPackage]
) -> dict[str, Any]:
    there = [one for one in packages if one.platform == platform]
    return {
        "key": key,
        "platform": platform,
        "base": base,
        "packages": len(there),
        "size_bytes": sum(one.size_bytes for one in there),
    }
