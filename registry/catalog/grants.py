"""Grants: who gave which role to whom."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, get_args

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.wildcards import GLOB, MAX_WILDCARDS, count_wildcards
from registry.catalog.administrators import Administrators
from registry.catalog.journal import add_change, add_event, changes, publish_where
from registry.catalog.lookup import (
    MAX_NUMBER,
    MAX_PAGE,
    matches,
    namespace_row,
    page_of,
    searchable,
)
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, GrantRecord, Page, SubjectKind
from registry.database import Database, tables
from registry.errors import GrantInvalid, GrantUnknown, TooManyGrants

#: The most grants that a namespace has.
MAX_GRANTS: Final = 500
#: Roles in a namespace, from the least.
ROLES: Final = ("viewer", "editor", "admin", "owner")
#: Roles in the service.
SERVICE_ROLES: Final = ("administrator", "auditor")
#: Raises whatever says that a grant may not be replaced.
OnReplace = Callable[[GrantRecord], None]


class Grants:
    """Gives roles and takes them; who may is decided by the caller.

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

    async def give(
        self,
        actor: Actor,
        *,
        subject_kind: SubjectKind,
        subject: str | None,
        namespace_glob: str,
        environment_glob: str = "*",
        role: str,
        expires_at: datetime | None = None,
        source: str = "api",
        is_inside: bool = False,
        on_replace: OnReplace = lambda _: None,
    ) -> GrantRecord:
        """Return the grant, on every server from now on; one on the same globs is replaced.

        Args:
            actor: Who gives it.
            subject_kind: Whom it is for.
            subject: The user's or group's name; ``None`` for the other kinds.
            namespace_glob: Slugs of namespaces; ``*`` stands for any characters.
            environment_glob: Slugs of environments.
            role: ``viewer``, ``editor``, ``admin`` or ``owner``; for the whole service,
                ``administrator`` or ``auditor``.
            expires_at: When it ends; ``None``: never.
            source: Where it comes from.
            is_inside: Whether the namespace has to be there, by its slug.
            on_replace: Called with the grant that is replaced, while nobody else can change it; if
                it raises, nothing has been done.

        Raises:
            NamespaceUnknown: It has to be there, and is not.
            GrantInvalid: There is no such role, or subject, or the globs cannot match anything; or
                it would have ended before it begins.
            TooManyGrants: The namespace has as many as it may.
            LastAdministrator: It replaces what makes the last administrator one.
        """
        _check(subject_kind, subject, namespace_glob, environment_glob, role, expires_at)
        table = tables.grant
        values = {
            "subject_kind": subject_kind,
            "subject": subject or "",
            "namespace_glob": namespace_glob,
            "environment_glob": environment_glob,
            "source": source,
        }
        same = _same(subject_kind, subject, namespace_glob, environment_glob, source)
        async with self._changing(namespace_glob) as connection:
            now = self._database.now()
            if expires_at is not None and expires_at <= now:
                raise GrantInvalid("a role ends after it is given: choose a later time")
            if is_inside:  # whoever gets its name later has no roles of before in it
                await namespace_row(connection, namespace_glob)
            replaced = await connection.execute(delete(table).where(same).returning(table))
            before: dict[str, Any] = {}
            for row in replaced.all():
                on_replace(grant_of(row))
                before = terms_of(row)
                await add_change(connection, "grant", str(row.id), now)
            await _require_room(connection, namespace_glob)
            statement = insert(table).values(
                **values, role=role, granted_by=actor.name, created_at=now, expires_at=expires_at
            )
            row = (await connection.execute(statement.returning(table))).one()
            await add_event(
                connection,
                actor,
                now,
                "grant.given",
                namespace=_one(namespace_glob),
                environment=_one(environment_glob),
                detail=_told(row) | changes(before, terms_of(row)),
            )
            change = await add_change(connection, "grant", str(row.id), now)
            if subject_kind == "everyone":
                change = await publish_where(connection, _covered(row), now)
        await self._settled(change)
        return grant_of(row)

    async def list(
        self,
        namespace: str | None = None,
        *,
        subjects: Mapping[SubjectKind, Collection[str]] | None = None,
        role: str | None = None,
        is_valid: bool = False,
        after: int | None = None,
        limit: int = 50,
    ) -> Page[GrantRecord]:
        """Return grants, the oldest first.

        Args:
            namespace: The slug that their globs match; ``None``: any.
            subjects: For whom, by kind; the kinds without a name have ``""``. ``None``: anybody.
            role: Which; ``None``: any.
            is_valid: Whether only those that have not ended.
            after: The number with which the page before ended.
            limit: The most to return.
        """
        table = tables.grant
        limit = max(1, min(limit, MAX_PAGE))
        statement = select(table).where(_holds()).order_by(table.c.id).limit(limit + 1)
        if namespace is not None:
            statement = statement.where(_covers(namespace))
        if subjects is not None:
            statement = statement.where(or_(*(_is_for(*one) for one in subjects.items())))
        if role is not None:
            statement = statement.where(table.c.role == role)
        if is_valid:
            ends = table.c.expires_at
            statement = statement.where(or_(ends.is_(None), ends > self._database.now()))
        if after is not None:
            statement = statement.where(table.c.id > min(after, MAX_NUMBER))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return page_of(rows, grant_of, limit)

    async def get(self, grant: int, namespace: str | None = None) -> GrantRecord:
        """Return a grant.

        Args:
            grant: Its number.
            namespace: The slug that its globs match; ``None``: any.

        Raises:
            GrantUnknown: There is none.
        """
        table = tables.grant
        statement = select(table).where(table.c.id == grant, _holds())
        if namespace is not None:
            statement = statement.where(_covers(namespace))
        async with self._database.reading() as connection:
            found = (await connection.execute(statement)) if 0 < grant <= MAX_NUMBER else None
            row = found.first() if found is not None else None
        if row is None:
            raise GrantUnknown(f"there is no grant {grant} here")
        return grant_of(row)

    async def take(self, actor: Actor, grant: int) -> None:
        """Take a grant back, on every server from now on.

        Raises:
            GrantUnknown: There is none.
            LastAdministrator: Nobody could administer the service any more.
        """
        table = tables.grant
        known = await self.get(grant)
        async with self._changing(known.namespace_glob) as connection:
            now = self._database.now()
            statement = delete(table).where(table.c.id == grant).returning(table)
            row = (await connection.execute(statement)).first()
            if row is None:
                raise GrantUnknown(f"there is no grant {grant} here")
            await add_event(
                connection,
                actor,
                now,
                "grant.taken",
                namespace=_one(row.namespace_glob),
                environment=_one(row.environment_glob),
                detail=_told(row) | {"before": terms_of(row)},
            )
            change = await add_change(connection, "grant", str(grant), now)
            if row.subject_kind == "everyone":
                change = await publish_where(connection, _covered(row), now)
        await self._settled(change)

    @asynccontextmanager
    async def _changing(self, namespace_glob: str) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that leaves an administrator, if a grant can make one."""
        async with self._database.writing() as connection:
            if namespace_glob != "*":
                yield connection
                return
            async with self._administrators.kept(connection):
                yield connection


def grant_of(row: Row[Any]) -> GrantRecord:
    """Return the record of a row."""
    return GrantRecord(
        row.id,
        row.subject_kind,
        row.subject or None,
        row.namespace_glob,
        row.environment_glob,
        row.role,
        row.source,
        row.granted_by,
        row.created_at,
        row.expires_at,
    )


def _check(
    kind: str,
    subject: str | None,
    namespace_glob: str,
    environment_glob: str,
    role: str,
    expires_at: datetime | None,
) -> None:
    if kind not in get_args(SubjectKind):
        raise GrantInvalid(
            f"'{kind[:50]}' is nobody: a role is given to a user, a group, everyone who is"
            " authenticated, or everyone"
        )
    if (kind in {"user", "group"}) != bool(subject) or searchable(subject or "") != (subject or ""):
        raise GrantInvalid("a role is given to a user or a group by its name, to others without")
    if len(subject or "") > 200:
        raise GrantInvalid("the name of a user or group has at most 200 characters")
    if role not in ROLES + SERVICE_ROLES:
        raise GrantInvalid(
            f"'{role[:50]}' is no role: there are {', '.join(ROLES + SERVICE_ROLES)}"
        )
    for glob in (namespace_glob, environment_glob):
        if not GLOB.fullmatch(glob):
            raise GrantInvalid(
                f"'{glob[:100]}' stands for nothing: write a name as it is in addresses, with '*'"
                " for any characters"
            )
        if count_wildcards(glob) > MAX_WILDCARDS:
            raise GrantInvalid(
                f"'{glob[:100]}' has more than {MAX_WILDCARDS} '*': write it with fewer"
            )
    if role in SERVICE_ROLES and (namespace_glob, environment_glob) != ("*", "*"):
        raise GrantInvalid(f"the role {role} is for everything: write '*' for both")
    if kind in {"everyone", "authenticated"} and role in SERVICE_ROLES:
        raise GrantInvalid(f"the role {role} is given to users and groups alone")
    if kind == "everyone" and role != "viewer":
        raise GrantInvalid("everyone, logged in or not, can be a viewer alone")
    if kind == "everyone" and expires_at is not None:
        # Documents in the store say what is public, and are written when something changes.
        raise GrantInvalid("what everyone may see has no end by itself: take the grant back then")


async def _require_room(connection: AsyncConnection, namespace_glob: str) -> None:
    """Return if a namespace may have one more grant; those on many are administrators'.

    Every server knows all of them, and what everyone may see goes into every list of everybody.

    Raises:
        TooManyGrants: It has as many as it may.
    """
    if "*" in namespace_glob:
        return
    statement = select(func.count()).where(tables.grant.c.namespace_glob == namespace_glob)
    if (await connection.execute(statement)).scalar_one() >= MAX_GRANTS:
        raise TooManyGrants(namespace_glob, MAX_GRANTS)


def _same(
    subject_kind: str, subject: str | None, namespace_glob: str, environment_glob: str, source: str
) -> ColumnElement[bool]:
    """Return whether a grant is the one that there can be of these."""
    table = tables.grant
    return and_(
        table.c.subject_kind == subject_kind,
        table.c.subject == searchable(subject or ""),
        table.c.namespace_glob == searchable(namespace_glob),
        table.c.environment_glob == searchable(environment_glob),
        table.c.source == source,
    )


def _is_for(kind: SubjectKind, names: Collection[str]) -> ColumnElement[bool]:
    table = tables.grant
    return and_(table.c.subject_kind == kind, table.c.subject.in_(map(searchable, names)))


def _holds() -> ColumnElement[bool]:
    """Return whether a grant is of what is there: others are put away (``ownership``)."""
    names = tables.grant.c.namespace_glob + tables.grant.c.environment_glob
    return names.not_like("%#%")


def _covers(namespace: str) -> ColumnElement[bool]:
    """Return whether a grant is on a namespace, by whichever glob: the column has the pattern."""
    globs = tables.grant.c.namespace_glob
    pattern = func.replace(func.replace(globs, "_", "\\_"), "*", "%")
    name: ColumnElement[str] = literal(searchable(namespace))
    return or_(globs == name, name.like(pattern, escape="\\"))


def _covered(grant: Row[Any]) -> ColumnElement[bool]:
    path = tables.environment.c.path
    alive = tables.environment.c.deleted_at.is_(None)
    return alive & matches(path, f"{grant.namespace_glob}/{grant.environment_glob}")


def _one(glob: str) -> str | None:
    return None if "*" in glob else glob


def terms_of(grant: Row[Any]) -> dict[str, Any]:
    """Return what an event tells that a grant gives."""
    ends = grant.expires_at
    return {"role": grant.role, "expires_at": ends.isoformat() if ends is not None else None}


def _told(grant: Row[Any]) -> dict[str, Any]:
    return {
        "grant": grant.id,
        "subject_kind": grant.subject_kind,
        "subject": grant.subject or None,
        "globs": f"{grant.namespace_glob}/{grant.environment_glob}",
        "role": grant.role,
    }
