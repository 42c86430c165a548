"""Measuring what namespaces and environments take: today's row of each, where it has changed.

What is counted is said by :mod:`registry.catalog.sizes`. *Shared* is what namespaces beside have as
well, *own* is the rest; each blob counts once in a namespace, and once in each environment of it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sqlalchemy import Table, and_, case, exists, func, literal, null, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.limits import day_of
from registry.catalog.sizes import is_held
from registry.database import Database, tables
from registry.database.types import Identity

#: Beside everything that begins so, this changes what is held.
_CHANGES: Final = (
    "version.built",
    "version.imported",
    "version.freed",
    "version.restored",
    "version.deleted",
)
#: So many rows are written in one transaction.
_BATCH: Final = 500
#: A namespace with so many environments is measured by one statement: PostgreSQL ends those that
#: take long.
_SMALL: Final = 500


@dataclass(frozen=True, slots=True)
class Measured:
    """What something takes."""

    own_bytes: int
    shared_bytes: int

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(self.own_bytes + other.own_bytes, self.shared_bytes + other.shared_bytes)


NOTHING: Final = Measured(0, 0)


class Measuring:
    """Measures namespaces: all of them, or those in which something has changed.

    Both methods raise :class:`DatabaseUnavailable` when the database does not answer; what was
    measured before is written. Several servers may do it at once: they write the same.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: The last event that was looked at.
        self._seen: int | None = None

    async def all(self) -> None:
        """Measure every namespace: what is shared changes with what others have."""
        table, last = tables.namespace, 0
        while True:
            statement = (
                select(table.c.id)
                .where(table.c.id > last, table.c.deleted_at.is_(None))
                .order_by(table.c.id)
                .limit(_BATCH)
            )
            async with self._database.reading() as connection:
                found = list((await connection.execute(statement)).scalars())
            if not found:
                return
            last = found[-1]
            await self._measure(found)

    async def changed(self) -> None:
        """Measure namespaces in which what is held has changed since this was called last.

        Large ones are left to :meth:`all`: that takes a while.
        """
        table, environment = tables.event, tables.environment
        count = select(func.count()).where(
            environment.c.namespace_id == table.c.namespace_id, environment.c.deleted_at.is_(None)
        )
        async with self._database.reading() as connection:
            newest = (await connection.execute(select(func.max(table.c.id)))).scalar() or 0
            seen, self._seen = self._seen, newest
            if seen is None or newest == seen:
                return
            is_change = (
                table.c.action.in_(_CHANGES)
                | table.c.action.startswith("environment.")
                | table.c.action.startswith("namespace.")
            )
            statement = (
                select(table.c.namespace_id)
                .where(
                    table.c.id > seen,
                    table.c.id <= newest,
                    table.c.namespace_id.is_not(None),
                    is_change,
                    count.scalar_subquery() <= _SMALL,
                )
                .distinct()
            )
            found = sorted((await connection.execute(statement)).scalars())
        await self._measure(found)

    async def _measure(self, namespaces: Sequence[int]) -> None:
        for namespace in namespaces:
            async with self._database.reading(is_snapshot=True) as connection:
                whole, environments = await _sizes(connection, namespace)
                known = await _known(connection, namespace)
                before = await latest(connection, tables.namespace_day, [namespace])
                kept = await _kept(connection, namespace)
            day = day_of(self._database.now())
            await self._correct(namespace, kept, whole.own_bytes + whole.shared_bytes)
            if before.get(namespace, NOTHING) != whole:
                await self._write(tables.namespace_day, day, [(namespace, whole)])
            changed = [
                (one, environments.get(one, NOTHING))
                for one in sorted({*environments, *known})
                if environments.get(one, NOTHING) != known.get(one, NOTHING)
            ]
            for part in _parts(changed):
                await self._write(tables.usage_day, day, part)
            await asyncio.sleep(0)

    async def _correct(self, namespace: int, kept: int | None, measured: int) -> None:
        """Correct the sum that is kept with a namespace; what has come since then stays in it."""
        if kept == measured:
            return
        table = tables.namespace
        more = measured - (kept or 0)
        values = {"size_bytes": func.coalesce(table.c.size_bytes, 0) + more}
        async with self._database.writing() as connection:
            await connection.execute(
                update(table)
                .where(table.c.id == namespace, table.c.size_bytes.is_(None) == (kept is None))
                .values(**values)
            )

    async def _write(self, table: Table, day: str, rows: Sequence[tuple[int, Measured]]) -> None:
        column = next(iter(table.primary_key.columns))
        values = [
            {
                column.name: one,
                "day": day,
                "own_bytes": size.own_bytes,
                "shared_bytes": size.shared_bytes,
            }
            for one, size in rows
        ]
        async with self._database.writing() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(table)
            new = statement.excluded
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[column, table.c.day],
                    set_={"own_bytes": new.own_bytes, "shared_bytes": new.shared_bytes},
                ),
                values,
            )


