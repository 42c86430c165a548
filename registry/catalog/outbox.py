"""Writes to the store what it must know of environments: a document for each.

::

    a change ──→ outbox row for the document (in the same transaction), one for each document
    claimed  ──→ read what holds now ──→ written to the store ──→ row deleted, if nothing has
                                                                  changed in the meantime

A document is written by one server at a time, since the row is claimed for as long. One that was
held up for longer than its claim may have written over what is newer: when it comes to delete the
row and it is not its own any more, it has the document written again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.concurrency.single_flight import together
from builder.errors import StoreUnavailable
from builder.ports import Store
from registry.catalog.journal import queue_documents
from registry.catalog.pointers import pointers_after, pointers_at
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.sources.directory import Pointer
from registry.storage.layout import ENVIRONMENTS, environment_key

#: So many documents are written at once.
_AT_ONCE: Final = 16
_CLAIM_SECONDS: Final = 30
_RETRY_SECONDS: Final = 2

#: Returns what is written into the store of a pointer.
Dump = Callable[[Pointer], bytes]


@dataclass(frozen=True, slots=True)
class _Claim:
    path: str
    generation: int
    by: str


class OutboxWriter:
    """Carries out what waits in the outbox, and repeats it until it is done.

    Args:
        database: Where it waits.
        store: Where it is written.
        dump: Makes documents of pointers.
        wait: Returns when something may have been added, or after a number of seconds.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        dump: Dump,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._store = store
        self._dump = dump
        self._wait = wait

    async def run(self) -> None:
        """Write for ever."""
        while True:
            try:
                written = await self.write()
            except (DatabaseUnavailable, StoreUnavailable):
                written = 0
            except Exception:  # noqa: BLE001 (logged; what is in the outbox stays there)
                structlog.get_logger().exception("failed to write pointers")
                written = 0
            if written < _AT_ONCE:
                await self._wait(1)

    async def write(self) -> int:
        """Write what waits, some of it, and return how many documents that were.

        Raises:
            DatabaseUnavailable: It does not answer; what was written is written again.
            StoreUnavailable: It does not answer; what was claimed waits two seconds.
        """
        claims = await self._claim()
        if not claims:
            return 0
        try:
            async with self._database.reading() as connection:
                pointers = await pointers_at(connection, [claim.path for claim in claims])
            await together(self._put(path, pointer) for path, pointer in pointers.items())
        except StoreUnavailable:
            await self._release(claims)
            raise
        async with self._database.writing() as connection:
            for claim in claims:
                await _end(connection, claim, self._database)
        return len(claims)

    async def _put(self, path: str, pointer: Pointer | None) -> None:
        if pointer is None:
            await self._store.delete(environment_key(path))
        else:
            await self._store.write(environment_key(path), self._dump(pointer))

    async def _claim(self) -> Sequence[_Claim]:
        table = tables.outbox
        is_free = or_(
            table.c.claimed_until.is_(None), table.c.claimed_until < self._database.clock()
        )
        waiting = select(table.c.path).where(is_free).order_by(table.c.created_at)
        async with self._database.reading() as connection:
            if (await connection.execute(waiting.limit(1))).first() is None:
                return []
        by = secrets.token_hex(8)
        statement = (
            update(table)
            .where(table.c.path.in_(waiting.limit(_AT_ONCE)))
            .values(claimed_by=by, claimed_until=self._database.clock_after(_CLAIM_SECONDS))
            .returning(table.c.path, table.c.generation)
        )
        async with self._database.writing() as connection:
            return [_Claim(path, one, by) for path, one in await connection.execute(statement)]

    async def _release(self, claims: Sequence[_Claim]) -> None:
        table = tables.outbox
        later = self._database.clock_after(_RETRY_SECONDS)
        async with self._database.writing() as connection:
            await connection.execute(
                update(table).where(table.c.claimed_by == claims[0].by).values(claimed_until=later)
            )


async def compare(
    database: Database,
    store: Store,
    dump: Dump,
    on_found: Callable[[str], None] = lambda _path: None,
) -> int:
    """Have every document written again that is not what the database says; return how many.

    Both are read in the order of their paths, a hundred at a time: neither is held in memory. What
    changes meanwhile may be written once more, which does no harm.

    Raises:
        DatabaseUnavailable: It does not answer.
        StoreUnavailable: It does not answer.
    """
    found = 0
    after = ""
    while True:
        async with database.reading() as connection:
            batch = await pointers_after(connection, after)
        right = {f"{one.namespace}/{one.environment}": dump(one) for one in batch}
        last = max(right, default="")
        written = await _documents(store, after, last)
        wrong = [path for path in right.keys() | written if right.get(path) != written.get(path)]
        for path in sorted(wrong):
            on_found(path)
        if wrong:
            async with database.writing() as connection:
                await queue_documents(connection, wrong, database.now())
        found += len(wrong)
        if not batch:
            return found
        after = last


async def _documents(store: Store, after: str, last: str) -> Mapping[str, bytes]:
    """Return the documents of the paths after one up to another; empty: all that come after."""
    paths: list[str] = []
    async for entry in store.entries(ENVIRONMENTS, environment_key(after) if after else ""):
        path = entry.key.removeprefix(ENVIRONMENTS)
        if last and path > last:
            break
        paths.append(path)
    read = await together(store.read(environment_key(path)) for path in paths)
    return {path: data for path, data in zip(paths, read, strict=True) if data is not None}


async def _end(connection: AsyncConnection, claim: _Claim, database: Database) -> None:
    table = tables.outbox
    here = table.c.path == claim.path
    mine = here & (table.c.claimed_by == claim.by)
    done = await connection.execute(
        delete(table).where(mine, table.c.generation == claim.generation)
    )
    if done.rowcount:
        return
    again = await connection.execute(
        update(table).where(mine).values(claimed_by=None, claimed_until=None)
    )
    if not again.rowcount:  # it took too long, and another server has written since, or writes now
        await queue_documents(connection, [claim.path], database.now())
