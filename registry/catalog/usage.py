"""Usage: what was pulled, when last, and what it takes in the store, by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Table, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.limits import day_of
from registry.catalog.lookup import MAX_PAGE, cursor, environment_row, namespace_row, page_after
from registry.catalog.measuring import NOTHING, latest
from registry.catalog.records import Page
from registry.catalog.sizes import size_alone
from registry.database import Database, tables
from registry.errors import CursorInvalid

#: For how long days are kept.
KEPT_DAYS: Final = 400


@dataclass(frozen=True, slots=True)
class Used:
    """What an environment, or a namespace, was used for and takes."""

    #: The slug of a namespace, or the path of an environment.
    name: str
    #: What nobody beside its namespace has, and what others have as well; as it was measured last.
    own_bytes: int
    shared_bytes: int
    #: In the days that were asked for.
    pulls: int
    #: In as many days as are kept; ``None``: it was not pulled.
    last_pulled_at: datetime | None
    #: Of a namespace: how many environments it has.
    environments: int | None = None


@dataclass(frozen=True, slots=True)
class UsedDay:
    """One day of an environment, or a namespace, UTC."""

    #: As ``2026-11-29``.
    day: str
    pulls: int
    #: As it was measured last that day, or before.
    own_bytes: int
    shared_bytes: int
    #: Of a namespace: versions that were asked for.
    builds: int | None = None


class UsageReports:
    """Tells what is used.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def namespaces(
        self,
        *,
        days: int = 30,
        is_by_size: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Used]:
        """Return what namespaces use, by slug, or what takes most before the others.

        Args:
            days: Over how many days pulls are counted, today included.
            is_by_size: Whether in the order of what their images take, as it is kept with each.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        table, environment = tables.namespace, tables.environment
        limit = max(1, min(limit, MAX_PAGE))
        size = func.coalesce(table.c.size_bytes, 0)
        statement = (
            select(table.c.id, table.c.slug, size)
            .where(table.c.deleted_at.is_(None))
            .limit(limit + 1)
        )
        if is_by_size:
            statement = statement.order_by(size.desc(), table.c.slug)
            if after is not None:
                largest, slug = _size_and_slug(after)
                follows = or_(size < largest, and_(size == largest, table.c.slug > slug))
                statement = statement.where(follows)
        else:
            statement = statement.where(table.c.slug > page_after(after)).order_by(table.c.slug)
        async with self._database.reading() as connection:
            found_rows = (await connection.execute(statement)).all()
            rows = [(row[0], row[1]) for row in found_rows]
            ids = [one for one, _ in rows[:limit]]
            counts = (
                select(environment.c.namespace_id, func.count())
                .where(environment.c.namespace_id.in_(ids), environment.c.deleted_at.is_(None))
                .group_by(environment.c.namespace_id)
            )
            numbers = {row[0]: row[1] for row in await connection.execute(counts)}
            found = await self._used(connection, tables.namespace_day, rows[:limit], days, numbers)
        if len(rows) <= limit:
            return Page(found)
        _, last, size_bytes = found_rows[limit - 1]
        return Page(found, cursor(f"{size_bytes} {last}" if is_by_size else last))

    async def namespace(self, slug: str, *, days: int = 30) -> tuple[Used, Sequence[UsedDay]]:
        """Return what a namespace uses, and its days, the oldest first.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        environment = tables.environment
        async with self._database.reading() as connection:
            row = await namespace_row(connection, slug)
            statement = select(func.count()).where(
                environment.c.namespace_id == row.id, environment.c.deleted_at.is_(None)
            )
            number = (await connection.execute(statement)).scalar_one()
            place = [(row.id, row.slug)]
            found = await self._used(
                connection, tables.namespace_day, place, days, {row.id: number}
            )
            return found[0], await self._days(connection, tables.namespace_day, row.id, days)

    async def alone(self, namespace: str, slug: str) -> int:
        """Return how many bytes an environment has that no other one has.

        Raises:
            EnvironmentUnknown: There is none of that slug.
        """
        async with self._database.reading() as connection:
            row = await environment_row(connection, namespace, slug)
            return await size_alone(connection, row.id)

    async def environments(
        self, slug: str, *, days: int = 30, after: str | None = None, limit: int = 50
    ) -> Page[Used]:
        """Return what the environments of a namespace use, by slug.

        Raises:
            NamespaceUnknown: There is none of that slug.
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.environment
        limit = max(1, min(limit, MAX_PAGE))
        begin = page_after(after)
        async with self._database.reading() as connection:
            namespace = await namespace_row(connection, slug)
            statement = (
                select(table.c.id, table.c.path)
                .where(
                    table.c.namespace_id == namespace.id,
                    # By the index of paths: "0" is what follows "/".
                    table.c.path > max(begin, f"{namespace.slug}/"),
                    table.c.path < f"{namespace.slug}0",
                    table.c.deleted_at.is_(None),
                )
                .order_by(table.c.path)
                .limit(limit + 1)
            )
            rows = [tuple(row) for row in await connection.execute(statement)]
            found = await self._used(connection, tables.usage_day, rows[:limit], days)
        return Page(found, cursor(rows[limit - 1][1]) if len(rows) > limit else None)

    async def environment(
        self, namespace: str, slug: str, *, days: int = 30
    ) -> tuple[Used, Sequence[UsedDay]]:
        """Return what an environment uses, and its days, the oldest first.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
        """
        async with self._database.reading() as connection:
            row = await environment_row(connection, namespace, slug)
            found = await self._used(connection, tables.usage_day, [(row.id, row.path)], days)
            return found[0], await self._days(connection, tables.usage_day, row.id, days)

    async def forget_old(self) -> None:
        """Forget days that are older than :data:`KEPT_DAYS`, but for what was measured last."""
        since = day_of(self._database.now() - timedelta(days=KEPT_DAYS))
        for table in (tables.usage_day, tables.namespace_day):
            place = next(iter(table.primary_key.columns))
            newer = table.alias()
            is_replaced = (
                select(newer.c.day)
                .where(
                    newer.c[place.name] == place,
                    newer.c.day > table.c.day,
                    newer.c.own_bytes.is_not(None),
                )
                .exists()
            )
            async with self._database.writing() as connection:
                await connection.execute(
                    delete(table).where(
                        table.c.day < since, table.c.own_bytes.is_(None) | is_replaced
                    )
                )

    async def _used(
        self,
        connection: AsyncConnection,
        table: Table,
        places: Sequence[tuple[Any, ...]],
        days: int,
        numbers: dict[int, int] | None = None,
    ) -> list[Used]:
        """Return what is used by places: pairs of an id and a name."""
        ids = [one for one, _ in places]
        if not ids:
            return []
        column = next(iter(table.primary_key.columns))
        pulled = (
            select(column, func.sum(table.c.pulls))
            .where(column.in_(ids), table.c.day >= self._first_day(days))
            .group_by(column)
        )
        pulls = {row[0]: int(row[1] or 0) for row in await connection.execute(pulled)}
        last = select(column, func.max(table.c.last_at)).where(column.in_(ids)).group_by(column)
        lasts = {row[0]: row[1] for row in await connection.execute(last)}
        sizes = await latest(connection, table, ids)
        return [
            Used(
                name,
                sizes.get(one, NOTHING).own_bytes,
                sizes.get(one, NOTHING).shared_bytes,
                pulls.get(one, 0),
                lasts.get(one),
                numbers.get(one, 0) if numbers is not None else None,
            )
            for one, name in places
        ]

    async def _days(
        self, connection: AsyncConnection, table: Table, place: int, days: int
    ) -> list[UsedDay]:
        """Return every day, the oldest first: one without a row is as the one before."""
        column = next(iter(table.primary_key.columns))
        first = self._first_day(days)
        size = (await latest(connection, table, [place], before=first)).get(place, NOTHING)
        own, shared = size.own_bytes, size.shared_bytes
        statement = select(table).where(column == place, table.c.day >= first)
        rows = {row.day: row for row in await connection.execute(statement)}
        has_builds = "builds" in table.c
        found = []
        for number in range(days):
            day = (date.fromisoformat(first) + timedelta(days=number)).isoformat()
            row = rows.get(day)
            if row is not None and row.own_bytes is not None:
                own, shared = row.own_bytes, row.shared_bytes or 0
            builds = (row.builds if row is not None else 0) if has_builds else None
            found.append(UsedDay(day, row.pulls if row is not None else 0, own, shared, builds))
        return found

    def _first_day(self, days: int) -> str:
        return day_of(self._database.now() - timedelta(days=days - 1))


def _size_and_slug(after: str) -> tuple[int, str]:
    """Return with what a page ended that is in the order of sizes.

    Raises:
        CursorInvalid: It is of no such page.
    """
    size, _, slug = page_after(after).partition(" ")
    if not (size.isascii() and size.isdecimal() and len(size) < 19):
        raise CursorInvalid
    return int(size), slug
