"""Principals and groups: who logs in, and with whom they belong."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.administrators import Administrators
from registry.catalog.journal import add_change, add_event, changes
from registry.catalog.lookup import MAX_PAGE, checked_principal, contains, search_text, searchable
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Principal, PrincipalKind
from registry.database import Database, tables
from registry.errors import CatalogNameTaken, PrincipalUnknown


class Principals:
    """Keeps people, robots, groups and who is in them.

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

    async def create(
        self,
        actor: Actor,
        name: str,
        *,
        kind: PrincipalKind = "human",
        display_name: str = "",
        email: str = "",
        source: str = "database",
        password_hash: str | None = None,
    ) -> Principal:
        """Return a new principal.

        Raises:
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: There is one of that name.
        """
        async with self._database.writing() as connection:
            row = await self._create(
                connection, actor, name, kind, display_name, email, source, password_hash
            )
            change = await add_change(connection, "principal", name, self._database.now())
        await self._settled(change)
        return principal_of(row)

    async def get(self, name: str) -> Principal:
        """Return a principal.

        Raises:
            PrincipalUnknown: There is none.
        """
        async with self._database.reading() as connection:
            return principal_of(await _row(connection, name))

    async def list(
        self, *, search: str = "", after: str | None = None, limit: int = 50
    ) -> Sequence[Principal]:
        """Return those whose name comes after ``after``, by name."""
        table = tables.principal
        statement = select(table).order_by(table.c.name).limit(max(1, min(limit, MAX_PAGE)))
        if after is not None:
            statement = statement.where(table.c.name > searchable(after))
        if search:
            text = func.lower(table.c.name + "\n" + table.c.display_name + "\n" + table.c.email)
            statement = statement.where(contains(text, search_text(search)))
        async with self._database.reading() as connection:
            return [principal_of(row) for row in await connection.execute(statement)]

    async def log_in_oidc(
        self,
        issuer: str,
        subject: str,
        name: str,
        *,
        display_name: str = "",
        email: str = "",
        groups: Sequence[str] | None = None,
        taken: Collection[str] = (),
        address: str = "",
    ) -> Principal:
        """Return whom an identity of an OIDC provider stands for; made at the first login.

        Its groups of that provider become exactly ``groups``; ``None`` leaves them. Nobody gets a
        name that is among ``taken``.

        Raises:
            CatalogNameInvalid: Somebody, or a group, cannot be named so.
            CatalogNameTaken: The name is that of somebody with another identity.
        """
        table, identity = tables.principal, tables.identity
        issuer, subject = searchable(issuer), searchable(subject)
        async with self._database.writing() as connection:
            now = self._database.now()
            known = select(identity.c.principal_name).where(
                identity.c.issuer == issuer, identity.c.subject == subject
            )
            principal = (await connection.execute(known)).scalar()
            actor = Actor(principal or name, address=address, via="login")
            change = 0
            if principal is None:
                if name in taken:
                    raise CatalogNameTaken(f"'{name[:100]}' is somebody else here already")
                await self._create(
                    connection, actor, name, "human", display_name, email, "oidc", None
                )
                await connection.execute(
                    insert(identity).values(issuer=issuer, subject=subject, principal_name=name)
                )
                principal = name
                change = await add_change(connection, "principal", principal, now)
            profile = {"display_name": searchable(display_name), "email": searchable(email)}
            before = await _row(connection, principal)
            detail = changes(before, profile)
            if detail["after"]:
                told = {"principal": principal, **detail}
                await add_event(connection, actor, now, "principal.updated", detail=told)
            statement = (
                update(table)
                .where(table.c.name == principal)
                .values(last_seen_at=now, **profile)
                .returning(table)
            )
            row = (await connection.execute(statement)).one()
            if groups is not None:
                theirs = {checked_principal(group) for group in groups}
                change = await _synchronise(connection, actor, principal, theirs, now) or change
        await self._settled(change)
        return principal_of(row)

    async def seen(self, name: str) -> None:
        """Keep that somebody has logged in just now.

        Raises:
            DatabaseUnavailable: It cannot be kept.
        """
        table = tables.principal
        async with self._database.writing() as connection:
            now = self._database.now()
            await connection.execute(
                update(table).where(table.c.name == name).values(last_seen_at=now)
            )

    async def set_disabled(
        self, actor: Actor, name: str, *, is_disabled: bool, ends_tokens: bool = False
    ) -> Principal:
        """Return the principal, refused at every door from now on, or let in again. Idempotent.

        Logins of browsers end for good. Tokens are refused as long as their owner is.

        Args:
            actor: Who does it.
            name: Whom.
            is_disabled: Whether they are refused.
            ends_tokens: Whether tokens, too, end for good, of whoever is refused.

        Raises:
            PrincipalUnknown: There is none.
            LastAdministrator: Nobody could administer the service any more.
        """
        table = tables.principal
        async with (
            self._database.writing() as connection,
            self._administrators.kept(connection),
        ):
            now = self._database.now()
            before = await _row(connection, name)
            was_disabled = before.disabled_at is not None
            since = (before.disabled_at or now) if is_disabled else None
            statement = (
                update(table).where(table.c.name == name).values(disabled_at=since).returning(table)
            )
            row = (await connection.execute(statement)).one()
            ended = {}
            if is_disabled:
                ended = await _end_tokens(connection, name, now, tokens=ends_tokens)
            if was_disabled != is_disabled or any(ended.values()):
                action = "principal.disabled" if is_disabled else "principal.enabled"
                told = changes({"disabled": was_disabled}, {"disabled": is_disabled})
                detail = {"principal": name, **told, **ended}
                await add_event(connection, actor, now, action, detail=detail)
            change = await add_change(connection, "principal", name, now)
        await self._settled(change)
        return principal_of(row)

    async def groups_of(self, name: str) -> Sequence[str]:
        """Return the groups that somebody is in, by name."""
        table = tables.membership
        statement = (
            select(table.c.group_name)
            .where(table.c.principal_name == searchable(name))
            .order_by(table.c.group_name)
        )
        async with self._database.reading() as connection:
            return list((await connection.execute(statement)).scalars())

    async def add_member(self, actor: Actor, group: str, name: str) -> str:
        """Put somebody into a group, which is made if there is none. Idempotent.

        Returns:
            Who says that they are in it: ``local``, or a provider that told of it before.

        Raises:
            CatalogNameInvalid: One of them cannot be named so.
        """
        checked_principal(group)
        checked_principal(name)
        table = tables.membership
        async with self._database.writing() as connection:
            now = self._database.now()
            await _ensure_group(connection, group, "local")
            member = (table.c.group_name == group) & (table.c.principal_name == name)
            known = (await connection.execute(select(table.c.source).where(member))).scalar()
            if known is None:
                await connection.execute(
                    insert(table).values(group_name=group, principal_name=name, source="local")
                )
                await add_event(
                    connection, actor, now, "member.added", detail={"group": group, "member": name}
                )
            change = await add_change(connection, "group", name, now)
        await self._settled(change)
        return known or "local"

    async def remove_member(self, actor: Actor, group: str, name: str) -> None:
        """Take somebody out of a group. Idempotent.

        Raises:
            LastAdministrator: Nobody could administer the service any more.
        """
        group, name = searchable(group), searchable(name)
        table = tables.membership
        async with (
            self._database.writing() as connection,
            self._administrators.kept(connection),
        ):
            now = self._database.now()
            member = (table.c.group_name == group) & (table.c.principal_name == name)
            gone = await connection.execute(delete(table).where(member))
            if gone.rowcount:
                await add_event(
                    connection,
                    actor,
                    now,
                    "member.removed",
                    detail={"group": group, "member": name},
                )
            change = await add_change(connection, "group", name, now)
        await self._settled(change)

    async def _create(
        self,
        connection: AsyncConnection,
        actor: Actor,
        name: str,
        kind: PrincipalKind,
        display_name: str,
        email: str,
        source: str,
        password_hash: str | None,
    ) -> Row[Any]:
        now = self._database.now()
        statement = insert(tables.principal).values(
            name=checked_principal(name),
            kind=kind,
            display_name=searchable(display_name),
            email=searchable(email),
            source=source,
            password_hash=password_hash,
            created_at=now,
        )
        try:
            row = (await connection.execute(statement.returning(tables.principal))).one()
        except IntegrityError as exc:
            raise CatalogNameTaken(f"'{name[:100]}' is somebody else here already") from exc
        after = {"kind": kind, "source": source, "display_name": display_name, "email": email}
        detail = {"principal": name, "after": {key: searchable(one) for key, one in after.items()}}
        await add_event(connection, actor, now, "principal.created", detail=detail)
        return row


