"""Retention: versions that are not active give up their files after a while.

::

    chosen  ──→ version.freed_at is set, an event says so          (one transaction for each part)
            ──→ files of builds that no version keeps leave the store, but for what others need
    pulled  ──→ made again from the lock; freed_at is taken back by whoever counts the pull

What is interrupted in between is done the next time: all builds that are given up are looked at,
not those of this time alone. Nothing of the catalog goes: versions stay, and can be made active.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.concurrency.single_flight import SingleFlight
from builder.ports import Store
from registry.catalog.journal import add_change, add_event, changes
from registry.catalog.limits import NO_LIMIT, effective
from registry.catalog.lookup import namespace_row
from registry.catalog.namespace_settings import said_in, set_settings, settings_row
from registry.catalog.pull_writer import restore_version
from registry.catalog.records import SERVICE, Actor
from registry.catalog.sizes import counted
from registry.catalog.unneeded import Keeping, Unneeded, may_go, unneeded
from registry.database import Database, tables
from registry.images.usage import last_use
from registry.maintenance.freeing import carry_out, freed_bytes, plan_freeing
from registry.maintenance.references import image_entries

#: So many versions are freed at once, and told of.
MAX_FREED: Final = 1000
_BATCH: Final = 200
#: What is set for a namespace.
_NAMES: Final = ("days", "keep")
#: What takes longer is remembered for whoever asks again.
_SLOW_SECONDS: Final = 15
_REMEMBERED_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Retention:
    """What of versions that are not active is kept in a namespace."""

    namespace: str
    #: What was set: ``days`` and ``keep``; ``None``: the default, less than nothing: for ever.
    said: Mapping[str, int | None]
    #: What holds.
    keeping: Keeping
    defaults: Keeping
    #: Grows with each change; 0: nothing was ever set.
    revision: int


@dataclass(frozen=True, slots=True)
class Freed:
    """What goes, or has gone."""

    versions: Sequence[Unneeded]
    #: What of each build is among what goes, in bytes: of what several have, in each.
    by_build: Mapping[str, int]
    #: All together, each file once.
    size_bytes: int
    #: Whether there are more versions than are freed at once.
    is_more: bool


class Retentions:
    """Shows and sets what namespaces keep, says what would go, and has it go.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer, and those that
    look into the store :class:`StoreUnavailable`.

    Args:
        database: Where versions are.
        store: Where their files are.
        now: The time in seconds since 1970, by which uses are noted.
        defaults: What holds where nothing was set.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        now: Callable[[], float],
        defaults: Keeping | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self._now = now
        self._defaults = defaults or Keeping()
        self._flights: SingleFlight[Freed] = SingleFlight()
        #: What took long to find out, and until when it is remembered.
        self._previews: dict[str, tuple[float, Freed]] = {}
        #: One after the other: each reads every document of the store.
        self._turn = asyncio.Lock()

    async def get(self, slug: str) -> Retention:
        """Return what a namespace keeps.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        async with self._database.reading() as connection:
            namespace = await namespace_row(connection, slug)
            row = await settings_row(connection, tables.retention, namespace)
            return self._read(slug, row)

    async def set(
        self,
        actor: Actor,
        slug: str,
        said: Mapping[str, int | None],
        *,
        revision: int | None = None,
    ) -> Retention:
        """Return what a namespace keeps from now on; nothing goes at once.

        Args:
            actor: Who sets it.
            slug: Of which namespace.
            said: ``days`` and ``keep``: a number, ``None`` for the default, and of ``days``
                :data:`.limits.NO_LIMIT` for ever; what is left out is ``None``.
            revision: What it must have; ``None``: any.

        Raises:
            NamespaceUnknown: There is none of that slug.
            RevisionConflict: It has another revision.
        """
        values = {name: said.get(name) for name in _NAMES}
        async with self._database.writing() as connection:
            namespace = await namespace_row(connection, slug)
            await set_settings(
                connection,
                actor,
                tables.retention,
                namespace,
                values,
                self._database.now(),
                action="retention.set",
                in_words=in_words,
                revision=revision,
            )
            return self._read(slug, await settings_row(connection, tables.retention, namespace))

    def preview(self, slug: str, instead: Keeping | None = None) -> asyncio.Task[Freed]:
        """Return what finds out what would go now, and how many bytes that frees, begun now.

        It goes on when nobody waits for it; whoever asks for the same soon after gets what came of
        one that took long.

        Args:
            slug: Of which namespace.
            instead: What to keep instead of what is set; ``None``: what is set.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        name = f"preview {slug} {instead}"
        return self._flights.start(name, lambda: self._remembered(name, slug, instead))

    async def _remembered(self, name: str, slug: str, instead: Keeping | None) -> Freed:
        clock = asyncio.get_running_loop().time
        began = clock()
        for known in [one for one, (at, _) in self._previews.items() if at < began]:
            del self._previews[known]
        if name in self._previews:
            return self._previews.pop(name)[1]
        found = await self._previewed(slug, instead)
        if clock() - began > _SLOW_SECONDS:  # whoever asked has gone, and comes again
            self._previews[name] = (clock() + _REMEMBERED_SECONDS, found)
        return found

    async def _previewed(self, slug: str, instead: Keeping | None) -> Freed:
        async with self._database.reading() as connection:
            namespace = (await namespace_row(connection, slug)).id
        chosen, is_more = await self._chosen(namespace, instead)
        if not chosen:
            return Freed((), {}, 0, is_more=False)
        async with self._turn:
            gone = await self._gone(chosen)
            keys = {one.key for one in chosen}
            plan = await plan_freeing(self._store, gone, self._now(), only=keys)
        return Freed(chosen, plan.by_build, plan.size_bytes, is_more)

    def free(self, actor: Actor, slug: str) -> asyncio.Task[Freed]:
        """Return what frees the files that a namespace needs no more, begun now.

        It goes on when nobody waits for it; whoever asks meanwhile waits for the same.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        return self._flights.start(f"free {slug}", partial(self._free_of, actor, slug))

    async def free_all(self) -> Freed:
        """Free the files that no namespace needs any more, and say which freed ones are back."""
        await self.look_for_restored()
        return await self._free(SERVICE, None)

    async def look_for_restored(self) -> None:
        """Say of versions that were freed that they have files again, if they have.

        Somebody has pulled the build by its key, or by a name of its packages: nobody counts that.
        """
        table, environment = tables.version, tables.environment
        statement = (
            select(table, environment.c.path)
            .join(environment, environment.c.id == table.c.environment_id)
            .where(tables.FREED)
            .order_by(table.c.id)
            .limit(_BATCH)
        )
        built: dict[str, float] = {}
        last = 0
        while True:
            async with self._database.reading() as connection:
                page = statement.where(table.c.id > last)
                rows = (await connection.execute(page)).all()
            if not rows:
                return
            if not built:
                async for image in image_entries(self._store):
                    built[image.build] = max(image.modified, built.get(image.build, 0.0))
            last = rows[-1].id
            back = [row for row in rows if built.get(row.key, 0.0) > row.freed_at.timestamp()]
            if back:
                async with self._database.writing() as connection:
                    for row in back:
                        now = self._database.now()
                        await restore_version(connection, row, row.path, now)

    async def close(self) -> None:
        """Cancel what is being freed; it is done the next time."""
        await self._flights.close()

    def _read(self, slug: str, row: Row[Any] | None) -> Retention:
        said = said_in(row, _NAMES)
        keep = said["keep"]
        keeping = Keeping(
            effective(said["days"], self._defaults.days),
            self._defaults.keep if keep is None else keep,
        )
        revision = row.revision if row is not None else 0
        return Retention(slug, said, keeping, self._defaults, revision)

    async def _free_of(self, actor: Actor, slug: str) -> Freed:
        async with self._database.reading() as connection:
            namespace = (await namespace_row(connection, slug)).id
        return await self._free(actor, namespace)

    async def _free(self, actor: Actor, namespace: int | None) -> Freed:
        chosen, is_more = await self._chosen(namespace, None)
        freed: list[Unneeded] = []
        for start in range(0, len(chosen), _BATCH):
            freed += await self._give_up(actor, chosen[start : start + _BATCH])
        async with self._turn:
            gone = await self._gone(())
            if not gone:
                return Freed(freed, {}, 0, is_more)
            keys = {one.key for one in freed} if namespace is not None else None
            plan = await plan_freeing(self._store, gone, self._now(), only=keys)
            eviction = await carry_out(self._store, plan)
        return Freed(freed, plan.by_build, freed_bytes(eviction), is_more)

    async def _chosen(
        self, namespace: int | None, instead: Keeping | None
    ) -> tuple[list[Unneeded], bool]:
        found: list[Unneeded] = []
        if instead is not None and instead.days is None:
            return found, False
        async for one in unneeded(
            self._database,
            self._defaults,
            partial(last_use, self._store),
            namespace_id=namespace,
            instead=instead,
        ):
            if len(found) == MAX_FREED:
                return found, True
            found.append(one)
        return found, False

    async def _give_up(self, actor: Actor, chosen: Sequence[Unneeded]) -> list[Unneeded]:
        """Write down that versions have no files any more, but for what is active by now."""
        table, environment = tables.version, tables.environment
        ids = [one.id for one in chosen]
        still = (
            select(table.c.id)
            .join(environment, environment.c.id == table.c.environment_id)
            .where(table.c.id.in_(ids), may_go())
        )
        async with self._database.writing() as connection:
            free = set((await connection.execute(still)).scalars())
            now = self._database.now()
            freed = [one for one in chosen if one.id in free]
            keys: dict[int, list[str]] = defaultdict(list)
            for one in freed:
                keys[one.namespace_id].append(one.key)
            async with AsyncExitStack() as counting:
                for namespace in sorted(keys):
                    await counting.enter_async_context(
                        counted(connection, namespace, keys[namespace])
                    )
                await connection.execute(
                    update(table).where(table.c.id.in_(sorted(free))).values(freed_at=now)
                )
            for one in freed:
                await _say_freed(connection, actor, one, now)
            for path in sorted({one.path for one in freed}):
                await add_change(connection, "event", path, now)
        return freed

    async def _gone(self, chosen: Sequence[Unneeded]) -> dict[str, float]:
        """Return the builds that no version keeps, and since when.

        Args:
            chosen: Versions that are taken for freed as well, now.
        """
        table = tables.version
        ids = {one.id for one in chosen}
        gone = {one.key: self._now() for one in chosen}
        last = 0
        while True:
            statement = (
                select(table.c.id, table.c.key, table.c.freed_at)
                .where(tables.FREED, table.c.id > last)
                .order_by(table.c.id)
                .limit(_BATCH)
            )
            async with self._database.reading() as connection:
                rows = (await connection.execute(statement)).all()
            if not rows:
                break
            last = rows[-1].id
            for row in rows:
                gone[row.key] = max(gone.get(row.key, 0.0), row.freed_at.timestamp())
        keys = sorted(gone)
        for start in range(0, len(keys), _BATCH):
            kept = select(table.c.id, table.c.key).where(
                table.c.key.in_(keys[start : start + _BATCH]),
                table.c.freed_at.is_(None),
                table.c.state == "built",
            )
            async with self._database.reading() as connection:
                for row in await connection.execute(kept):
                    if row.id not in ids:
                        gone.pop(row.key, None)
        return gone


def in_words(said: Mapping[str, int | None]) -> dict[str, int | str | None]:
    """Return what was set as people write it.

    >>> in_words({"days": -1, "keep": 3})
    {'days': 'never', 'keep': 3}
    """
    return {name: "never" if value == NO_LIMIT else value for name, value in said.items()}


async def _say_freed(
    connection: AsyncConnection, actor: Actor, version: Unneeded, now: datetime
) -> None:
    namespace, _, environment = version.path.partition("/")
    await add_event(
        connection,
        actor,
        now,
        "version.freed",
        namespace=namespace,
        environment=environment,
        number=version.number,
        detail={
            "key": version.key,
            **changes({"freed_at": None}, {"freed_at": now.isoformat()}),
        },
        namespace_id=version.namespace_id,
        environment_id=version.environment_id,
    )
