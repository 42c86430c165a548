"""Waivers that end: told a week before, and ended when their time is over."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import SERVICE, Actor
from registry.catalog.waiver_rows import OPEN, tell_of_waiver, waiver_row, waivers
from registry.database import Database, tables

#: How long before it ends a waiver is told of; of a shorter one, half of its time before.
NOTICE: Final = timedelta(days=7)
#: So many are read at once.
_BATCH: Final = 500


class WaiverEnds:
    """Tells of waivers that end soon, and ends those whose time is over.

    What they let pass is not let pass any more from their end on, whether this is called or not:
    servers know when it is. Builds that were made stay.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
    """

    def __init__(self, database: Database, settled: Settled = settled_nowhere) -> None:
        self._database = database
        self._settled = settled

    async def look(self) -> None:
        """Do both for all there are; each waiver is told of once, however many servers look.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        for due in (self._over, self._soon):
            for numbers in await due():
                change = await self._settle(numbers)
                await self._settled(change)

    async def _over(self) -> Sequence[Sequence[int]]:
        table = tables.waiver
        over = table.c.expires_at <= self._database.now()
        return await self._numbers(over, lambda _: True)

    async def _soon(self) -> Sequence[Sequence[int]]:
        table, now = tables.waiver, self._database.now()
        soon = (table.c.expires_at <= now + NOTICE) & table.c.told_at.is_(None)
        return await self._numbers(soon, lambda row: _is_soon(row, now))

    async def _numbers(
        self, condition: ColumnElement[bool], is_due: Callable[[Row[Any]], bool]
    ) -> Sequence[Sequence[int]]:
        """Return the numbers of granted waivers of a condition, in batches."""
        table, last = tables.waiver, 0
        found: list[Sequence[int]] = []
        while True:
            statement = (
                select(table)
                .where(table.c.state == "granted", condition, table.c.id > last)
                .order_by(table.c.id)
                .limit(_BATCH)
            )
            async with self._database.reading() as connection:
                rows = (await connection.execute(statement)).all()
            due = [row.id for row in rows if is_due(row)]
            found += [due] if due else []
            if len(rows) < _BATCH:
                return found
            last = rows[-1].id

    async def _settle(self, numbers: Sequence[int]) -> int:
        """End waivers, or tell that they end soon, whichever is due; return the last change."""
        change = 0
        async with self._database.writing() as connection:
            now = self._database.now()
            for number in numbers:
                row = await waiver_row(connection, number)  # another server may have been first
                if row.state != "granted" or row.expires_at is None:
                    continue
                if row.expires_at <= now:
                    change = await _end(connection, SERVICE, row, now, "its time is over")
                elif row.told_at is None and _is_soon(row, now):
                    await connection.execute(
                        update(tables.waiver)
                        .where(tables.waiver.c.id == number)
                        .values(told_at=now)
                    )
                    ends = f"it ends at {row.expires_at.isoformat()}"
                    change = await tell_of_waiver(
                        connection, SERVICE, row, "waiver.ends_soon", now, before=row, why=ends
                    )
        return change


async def end_waivers_of(
    connection: AsyncConnection,
    actor: Actor,
    policy: str,
    namespace_id: int | None,
    now: datetime,
) -> int:
    """End the waivers of a policy that is deleted, and return the last change; 0: none.

    Another policy of that name is another policy: what was let pass of this one is not let pass of
    that.

    Args:
        connection: Of the transaction.
        actor: Who deletes it.
        policy: Its name.
        namespace_id: The namespace whose own it is; ``None``: an administrator's.
        now: The time.
    """
    table, change = tables.waiver, 0
    of_it = (table.c.policy == policy) & table.c.state.in_(OPEN)
    if namespace_id is not None:
        of_it &= table.c.namespace_id == namespace_id
    for row in (await connection.execute(waivers().where(of_it).order_by(table.c.id))).all():
        change = await _end(connection, actor, row, now, "its policy is deleted")
    return change


async def _end(
    connection: AsyncConnection, actor: Actor, row: Row[Any], now: datetime, why: str
) -> int:
    await connection.execute(
        update(tables.waiver).where(tables.waiver.c.id == row.id).values(state="ended")
    )
    ended = await waiver_row(connection, row.id)
    return await tell_of_waiver(connection, actor, ended, "waiver.ended", now, before=row, why=why)


def _is_soon(row: Row[Any], now: datetime) -> bool:
    """Tell whether it is time to say that a waiver ends."""
    length = row.expires_at - (row.decided_at or row.requested_at)
    return bool(row.expires_at - min(NOTICE, length / 2) <= now)
