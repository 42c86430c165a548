"""Groups: to whom roles are given together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, collate, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.administrators import Administrators
from registry.catalog.journal import add_change, add_event
from registry.catalog.lookup import (
    MAX_PAGE,
    checked_principal,
    contains,
    cursor,
    page_after,
    search_text,
    searchable,
)
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Page
from registry.database import Database, tables
from registry.errors import GroupHasRoles, GroupUnknown


@dataclass(frozen=True, slots=True)
class Group:
    """A group."""

    name: str
    #: ``local``, or ``oidc``: a provider told of it first.
    source: str
    members: int = 0
    #: How many roles were given to it.
    grants: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a group."""

    name: str
    #: ``local``, or ``oidc``: the provider says so at each login.
    source: str


class Groups:
    """Lists groups, makes them and deletes them; who is in them: :class:`Principals`.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
        administrators: Keep one of them; ``None``: those that grants make.
    """

    def __init__(
        self,
        database: Database,
        settled: Settled = settled_nowhere,
        administrators: Administrators | None = None,
    ) -> None:
        self._database = database
        self._settled = settled
        self._administrators = administrators or Administrators(database)

    async def list(
        self, *, search: str = "", after: str | None = None, limit: int = 50
    ) -> Page[Group]:
        """Return groups by name.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.group
        limit = max(1, min(limit, MAX_PAGE))
        name = self._in_order(table.c.name)
        statement = select(table).where(name > page_after(after)).order_by(name).limit(limit + 1)
        if search:
            statement = statement.where(contains(func.lower(table.c.name), search_text(search)))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
            found = await _counted(connection, rows[:limit])
        return Page(found, cursor(rows[limit - 1].name) if len(rows) > limit else None)

    async def get(self, name: str) -> Group:
        """Return a group.

        Raises:
            GroupUnknown: There is none.
        """
        async with self._database.reading() as connection:
            return (await _counted(connection, [await _row(connection, name)]))[0]

    async def create(self, actor: Actor, name: str) -> Group:
        """Return a group, which is made if there is none. Idempotent.

        Raises:
            CatalogNameInvalid: It cannot be named so.
        """
        table = tables.group
        checked_principal(name)
        async with self._database.writing() as connection:
            known = select(table).where(table.c.name == name)
            row = (await connection.execute(known)).first()
            if row is None:
                new = insert(table).values(name=name, source="local").returning(table)
                row = (await connection.execute(new)).one()
                now = self._database.now()
                await add_event(connection, actor, now, "group.created", detail={"group": name})
            return (await _counted(connection, [row]))[0]

    async def delete(self, actor: Actor, name: str) -> None:
        """Delete a group, on every server from now on; nobody is in it any more.

        Raises:
            GroupUnknown: There is none.
            GroupHasRoles: Roles were given to it.
            LastAdministrator: Nobody could administer the service any more.
        """
        table, member = tables.group, tables.membership
        async with (
            self._database.writing() as connection,
            self._administrators.kept(connection),
        ):
            now = self._database.now()
            group = (await _counted(connection, [await _row(connection, name)]))[0]
            if group.grants:
                raise GroupHasRoles(name, group.grants)
            gone = delete(member).where(member.c.group_name == name)
            members = await connection.execute(gone.returning(member.c.principal_name))
            names = sorted(members.scalars())
            await connection.execute(delete(table).where(table.c.name == name))
            detail = {"group": name, "members": names[:MAX_PAGE]}
            await add_event(connection, actor, now, "group.deleted", detail=detail)
            change = 0
            for one in names:
                change = await add_change(connection, "group", one, now)
        await self._settled(change)

    async def members(
        self, name: str, *, after: str | None = None, limit: int = 50
    ) -> Page[Member]:
        """Return who is in a group, by name.

        Raises:
            GroupUnknown: There is none.
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.membership
        limit = max(1, min(limit, MAX_PAGE))
        member = self._in_order(table.c.principal_name)
        async with self._database.reading() as connection:
            group = await _row(connection, name)
            statement = (
                select(table)
                .where(table.c.group_name == group.name, member > page_after(after))
                .order_by(member)
                .limit(limit + 1)
            )
            rows = (await connection.execute(statement)).all()
        found = [Member(row.principal_name, row.source) for row in rows[:limit]]
        return Page(found, cursor(found[-1].name) if len(rows) > limit else None)

    def _in_order(self, column: ColumnElement[str]) -> ColumnElement[str]:
        return collate(column, "C" if self._database.is_shared else "BINARY")


async def _row(connection: AsyncConnection, name: str) -> Row[Any]:
    table = tables.group
    row = None
    if searchable(name) == name:
        row = (await connection.execute(select(table).where(table.c.name == name))).first()
    if row is None:
        raise GroupUnknown(f"there is no group {name[:100]!r} here")
    return row


async def _counted(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Group]:
    """Return groups with how many members and roles they have, in two statements."""
    names = [row.name for row in rows]
    member, grant = tables.membership, tables.grant
    members = (
        select(member.c.group_name, func.count())
        .where(member.c.group_name.in_(names))
        .group_by(member.c.group_name)
    )
    grants = (
        select(grant.c.subject, func.count())
        .where(grant.c.subject_kind == "group", grant.c.subject.in_(names))
        .group_by(grant.c.subject)
    )
    has: Mapping[str, int] = {row[0]: row[1] for row in await connection.execute(members)}
    holds: Mapping[str, int] = {row[0]: row[1] for row in await connection.execute(grants)}
    return [
        Group(row.name, row.source, has.get(row.name, 0), holds.get(row.name, 0)) for row in rows
    ]