def principal_of(row: Row[Any]) -> Principal:
    """Return the record of a row."""
    return Principal(
        row.name,
        row.kind,
        row.display_name,
        row.email,
        row.source,
        row.created_at,
        row.disabled_at,
        row.last_seen_at,
    )


async def _row(connection: AsyncConnection, name: str) -> Row[Any]:
    table = tables.principal
    statement = select(table).where(table.c.name == searchable(name))
    row = (await connection.execute(statement)).first()
    if row is None:
        raise PrincipalUnknown(f"there is no user or robot '{name[:100]}' in the database")
    return row


async def _end_tokens(
    connection: AsyncConnection, name: str, now: datetime, *, tokens: bool
) -> dict[str, int]:
    """End somebody's logins of browsers, and tokens if so; return how many, where any were."""
    table = tables.token
    kinds = ["session", *(["personal", "robot"] if tokens else [])]
    ended = await connection.execute(
        update(table)
        .where(
            table.c.principal_name == name,
            table.c.revoked_at.is_(None),
            or_(table.c.expires_at.is_(None), table.c.expires_at > now),
            table.c.kind.in_(kinds),
        )
        .values(revoked_at=now)
        .returning(table.c.id, table.c.kind)
    )
    rows = ended.all()
    if rows:
        changed = [{"kind": "token", "subject": str(row.id), "at": now} for row in rows]
        await connection.execute(insert(tables.change), changed)
    logins = sum(row.kind == "session" for row in rows)
    found = {"sessions_ended": logins, "tokens_ended": len(rows) - logins}
    return {what: count for what, count in found.items() if count}


