"""People and robots as administrators see them: of the database and of the auth file."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, collate, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.policy import Identity, Policy
from registry.auth.rights import Right
from registry.auth.secret import kind_of_hash
from registry.catalog.lookup import (
    MAX_PAGE,
    contains,
    cursor,
    page_after,
    search_text,
    searchable,
)
from registry.catalog.principals import Principals
from registry.catalog.records import Actor, Page, PrincipalKind
from registry.database import Database, tables
from registry.errors import CatalogNameTaken, PrincipalUnknown

#: So many names of the auth file are looked up at once.
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Membership:
    """A group that somebody is in."""

    group: str
    #: ``local``, or ``oidc``: the provider says so at each login.
    source: str


@dataclass(frozen=True, slots=True)
class Account:
    """A person or a robot."""

    name: str
    kind: PrincipalKind
    #: ``file``, ``oidc`` or ``database``.
    source: str
    #: Whether the auth file has them; who came from it and is not in it any more is nobody.
    is_in_file: bool
    display_name: str = ""
    email: str = ""
    #: What the auth file gives them.
    rights: tuple[Right, ...] = ()
    #: When the auth file lets them in no more; ``None``: it does not say.
    expires_at: datetime | None = None
    #: ``None``: the database does not know them.
    created_at: datetime | None = None
    last_seen_at: datetime | None = None
    disabled_at: datetime | None = None
    groups: tuple[Membership, ...] = ()


class People:
    """Lists everybody, and lets them in or not.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        principals: Changes them.
        policy: Returns what the auth file says.
    """

    def __init__(
        self, database: Database, principals: Principals, policy: Callable[[], Policy] = Policy
    ) -> None:
        self._database = database
        self._principals = principals
        self._policy = policy

    async def list(
        self,
        *,
        search: str = "",
        kind: PrincipalKind | None = None,
        is_disabled: bool | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Account]:
        """Return people and robots by name.

        Args:
            search: In name, display name or address.
            kind: Which; ``None``: both.
            is_disabled: Only those who are, or who are not; ``None``: all.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        limit = max(1, min(limit, MAX_PAGE))
        begin = page_after(after)
        table = tables.principal
        # As the auth file's are sorted, whatever the locale.
        name = self._in_order(table.c.name)
        statement = select(table).where(name > begin).order_by(name).limit(limit + 1)
        if search:
            text = func.lower(table.c.name + "\n" + table.c.display_name + "\n" + table.c.email)
            statement = statement.where(contains(text, search_text(search)))
        if kind is not None:
            statement = statement.where(table.c.kind == kind)
        if is_disabled is not None:
            since = table.c.disabled_at
            statement = statement.where(since.is_not(None) if is_disabled else since.is_(None))
        identities = self._policy().identities
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
            wanted = [] if is_disabled else _fitting(identities.values(), search, kind, begin)
            new = await _without_row(connection, wanted, limit + 1)
            names = sorted([*(row.name for row in rows), *new])
            page = names[:limit]
            groups = await _groups(connection, page)
        known = {row.name: row for row in rows}
        found = [
            _account(one, known.get(one), identities.get(one), groups.get(one, ())) for one in page
        ]
        return Page(found, cursor(page[-1]) if len(names) > limit else None)

    async def get(self, name: str) -> Account:
        """Return a person or a robot.

        Raises:
            PrincipalUnknown: There is none.
        """
        account = await self.find(name)
        if account.created_at is None and not account.is_in_file:
            raise PrincipalUnknown(f"there is no user or robot {name[:100]!r} here")
        return account

    async def find(self, name: str) -> Account:
        """Return whoever has logged in by a name; grants can be to one that is known nowhere.

        Raises:
            PrincipalUnknown: Nobody can be called so: no other spelling is taken for a name.
        """
        table = tables.principal
        if searchable(name) != name:
            raise PrincipalUnknown(f"there is no user or robot {name[:100]!r} here")
        identity = self._policy().identities.get(name)
        async with self._database.reading() as connection:
            statement = select(table).where(table.c.name == name)
            row = (await connection.execute(statement)).first()
            groups = await _groups(connection, [name])
        return _account(name, row, identity, groups.get(name, ()))

    async def set_disabled(
        self, actor: Actor, name: str, *, is_disabled: bool, ends_tokens: bool = False
    ) -> Account:
        """Return somebody, refused at every door from now on, or let in again. Idempotent.

        As :meth:`Principals.set_disabled`, for those of the auth file as well.

        Raises:
            PrincipalUnknown: There is nobody of that name.
            LastAdministrator: Nobody could administer the service any more.
        """
        account = await self.get(name)
        if account.created_at is None:
            with suppress(CatalogNameTaken):  # by the same user, who logs in at this moment
                await self._principals.create(actor, name, kind=account.kind, source="file")
        await self._principals.set_disabled(
            actor, name, is_disabled=is_disabled, ends_tokens=ends_tokens
        )
        return await self.get(name)

    def _in_order(self, column: ColumnElement[str]) -> ColumnElement[str]:
        return collate(column, "C" if self._database.is_shared else "BINARY")


def _fitting(
    identities: Collection[Identity], search: str, kind: PrincipalKind | None, begin: str
) -> list[str]:
    """Return names of the auth file after ``begin``, in order."""
    text = search_text(search)
    return sorted(
        one.name
        for one in identities
        if one.name > begin and text in search_text(one.name) and kind in {None, _kind_of(one)}
    )


async def _without_row(connection: AsyncConnection, names: Sequence[str], most: int) -> list[str]:
    """Return the first names that the database does not know."""
    table = tables.principal
    found: list[str] = []
    for start in range(0, len(names), _BATCH):
        part = names[start : start + _BATCH]
        statement = select(table.c.name).where(table.c.name.in_(part))
        known = set((await connection.execute(statement)).scalars())
        found += [name for name in part if name not in known]
        if len(found) >= most:
            break
    return found[:most]


async def _groups(
    connection: AsyncConnection, names: Sequence[str]
) -> Mapping[str, tuple[Membership, ...]]:
    table = tables.membership
    statement = (
        select(table)
        .where(table.c.principal_name.in_([searchable(name) for name in names]))
        .order_by(table.c.group_name)
    )
    found: dict[str, tuple[Membership, ...]] = {}
    for row in await connection.execute(statement):
        one = Membership(row.group_name, row.source)
        found[row.principal_name] = (*found.get(row.principal_name, ()), one)
    return found


def _account(
    name: str, row: Row[Any] | None, identity: Identity | None, groups: tuple[Membership, ...]
) -> Account:
    rights = identity.rights if identity is not None else ()
    expires_at = identity.expires if identity is not None else None
    is_in_file = identity is not None
    kind = _kind_of(identity) if identity is not None else "human" if row is None else row.kind
    if row is None:
        source = "file" if is_in_file else "database"
        return Account(
            name, kind, source, is_in_file, rights=rights, expires_at=expires_at, groups=groups
        )
    return Account(
        name,
        kind,
        row.source,
        is_in_file,
        row.display_name,
        row.email,
        rights,
        expires_at,
        row.created_at,
        row.last_seen_at,
        row.disabled_at,
        groups,
    )


def _kind_of(identity: Identity) -> PrincipalKind:
    return "robot" if kind_of_hash(identity.hashed) == "token" else "human"
