"""Versions: what an environment was, one after the other.

::

    queued ─→ building ─→ built        active, if no newer one has been activated
       │          ├─────→ unchanged    a rebuild that came out as the active one
       │          ├─────→ failed       with one sentence
       └──────────┴─────→ cancelled    the work goes on for others who wait for it
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.deleting import delete_version
from registry.catalog.journal import add_change, publish
from registry.catalog.limits import UNLIMITED, Limits
from registry.catalog.lookup import (
    MAX_PAGE,
    checked_text,
    cursor,
    environment_row,
    page_after,
    version_of,
    version_row,
)
from registry.catalog.managed import edit_is_proposed
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.proposing import open_proposal
from registry.catalog.queueing import queue_version
from registry.catalog.records import Actor, Page, Reason, Version
from registry.catalog.running import (
    OPEN,
    cancel_version,
)
from registry.database import Database, tables
from registry.errors import CursorInvalid, RevisionConflict, VersionEnded, VersionNotBuilt

#: What the newest of decides whether anything has changed.
_COUNTS: Final = (*OPEN, "built")
#: For so long after it ended, a server may not know of a version, though it is alive.
_RECENT: Final = timedelta(seconds=5)


class Versions:
    """Asks for versions, lists them, makes one active, cancels them.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and
    :class:`EnvironmentUnknown` when there is no such environment.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
        nudge: Has this server look for versions to make.
        limits: Of namespaces that have no quota of their own.
    """

    def __init__(
        self,
        database: Database,
        settled: Settled = settled_nowhere,
        nudge: Callable[[], None] = lambda: None,
        limits: Limits = UNLIMITED,
    ) -> None:
        self._database = database
        self._settled = settled
        self._nudge = nudge
        self._limits = limits

    async def ask(
        self,
        actor: Actor,
        namespace: str,
        environment: str,
        data: bytes,
        *,
        reason: Reason = "person",
        note: str = "",
        activate: bool = True,
        renew: bool = False,
        propose: bool = False,
    ) -> tuple[Version, bool]:
        """Return a version for what ``data`` asks, and whether it is a new one.

        It is the newest one, and not new, if that one was asked for by the same bytes and is under
        way, or built and active, or is to be proposed and is: nothing has changed. Where a file
        defines the environment, another text waits as a proposal, if its source says so.

        Args:
            actor: Who asks; what they may pull decides about pushed bases.
            namespace: The slug of its namespace.
            environment: Its slug.
            data: Anything that ``POST /api/v1/builds`` takes. It was read by the caller: what
                cannot be understood makes a version that fails.
            reason: Why.
            note: What whoever asks says of it.
            activate: Whether it becomes active when it is built, unless a newer one is by then.
            renew: Make a new one although nothing has changed: solve anew.
            propose: Have it wait as a proposal when it is built, instead of becoming active.

        Raises:
            EnvironmentManaged: A file defines it, and has another text.
            EnvironmentArchived: It takes no new version.
            TooManyVersions: Whoever asks has as many under way as one may.
            QuotaExceeded: The namespace has as many bytes as it may.
            BuildsUsedUp: It has had as many builds today as it may.
        """
        checked_text("note", note)
        table = tables.version
        sha256 = hashlib.sha256(data).hexdigest()
        async with self._database.writing() as connection:
            now = self._database.now()
            found = await environment_row(connection, namespace, environment)
            propose |= await edit_is_proposed(connection, found, sha256)
            newest = await _newest(connection, found)
            if newest is not None and newest.sha256 == sha256 and not renew:
                is_open = newest.state in OPEN
                if is_open and activate and not propose and not newest.activate:
                    await connection.execute(
                        update(table).where(table.c.id == newest.id).values(activate=1)
                    )
                if is_open or newest.number == found.active_version:
                    return version_of(newest), False
                waiting = await open_proposal(connection, found.id) if propose else None
                if waiting is not None and waiting.number == newest.number:
                    return version_of(newest), False
            row = await queue_version(
                connection,
                actor,
                found,
                data,
                now,
                reason=reason,
                note=note,
                activate=activate,
                renew=renew,
                propose=propose,
                limits=self._limits,
            )
        self._nudge()
        return version_of(row), True

    async def list(
        self, namespace: str, environment: str, *, after: str | None = None, limit: int = 50
    ) -> Page[Version]:
        """Return versions, the newest first.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.version
        limit = max(1, min(limit, MAX_PAGE))
        before = page_after(after)
        if before and not (before.isascii() and before.isdigit() and len(before) < 10):
            raise CursorInvalid
        statement = (
            select(table, tables.specification.c.sha256)
            .join(tables.specification)
            .order_by(table.c.number.desc())
            .limit(limit + 1)
        )
        if before:
            statement = statement.where(table.c.number < int(before))
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            statement = statement.where(table.c.environment_id == found.id)
            rows = (await connection.execute(statement)).all()
            change = await self._recent(connection, rows)
        await self._settled(change)
        more = cursor(str(rows[limit - 1].number)) if len(rows) > limit else None
        return Page([version_of(row) for row in rows[:limit]], more)

    async def get(self, namespace: str, environment: str, number: int) -> Version:
        """Return a version.

        Raises:
            VersionUnknown: There is none of that number.
        """
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            row = await version_row(connection, found, number)
            change = await self._recent(connection, [row])
        await self._settled(change)
        return version_of(row)

    async def specification(self, namespace: str, environment: str, number: int) -> bytes:
        """Return the bytes by which a version was asked for.

        Raises:
            VersionUnknown: There is none of that number.
        """
        table = tables.specification
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            row = await version_row(connection, found, number)
            statement = select(table.c.data).where(table.c.id == row.specification_id)
            return bytes((await connection.execute(statement)).scalar_one())

    async def activate(
        self,
        actor: Actor,
        namespace: str,
        environment: str,
        number: int,
        *,
        revision: int | None = None,
    ) -> Version:
        """Return a version that is the active one from now on, on every server.

        One that is still under way, and older, becomes active no more.

        Args:
            actor: Who does it.
            namespace: The slug of its namespace.
            environment: Its slug.
            number: Which version.
            revision: What the environment must have; ``None``: any.

        Raises:
            VersionUnknown: There is none of that number.
            VersionNotBuilt: It has nothing to pull.
            RevisionConflict: The environment has another revision.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            found = await environment_row(connection, namespace, environment)
            if revision not in {None, found.revision}:
                raise RevisionConflict(found.path, found.revision)
            row = await version_row(connection, found, number)
            if row.state != "built":
                raise VersionNotBuilt(
                    f"version {number} of '{found.path}' is {row.state}: one that is built can be"
                    " activated"
                )
            if found.active_version == number and found.settled_version == found.last_version:
                return version_of(row)
            await make_active(connection, actor, found, number, row.key, now)
            change = await publish(connection, [found.path], now)
        await self._settled(change)
        return version_of(row)

    async def cancel(self, actor: Actor, namespace: str, environment: str, number: int) -> Version:
        """Return a version that is wanted no more; what others wait for goes on.

        Cancelling one that is cancelled changes nothing.

        Raises:
            VersionUnknown: There is none of that number.
            VersionEnded: It was built, or failed, before.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            found = await environment_row(connection, namespace, environment)
            row = await version_row(connection, found, number)
            if row.state == "cancelled":
                return version_of(row)
            if row.state not in OPEN:
                raise VersionEnded(
                    f"version {number} of '{found.path}' is {row.state}: nothing of it can be"
                    " cancelled any more"
                )
            await cancel_version(connection, actor, found.path, row, now)
            await add_change(connection, "event", found.path, now)
            return version_of(await version_row(connection, found, number))

    async def delete(self, actor: Actor, namespace: str, environment: str, number: int) -> None:
        """Delete a version that is neither active nor proposed: its files go by and by.

        It stays in the history, and is back when somebody makes it active. Clients that know
        versions by the numbers of their rows see it no more. Deleting it once more changes nothing.

        Raises:
            VersionUnknown: There is none of that number.
            VersionInUse: It is active, proposed or under way.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            found = await environment_row(connection, namespace, environment)
            row = await version_row(connection, found, number)
            await delete_version(connection, actor, found, row, now)

    async def _recent(self, connection: AsyncConnection, rows: Sequence[Row[Any]]) -> int:
        """Return what servers may not know yet of versions that ended just now; 0: nothing.

        Whoever is told that a version is built can pull it, from any server.
        """
        since = self._database.now() - _RECENT
        if not any(row.ended_at is not None and row.ended_at > since for row in rows):
            return 0
        newest = await connection.execute(select(func.max(tables.change.c.id)))
        return newest.scalar() or 0


async def _newest(connection: AsyncConnection, environment: Row[Any]) -> Row[Any] | None:
    """Return the newest version that is, or may become, something to pull."""
    table = tables.version
    statement = (
        select(table, tables.specification.c.sha256)
        .join(tables.specification)
        .where(table.c.environment_id == environment.id, table.c.state.in_(_COUNTS))
        .order_by(table.c.number.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).first()
