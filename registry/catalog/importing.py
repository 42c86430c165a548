"""Versions of an environment that another system has made, taken over as they were.

::

    sent ─→ known by its origin?  ──→ nothing is done
              its lock is read    ──→ refused, with a sentence; the others go on
              ONE transaction: the environment if it is new, versions with their own times and
              numbers, what was active when, what is active now, events

Nothing is solved or built: a lock that is in the store can be pulled. What is sent again changes
nothing, so whoever imports may be interrupted anywhere.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.concurrency.single_flight import together
from builder.errors import BuilderError, PackageError
from registry.catalog.archiving import require_unarchived
from registry.catalog.creating import create_environment
from registry.catalog.imported import (
    ForeignVersion,
    ForeignVersions,
    Imported,
    ImportedVersion,
    RefusedVersion,
)
from registry.catalog.imported_activity import Followed, follow
from registry.catalog.imported_rows import Build, imported_of, is_of, write_versions
from registry.catalog.journal import publish
from registry.catalog.limits import UNLIMITED, Limits
from registry.catalog.lock_content import content_of
from registry.catalog.lock_rows import keep_locks
from registry.catalog.lookup import MAX_PAGE, checked_text, environment_row, namespace_row
from registry.catalog.managed import require_unmanaged
from registry.catalog.ports import LockKeeper, RepositoryNames, Settled, settled_nowhere
from registry.catalog.records import Actor, Page
from registry.catalog.slugs import environment_slug
from registry.database import Database, tables
from registry.errors import CatalogNameInvalid, CatalogNameTaken, EnvironmentUnknown

#: So many locks are read at once, and written down in one transaction.
_PARALLEL: Final = 8


class Imports:
    """Takes over what another system has made.

    Both methods raise :class:`DatabaseUnavailable` when the database does not answer, and then
    nothing was changed.

    Args:
        database: Where versions are.
        locks: Keeps locks.
        repositories: What was pushed: an environment gets no name that a repository has.
        settled: Waits until all servers know of a change.
        limits: Of namespaces that have no quota of their own.
    """

    def __init__(
        self,
        database: Database,
        locks: LockKeeper,
        repositories: RepositoryNames,
        settled: Settled = settled_nowhere,
        limits: Limits = UNLIMITED,
    ) -> None:
        self._database = database
        self._locks = locks
        self._repositories = repositories
        self._settled = settled
        self._limits = limits

    async def put(
        self, actor: Actor, namespace: str, environment: str, sent: ForeignVersions
    ) -> Imported:
        """Return what became of builds, which are versions from now on; each once.

        The environment is made if there is none. Those whose locks cannot be read here are
        refused, and can be sent again.

        Args:
            actor: Who imports.
            namespace: The slug of the namespace.
            environment: The slug of the environment, which is that of the name that is sent.
            sent: The builds.

        Raises:
            NamespaceUnknown: There is no such namespace.
            CatalogNameInvalid: The name has another slug.
            CatalogNameTaken: Another environment, or a pushed repository, has the name.
            EnvironmentManaged: A file defines it.
            EnvironmentArchived: It takes no new version.
            QuotaExceeded: The namespace has as many environments as it may.
            BuilderError: The store, a channel or the base does not answer; nothing was changed.
        """
        checked_text("description", sent.description)
        if environment_slug(sent.name) != environment:
            raise CatalogNameInvalid(
                f"the address of an environment called '{sent.name}' ends in"
                f" '{environment_slug(sent.name)}', and not in '{environment}'"
            )
        async with self._database.reading() as connection:
            await namespace_row(connection, namespace)
            place = await _place(connection, namespace, environment)
            known = await _known(connection, sent)
            is_deleted = place is None and await _is_deleted(
                connection, namespace, environment, sent
            )
            if place is not None:
                await _require_same(connection, place, sent)
        new = [one for one in sent.versions if one.id not in known]
        if is_deleted:
            return _left_deleted(f"{namespace}/{environment}", known, new)
        if place is None and new:
            await self._require_free(f"{namespace}/{environment}")
        builds, refused = await self._builds(new)
        await self._keep_rows(builds.values())
        async with self._database.writing() as connection:
            now = self._database.now()
            place = await _place(connection, namespace, environment)
            known = await _known(connection, sent)
            new = [one for one in new if one.id not in known and one.id not in refused]
            if place is None and new:
                place = await create_environment(
                    connection, actor, namespace, sent.name, sent.description, now, self._limits
                )
            made: Sequence[ImportedVersion] = ()
            if place is not None and new:
                await _require_same(connection, place, sent)
                require_unarchived(place)
                await require_unmanaged(connection, place)
                place, made = await write_versions(connection, actor, place, sent, new, builds, now)
            followed = Followed()
            if place is not None:
                followed = await follow(connection, place, sent, made, now)
            change = 0
            if place is not None and (made or followed.is_changed):
                change = await publish(connection, [place.path], now)
        await self._settled(change)
        return Imported(
            made,
            [one.id for one in sent.versions if one.id in known],
            [RefusedVersion(number, message) for number, message in refused.items()],
            followed.active,
            followed.messages,
        )

    async def list(
        self,
        namespace: str,
        environment: str,
        source: str,
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[ImportedVersion]:
        """Return versions of an environment that were builds of another system, in their order.

        Args:
            namespace: The slug of the namespace.
            environment: The slug of the environment.
            source: The address of that system.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
        """
        table = tables.version
        limit = max(1, min(limit, MAX_PAGE))
        async with self._database.reading() as connection:
            place = await environment_row(connection, namespace, environment)
            statement = (
                select(table)
                .where(
                    table.c.environment_id == place.id,
                    table.c.number > (int(after) if after is not None else 0),
                    is_of(source),
                )
                .order_by(table.c.number)
                .limit(limit + 1)
            )
            rows = (await connection.execute(statement)).all()
        items = [imported_of(row) for row in rows[:limit]]
        return Page(items, str(items[-1].number) if len(rows) > limit else None)

    async def _require_free(self, name: str) -> None:
        if await self._repositories.has_repository(name):
            raise CatalogNameTaken(
                f"'{name}' is a repository that images were pushed to: delete it first, or rename"
                " the environment before it is imported"
            )

    async def _builds(
        self, versions: Sequence[ForeignVersion]
    ) -> tuple[Mapping[bytes, Build], Mapping[int, str]]:
        """Return what locks are here, by their text, and why the others cannot be had, by id."""
        wanted = [one.lock for one in versions if one.state == "completed" and one.lock is not None]
        wanted = list(dict.fromkeys(wanted))
        turns = asyncio.Semaphore(_PARALLEL)

        async def read(data: bytes) -> Build | str:
            async with turns:
                try:
                    lock = await self._locks.keep(data)
                except BuilderError as exc:
                    # What one package lacks is no reason to have the others wait.
                    if exc.transient and not isinstance(exc, PackageError):
                        raise
                    return exc.message
                return Build(lock.key, await asyncio.to_thread(content_of, lock))

        found = dict(zip(wanted, await together(read(data) for data in wanted), strict=True))
        builds = {data: one for data, one in found.items() if isinstance(one, Build)}
        refused = {
            one.id: f"its lock cannot be used here: {why}"
            for one in versions
            if one.lock is not None and isinstance(why := found.get(one.lock), str)
        }
        return builds, refused

    async def _keep_rows(self, builds: Iterable[Build]) -> None:
        """Write down what locks have: no other row says less or more by that."""
        unique = list({build.key: build.content for build in builds}.items())
        # Not all in one transaction, which others would wait for.
        for start in range(0, len(unique), _PARALLEL):
            async with self._database.writing() as connection:
                await keep_locks(connection, dict(unique[start : start + _PARALLEL]))


async def _place(connection: AsyncConnection, namespace: str, environment: str) -> Row[Any] | None:
    try:
        return await environment_row(connection, namespace, environment)
    except EnvironmentUnknown:
        return None


async def _known(connection: AsyncConnection, sent: ForeignVersions) -> set[int]:
    """Return the numbers of builds that were imported before, wherever they are by now."""
    table = tables.version
    origins = {sent.origin(one.id): one.id for one in sent.versions}
    statement = select(table.c.origin).where(table.c.origin.in_(origins))
    return {origins[one] for one in (await connection.execute(statement)).scalars()}


async def _is_deleted(
    connection: AsyncConnection, namespace: str, environment: str, sent: ForeignVersions
) -> bool:
    """Tell whether builds of that system are in a deleted environment of that path."""
    table, place = tables.version, tables.environment
    statement = (
        select(table.c.id)
        .join(place, place.c.id == table.c.environment_id)
        .where(
            place.c.path == f"{namespace}/{environment}",
            place.c.deleted_at.is_not(None),
            is_of(sent.source),
        )
        .limit(1)
    )
    return (await connection.execute(statement)).first() is not None


async def _require_same(
    connection: AsyncConnection, place: Row[Any], sent: ForeignVersions
) -> None:
    """Return if an environment is the one that is imported.

    Raises:
        CatalogNameTaken: Its name was written otherwise, and nothing of that system is in it.
    """
    table = tables.version
    if place.name == sent.name:
        return
    statement = select(table.c.id).where(table.c.environment_id == place.id, is_of(sent.source))
    if (await connection.execute(statement.limit(1))).first() is None:
        raise CatalogNameTaken(
            f"'{place.path}' is there already and is called '{place.name}', not '{sent.name}':"
            " rename one of them, and import again"
        )


def _left_deleted(path: str, known: set[int], new: Sequence[ForeignVersion]) -> Imported:
    """Return that nothing is done in place of what people have deleted."""
    why = f"'{path}' was imported before and is deleted here: restore it, and import again"
    refused = [RefusedVersion(one.id, why) for one in new]
    return Imported((), sorted(known), refused, None, (why,))
