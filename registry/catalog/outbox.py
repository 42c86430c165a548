"""Writes to the store what it must know of environments and namespaces: a document for each.

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
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.concurrency.single_flight import together
from builder.errors import StoreUnavailable
from builder.ports import Store
from registry.catalog.block_loading import BLOCK, blocks_at
from registry.catalog.journal import queue_documents
from registry.catalog.pointers import namespaces_at, pointers_at
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.images.blocked import dump_block
from registry.sources.directory import Pointer, dump_namespace
from registry.storage.layout import blocked_key, environment_key, namespace_key

#: So many documents are written at once.
_AT_ONCE: Final = 16
_CLAIM_SECONDS: Final = 30
_RETRY_SECONDS: Final = 2
#: One that the store cannot take, although it takes others: somebody has to mend something.
_STUCK_SECONDS: Final = 60

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

        One that cannot be written holds up no other.

        Raises:
            DatabaseUnavailable: It does not answer; what was written is written again.
            StoreUnavailable: It does not answer; what it did not take waits two seconds.
        """
        claims = await self._claim()
        if not claims:
            return 0
        async with self._database.reading() as connection:
            documents = await self._documents(connection, [claim.path for claim in claims])
        errors = await together(self._put(claim.path, documents[claim.path]) for claim in claims)
        failed = [error for error in errors if error is not None]
        async with self._database.writing() as connection:
            for claim, error in zip(claims, errors, strict=True):
                if error is None:
                    await _end(connection, claim, self._database)
                else:
                    await self._release(connection, claim, error)
        for error in failed:
            if isinstance(error, StoreUnavailable):
                raise error
        return len(claims) - len(failed)

    async def _documents(
        self, connection: AsyncConnection, paths: Sequence[str]
    ) -> Mapping[str, bytes | None]:
        """Return what is to be in the store at each path; ``None``: nothing."""
        builds = [path.removeprefix(BLOCK) for path in paths if path.startswith(BLOCK)]
        reasons = await blocks_at(connection, builds)
        blocked = {
            f"{BLOCK}{key}": dump_block(reasons[key]) if key in reasons else None for key in builds
        }
        slugs = [path for path in paths if "/" not in path and path not in blocked]
        namespaces = await namespaces_at(connection, slugs)
        found = {slug: dump_namespace(slug) if slug in namespaces else None for slug in slugs}
        pointers = await pointers_at(connection, [path for path in paths if "/" in path])
        return {**blocked, **found} | {
            path: self._dump(pointer) if pointer is not None else None
            for path, pointer in pointers.items()
        }

    async def _put(self, path: str, document: bytes | None) -> Exception | None:
        """Write a document, or delete it; return why that could not be done."""
        key = document_key(path)
        try:
            if document is None:
                await self._store.delete(key)
            else:
                await self._store.write(key, document)
        except StoreUnavailable as error:
            return error
        except Exception as error:  # noqa: BLE001 (logged; the others are written)
            structlog.get_logger().exception("failed to write a document", path=path)
            return error
        return None

    async def _claim(self) -> Sequence[_Claim]:
        table = tables.outbox
        is_free = self._database.is_free(table)
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

    async def _release(self, connection: AsyncConnection, claim: _Claim, error: Exception) -> None:
        table = tables.outbox
        is_down = isinstance(error, StoreUnavailable)
        later = self._database.clock_after(_RETRY_SECONDS if is_down else _STUCK_SECONDS)
        await connection.execute(
            update(table)
            .where(table.c.path == claim.path, table.c.claimed_by == claim.by)
            .values(claimed_until=later)
        )


def document_key(path: str) -> str:
    """Return where the document of a path of the outbox is.

    >>> document_key("blocked:0123"), document_key("analytics")
    ('blocked/0123', 'namespaces/analytics')
    """
    if path.startswith(BLOCK):
        return blocked_key(path.removeprefix(BLOCK))
    return environment_key(path) if "/" in path else namespace_key(path)


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