async def latest(
    connection: AsyncConnection, table: Table, ids: Sequence[int], before: str | None = None
) -> dict[int, Measured]:
    """Return what was measured last of namespaces, or environments; nothing of what never was.

    Args:
        connection: To read with.
        table: ``namespace_day`` or ``usage_day``.
        ids: Of which.
        before: Only what was measured before that day.
    """
    column = next(iter(table.primary_key.columns))
    inner = table.alias()
    days = select(func.max(inner.c.day)).where(
        inner.c[column.name] == column, inner.c.own_bytes.is_not(None)
    )
    if before is not None:
        days = days.where(inner.c.day < before)
    statement = select(column, table.c.own_bytes, table.c.shared_bytes).where(
        column.in_(ids), table.c.day == days.scalar_subquery()
    )
    rows = await connection.execute(statement)
    return {row[0]: Measured(row.own_bytes, row.shared_bytes) for row in rows}


async def _known(connection: AsyncConnection, namespace: int) -> dict[int, Measured]:
    """Return what was measured last of the environments of a namespace."""
    day, environment = tables.usage_day, tables.environment
    number = func.row_number().over(partition_by=day.c.environment_id, order_by=day.c.day.desc())
    ordered = (
        select(day.c.environment_id, day.c.own_bytes, day.c.shared_bytes, number.label("nth"))
        .join(environment, environment.c.id == day.c.environment_id)
        .where(environment.c.namespace_id == namespace, environment.c.deleted_at.is_(None))
        .where(day.c.own_bytes.is_not(None))
        .subquery()
    )
    rows = await connection.execute(select(ordered).where(ordered.c.nth == 1))
    return {row.environment_id: Measured(row.own_bytes, row.shared_bytes) for row in rows}


async def _kept(connection: AsyncConnection, namespace: int) -> int | None:
    """Return the sum that is kept with a namespace; ``None``: it has never been measured."""
    table = tables.namespace
    statement = select(table.c.size_bytes).where(table.c.id == namespace)
    found: int | None = (await connection.execute(statement)).scalar()
    return found


async def _sizes(
    connection: AsyncConnection, namespace: int
) -> tuple[Measured, dict[int, Measured]]:
    """Return what a namespace takes, and each of its environments that takes anything.

    Of a large one, a part of all digests is looked at by each statement.
    """
    table = tables.environment
    some = select(table.c.id).where(table.c.namespace_id == namespace, table.c.deleted_at.is_(None))
    found = (await connection.execute(some.limit(_SMALL + 1))).all()
    bounds = [None, *(f"sha256:{digit}" for digit in "123456789abcdef"), None]
    if len(found) <= _SMALL:
        bounds = [None, None]
    whole = NOTHING
    environments: dict[int, Measured] = {}
    for start, end in pairwise(bounds):
        part, by_environment = await _sizes_between(connection, namespace, start, end)
        whole += part
        for one, size in by_environment.items():
            environments[one] = environments.get(one, NOTHING) + size
    return whole, environments


async def _sizes_between(
    connection: AsyncConnection, namespace: int, start: str | None, end: str | None
) -> tuple[Measured, dict[int, Measured]]:
    """Return the same of digests from one on, up to but without another."""
    version, environment, blob = tables.version, tables.environment, tables.build_blob
    there = version.join(environment, environment.c.id == version.c.environment_id)
    is_alive = environment.c.deleted_at.is_(None)
    held = (
        select(environment.c.id.label("environment"), version.c.key)
        .select_from(there)
        .where(environment.c.namespace_id == namespace, is_alive, is_held())
        .distinct()
        .cte("held")
    )
    inside = [blob.c.digest >= start] if start is not None else []
    inside += [blob.c.digest < end] if end is not None else []
    parts = (
        select(held.c.environment, blob.c.digest, blob.c.size_bytes)
        .join(held, held.c.key == blob.c.key)
        .where(*inside)
        .distinct()
        .cte("parts")
    )
    digests = (
        select(parts.c.digest, func.max(parts.c.size_bytes).label("size_bytes"))
        .group_by(parts.c.digest)
        .cte("digests")
    )
    other = tables.build_blob.alias("other")
    elsewhere = exists(
        select(literal(1))
        .select_from(
            other.join(version, version.c.key == other.c.key).join(
                environment, environment.c.id == version.c.environment_id
            )
        )
        .where(
            other.c.digest == digests.c.digest,
            and_(environment.c.namespace_id != namespace, is_alive, is_held()),
        )
        .correlate(digests)
    )
    shared = select(
        digests.c.digest, digests.c.size_bytes, case((elsewhere, 1), else_=0).label("is_shared")
    ).cte("shared")
    both = case((shared.c.is_shared == 1, shared.c.size_bytes), else_=0)
    by_environment = (
        select(parts.c.environment, func.sum(shared.c.size_bytes), func.sum(both))
        .join(shared, shared.c.digest == parts.c.digest)
        .group_by(parts.c.environment)
    )
    of_all = select(null().cast(Identity), func.sum(shared.c.size_bytes), func.sum(both))
    whole, found = NOTHING, {}
    for row in await connection.execute(union_all(by_environment, of_all)):
        one, size, common = row[0], int(row[1] or 0), int(row[2] or 0)
        if one is None:
            whole = Measured(size - common, common)
        else:
            found[one] = Measured(size - common, common)
    return whole, found


def _parts(rows: Sequence[tuple[int, Measured]]) -> Iterator[Sequence[tuple[int, Measured]]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]
