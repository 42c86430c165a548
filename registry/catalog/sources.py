"""Sources: where files are that define environments, and which server looks at each.

::

    server A ─ claim ─→ looks, every few seconds ─ report ─→ problem, commit, when
       │ renews its claim of 30 s while it looks; another server takes up what is not renewed
    anybody ─ look_now, or a host of repositories by its hook ─→ asked_at, which servers follow
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.adopting import release_environments
from registry.catalog.lookup import MAX_NUMBER, MAX_PAGE, searchable
from registry.catalog.namespaces import Namespaces
from registry.catalog.records import SERVICE, Actor, Page
from registry.catalog.slugs import slug_of
from registry.catalog.source_changes import (
    ask_to_look,
    change_source,
    insert_source,
    name_taken,
    named_source,
    nudge_watchers,
    shown,
    wanted_of,
)
from registry.catalog.source_records import NewSource, SourceRecord
from registry.catalog.source_rows import source_of, source_row, sources, tell_of_source
from registry.catalog.source_shape import checked_source
from registry.database import Database, tables
from registry.errors import (
    CatalogNameTaken,
    NamespaceUnknown,
    RevisionConflict,
    SourceDeclared,
    SourceInvalid,
    TooManySources,
)

#: For how long a server has a source to itself, in seconds.
LEASE_SECONDS: Final = 30
#: The most that a namespace has.
MAX_SOURCES: Final = 100
#: What a secret begins with, so that scanners find those that were published by mistake.
_SECRET_PREFIX: Final = "pfh_"  # noqa: S105 (public by design)
#: So many pages of what is perhaps not seen are read for one that is.
_MAX_SCANS: Final = 10
_BATCH: Final = 500


class Sources:
    """Makes, lists, changes and deletes sources, and shares them out among servers.

    Who may is decided by the caller. Every change is one transaction with its event. All methods
    raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        namespaces: Makes those of sources that settings declare.
    """

    def __init__(
        self,
        database: Database,
        namespaces: Namespaces,
    ) -> None:
        self._database = database
        self._namespaces = namespaces

    async def create(self, actor: Actor, wanted: NewSource) -> SourceRecord:
        """Return a new source; servers look at it at once.

        Raises:
            NamespaceUnknown: There is no such namespace.
            SourceInvalid: There can be none like that.
            CatalogNameTaken: Another one there has its name.
            TooManySources: The namespace has as many as it may.
        """
        checked_source(wanted)
        async with self._database.writing() as connection:
            row = await insert_source(connection, actor, wanted, self._database.now())
            await _require_room(connection, row)
        return source_of(row)

    async def declare(self, wanted: NewSource) -> SourceRecord:
        """Return the source that the settings of a server declare; what others declared stays.

        It is known by its namespace, which is made if there is none, and its name.

        Raises:
            SourceInvalid: There can be none like that.
            CatalogNameInvalid: No namespace can be called so.
            CatalogNameTaken: Somebody has made another source of that name, or has pushed images
                where its namespace would be.
        """
        checked_source(wanted)
        if wanted.namespace is not None:
            wanted = replace(wanted, namespace=slug_of(wanted.namespace))
        await self._make_namespace(wanted.namespace)
        async with self._database.writing() as connection:
            now = self._database.now()
            found = await named_source(connection, wanted)
            if found is None:
                row = await insert_source(connection, SERVICE, wanted, now, is_declared=True)
            elif not found.is_declared:
                raise name_taken(wanted)
            else:
                row = await change_source(connection, SERVICE, found, wanted, now)
        return source_of(row)

    async def list(
        self,
        sees: Callable[[SourceRecord], bool],
        *,
        namespace: str | None = None,
        has_problems: bool = False,
        after: int = 0,
        limit: int = 50,
    ) -> Page[SourceRecord]:
        """Return sources that are seen, the oldest first; a page may have fewer than there are.

        Args:
            sees: Whether whoever asks sees one.
            namespace: The slug of a namespace; ``None``: any, and none.
            has_problems: Whether only those that cannot be looked at, or have files that cannot be
                used.
            after: The number with which the page before ended.
            limit: The most to return.
        """
        table, file = tables.source, tables.source_file
        limit = max(1, min(limit, MAX_PAGE))
        statement = sources().order_by(table.c.id).limit(limit + 1)
        if namespace is not None:
            statement = statement.where(tables.namespace.c.slug == searchable(namespace))
        if has_problems:
            broken = select(file.c.id).where(
                file.c.source_id == table.c.id, file.c.problem != "", file.c.gone_at.is_(None)
            )
            statement = statement.where(or_(table.c.problem != "", broken.exists()))
        found: list[SourceRecord] = []
        last = min(after, MAX_NUMBER)
        for _ in range(_MAX_SCANS):
            async with self._database.reading() as connection:
                rows = (await connection.execute(statement.where(table.c.id > last))).all()
            for row in rows[:limit]:
                if len(found) == limit:
                    return Page(found, str(last))
                last = row.id
                source = source_of(row)
                found += [source] if sees(source) else []
            if len(rows) <= limit:
                return Page(found)
        return Page(found, str(last))

    async def get(self, number: int) -> SourceRecord:
        """Return a source.

        Raises:
            SourceUnknown: There is none.
        """
        async with self._database.reading() as connection:
            return source_of(await source_row(connection, number))

    async def update(
        self,
        actor: Actor,
        number: int,
        changed: Mapping[str, Any],
        *,
        revision: int | None = None,
    ) -> SourceRecord:
        """Return a source with fields of :class:`NewSource` changed; servers look at it at once.

        Args:
            actor: Who changes it.
            number: Which.
            changed: New values by field; kind and namespace stay what they are.
            revision: What it must have; ``None``: any.

        Raises:
            SourceUnknown: There is none of that number.
            SourceDeclared: Settings declare it.
            RevisionConflict: It has another revision.
            SourceInvalid: There can be none like that.
            CatalogNameTaken: Another one there has that name.
        """
        async with self._database.writing() as connection:
            row = await source_row(connection, number)
            if revision not in {None, row.revision}:
                raise RevisionConflict(f"source {number}", row.revision)
            if row.is_declared:
                raise SourceDeclared(row.name)
            wanted = replace(wanted_of(row), **changed)
            checked_source(wanted)
            row = await change_source(connection, actor, row, wanted, self._database.now())
        return source_of(row)

    async def new_hook(self, actor: Actor, number: int) -> str:
        """Return a new secret by which a host tells that something was pushed; no older one is.

        Raises:
            SourceUnknown: There is none of that number.
            SourceInvalid: No server looks at it.
        """
        secret = _SECRET_PREFIX + secrets.token_urlsafe(32)
        async with self._database.writing() as connection:
            row = await source_row(connection, number)
            _require_looked_at(row)
            await self._set_hook(connection, actor, row, secret)
        return secret

    async def drop_hook(self, actor: Actor, number: int) -> None:
        """Have nobody tell any more that something was pushed; harmless if nobody could.

        Raises:
            SourceUnknown: There is none of that number.
        """
        async with self._database.writing() as connection:
            row = await source_row(connection, number)
            if row.hook_secret is not None:
                await self._set_hook(connection, actor, row, None)

    async def hook_secret(self, number: int) -> str | None:
        """Return by what hosts sign; ``None``: they cannot, or there is no such source."""
        if not 0 < number <= MAX_NUMBER:
            return None
        statement = sources(is_counted=False).where(tables.source.c.id == number)
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else row.hook_secret

    async def look_now(self, number: int) -> SourceRecord:
        """Return a source at which a server looks as soon as it can.

        Raises:
            SourceUnknown: There is none of that number.
            SourceInvalid: No server looks at it.
        """
        async with self._database.writing() as connection:
            row = await source_row(connection, number)
            _require_looked_at(row)
            await ask_to_look(connection, row.id, self._database.now())
            row = await source_row(connection, number)
        return source_of(row)

    async def delete(self, actor: Actor, number: int, *, revision: int | None = None) -> None:
        """Delete a source; its environments stay, and are edited here from then on.

        One that settings declare comes back when a server starts that still has them.

        Raises:
            SourceUnknown: There is none of that number.
            RevisionConflict: It has another revision.
        """
        table = tables.source
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await source_row(connection, number)
            if revision not in {None, row.revision}:
                raise RevisionConflict(f"source {number}", row.revision)
            await release_environments(connection, number, now)
            await connection.execute(
                update(table)
                .where(table.c.id == number)
                .values(deleted_at=now, revision=row.revision + 1, hook_secret=None)
            )
            before = {"before": shown(row)}
            await tell_of_source(connection, actor, now, "source.deleted", row, detail=before)
            await nudge_watchers(connection, number, now)

    async def watched(self) -> Sequence[SourceRecord]:
        """Return all sources that servers look at, whoever does at the moment, by number.

        How many files they have is not counted.
        """
        table = tables.source
        found: list[SourceRecord] = []
        last = 0
        while True:
            statement = (
                sources(is_counted=False)
                .where(table.c.kind != "remote", table.c.id > last)
                .order_by(table.c.id)
                .limit(_BATCH)
            )
            async with self._database.reading() as connection:
                rows = (await connection.execute(statement)).all()
            found += [source_of(row) for row in rows]
            if len(rows) < _BATCH:
                return found
            last = rows[-1].id

    async def health(self) -> tuple[int, float]:
        """Return how many sources and files cannot be used, and how late the latest source is.

        The second is how many seconds ago that one was looked at, or made, which servers have not
        looked at for the longest time; 0: there is none.
        """
        table, file = tables.source, tables.source_file
        broken = (table.c.deleted_at.is_(None)) & (table.c.problem != "")
        unusable = (file.c.problem != "") & file.c.gone_at.is_(None)
        there = sources(is_counted=False).where(table.c.kind != "remote").subquery()
        latest = select(func.min(func.coalesce(there.c.looked_at, there.c.created_at)))
        async with self._database.reading() as connection:
            sources_ = await connection.execute(select(func.count()).where(broken))
            files = await connection.execute(select(func.count()).where(unusable))
            problems = sources_.scalar_one() + files.scalar_one()
            looked_at = (await connection.execute(latest)).scalar()
        if looked_at is None:
            return problems, 0.0
        return problems, max(0.0, (self._database.now() - looked_at).total_seconds())

    async def claim(
        self, number: int, by: str, seconds: float = LEASE_SECONDS
    ) -> SourceRecord | None:
        """Return a source as it is, which ``by`` alone looks at for some seconds from now on.

        ``None``: another one does, or it is deleted. It may be claimed again and again. How many
        files it has is not counted.
        """
        table = tables.source
        mine = or_(table.c.claimed_by == by, self._database.is_free(table))
        async with self._database.writing(is_ordered=False) as connection:
            claimed = await connection.execute(
                update(table)
                .where(table.c.id == number, table.c.deleted_at.is_(None), mine)
                .values(claimed_by=by, claimed_until=self._database.clock_after(seconds))
            )
            if not claimed.rowcount:
                return None
            claimed_one = sources(is_counted=False).where(table.c.id == number)
            row = (await connection.execute(claimed_one)).first()
        return None if row is None else source_of(row)

    async def release(self, number: int, by: str) -> None:
        """Let another server look at a source; harmless if ``by`` does not look at it."""
        table = tables.source
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                update(table)
                .where(table.c.id == number, table.c.claimed_by == by)
                .values(claimed_by=None, claimed_until=None)
            )

    async def report(
        self,
        number: int,
        by: str,
        *,
        began_at: datetime,
        problem: str = "",
        commit: str | None = None,
    ) -> None:
        """Write down that a source was looked at; nothing, if ``by`` has it no more.

        What somebody asked for before the look began is done by it. One that cannot be looked at
        is told of once, and once when it can be again.

        Args:
            number: Which.
            by: Who looked.
            began_at: When the look began, by the database's ``now``.
            problem: Why it cannot be looked at; empty: it can.
            commit: That was seen; ``None``: as before.
        """
        table = tables.source
        changed: dict[str, Any] = {"problem": _sentence(problem)}
        if commit is not None:
            changed["commit"] = commit
        is_asked_after = table.c.asked_at > began_at
        mine = (table.c.id == number) & (table.c.claimed_by == by) & table.c.deleted_at.is_(None)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = (await connection.execute(sources(is_counted=False).where(mine))).first()
            if row is None:
                return
            await connection.execute(update(table).where(mine).values(**changed, looked_at=now))
            await connection.execute(
                update(table).where(mine, ~is_asked_after).values(asked_at=None)
            )
            if bool(row.problem) != bool(problem):
                action = "source.failed" if problem else "source.recovered"
                detail = {"problem": changed["problem"] or row.problem}
                await tell_of_source(connection, SERVICE, now, action, row, detail=detail)
                await nudge_watchers(connection, number, now)

    async def _make_namespace(self, slug: str | None) -> None:
        if slug is None:
            return
        try:
            await self._namespaces.get(slug)
        except NamespaceUnknown:
            try:
                await self._namespaces.create(SERVICE, slug)
            except CatalogNameTaken:
                await self._namespaces.get(slug)  # another server has made it, or nobody has

    async def _set_hook(
        self, connection: AsyncConnection, actor: Actor, row: Row[Any], secret: str | None
    ) -> None:
        table, now = tables.source, self._database.now()
        await connection.execute(
            update(table)
            .where(table.c.id == row.id)
            .values(hook_secret=secret, revision=row.revision + 1, updated_at=now)
        )
        detail = {
            "before": {"has_hook": row.hook_secret is not None},
            "after": {"has_hook": secret is not None},
        }
        await tell_of_source(connection, actor, now, "source.updated", row, detail=detail)


async def _require_room(connection: AsyncConnection, row: Row[Any]) -> None:
    """Return if a new source is not one too many of its namespace.

    Each is looked at, and what is fetched of a repository is kept.

    Raises:
        TooManySources: It is.
    """
    if row.namespace_id is None:  # of administrators
        return
    table = tables.source
    there = table.c.deleted_at.is_(None) & (table.c.namespace_id == row.namespace_id)
    counted = select(func.count()).select_from(table).where(there)
    if (await connection.execute(counted)).scalar_one() > MAX_SOURCES:
        raise TooManySources(row.namespace, MAX_SOURCES)


def _sentence(problem: str) -> str:
    return searchable(problem)[:2000]


def _require_looked_at(row: Row[Any]) -> None:
    """Return if servers look at a source.

    Raises:
        SourceInvalid: They do not.
    """
    if row.kind == "remote":
        raise SourceInvalid(
            f"source '{row.name}' is sent by 'pullforge watch' on another machine: no server can"
            " look at it"
        )