async def _ensure_group(connection: AsyncConnection, group: str, source: str) -> None:
    table = tables.group
    known = select(table.c.name).where(table.c.name == group)
    if (await connection.execute(known)).first() is None:
        await connection.execute(insert(table).values(name=group, source=source))


async def _synchronise(
    connection: AsyncConnection, actor: Actor, principal: str, groups: set[str], now: Any
) -> int:
    """Make the groups of a principal that a provider told of exactly those; return the change."""
    table = tables.membership
    mine = table.c.principal_name == principal
    before = set(
        (
            await connection.execute(
                select(table.c.group_name).where(mine, table.c.source == "oidc")
            )
        ).scalars()
    )
    if before == groups:
        return 0
    await connection.execute(
        delete(table).where(mine, table.c.source == "oidc", table.c.group_name.in_(before - groups))
    )
    local = set((await connection.execute(select(table.c.group_name).where(mine))).scalars())
    added = sorted(groups - before - local)
    for group in added:
        await _ensure_group(connection, group, "oidc")
        await connection.execute(
            insert(table).values(group_name=group, principal_name=principal, source="oidc")
        )
    gone = [("member.removed", group) for group in sorted(before - groups)]
    for action, group in [*gone, *(("member.added", group) for group in added)]:
        told = {"group": group, "member": principal, "source": "oidc"}
        await add_event(connection, actor, now, action, detail=told)
    return await add_change(connection, "group", principal, now)
