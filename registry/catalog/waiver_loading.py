"""Waivers that hold, read into a server's memory: all of them, or what changes name."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.ports import HeldWaivers
from registry.catalog.waiver_rows import granted_of, waivers
from registry.database import Database, tables

#: So many rows are read at once: a few milliseconds of the event loop.
_BATCH: Final = 500


class WaiverLoading:
    """Keeps waivers in memory as the database has them.

    A waiver holds by the names of its environment and namespace, and is read again when one of
    them is renamed, moved, deleted or restored.

    Args:
        held: What knows in memory which waivers hold.
    """

    def __init__(self, held: HeldWaivers) -> None:
        self._held = held
        #: What memory has, by number: the places by whose changes it is read again.
        self._places: dict[int, tuple[str | None, str | None]] = {}

    async def everything(self, database: Database) -> None:
        """Read all that hold, in batches; what held before and does no more is forgotten.

        Raises:
            DatabaseUnavailable: It does not answer; memory has a part of it.
        """
        table, last = tables.waiver, 0
        kept: set[int] = set()
        while True:
            statement = waivers().where(table.c.state == "granted", table.c.id > last)
            async with database.reading() as connection:
                page = statement.order_by(table.c.id).limit(_BATCH)
                rows = (await connection.execute(page)).all()
            for row in rows:
                self._put(row)
                kept.add(row.id)
            if len(rows) < _BATCH:
                break
            last = rows[-1].id
        for number in set(self._places) - kept:
            self._remove(number)

    async def again(
        self,
        connection: AsyncConnection,
        numbers: Sequence[int],
        *,
        paths: Sequence[str] = (),
        namespaces: Sequence[str] = (),
    ) -> None:
        """Read waivers again that are named, and those that hold in places that have changed.

        Args:
            connection: Of a transaction that reads.
            numbers: Theirs.
            paths: Environments that were changed, e.g. ``"analytics/forecast"``.
            namespaces: The slugs of namespaces that were.
        """
        table = tables.waiver
        known = [
            number
            for number, (namespace, path) in self._places.items()
            if namespace in namespaces or path in paths
        ]
        some = list(dict.fromkeys([*numbers, *known]))
        for part in _parts(some):
            rows = await connection.execute(waivers().where(table.c.id.in_(part)))
            found = {row.id: row for row in rows}
            for number in part:
                if number in found:
                    self._put(found[number])
                else:
                    self._remove(number)
        for part in _parts(list(paths)):
            await self._in_places(connection, tables.environment.c.path.in_(part))
        for part in _parts(list(namespaces)):
            await self._in_places(connection, tables.namespace.c.slug.in_(part))

    async def _in_places(self, connection: AsyncConnection, condition: ColumnElement[bool]) -> None:
        statement = waivers().where(tables.waiver.c.state == "granted", condition)
        for row in await connection.execute(statement):
            self._put(row)

    def _put(self, row: Row[Any]) -> None:
        """Know a waiver as it is: forget it, if it does not hold.

        Of one that is granted, the place is kept even then: it may come back.
        """
        waiver = granted_of(row)
        if waiver is None:
            self._held.remove_waiver(row.id)
        else:
            self._held.put_waiver(waiver)
        if row.state == "granted":
            self._places[row.id] = (row.namespace, row.path)
        else:
            self._places.pop(row.id, None)

    def _remove(self, number: int) -> None:
        self._held.remove_waiver(number)
        self._places.pop(number, None)


def _parts(items: Sequence[Any]) -> Sequence[Sequence[Any]]:
    return [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
