"""Writing down what was pulled: counts of a minute at a time, by day.

Servers write one after the other, and each its rows in one order: however many pull at once, nobody
waits for another one's count.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, Table, case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_version_event
from registry.catalog.limits import day_of
from registry.catalog.records import SERVICE
from registry.catalog.sizes import counted
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.sources.pulls import PullCounts, Pulls

#: So many counts are written in one transaction: others write in between.
_BATCH: Final = 200


async def write_pulls(database: Database, counts: PullCounts) -> None:
    """Write down what was counted; a version that was freed and is pulled is not free any more.

    What cannot be written is counted again the next time. Of an environment that is deleted in the
    meantime, nothing is written.

    Raises:
        DatabaseUnavailable: It does not answer; what was not written is kept.
    """
    waiting = sorted(counts.take(), key=lambda one: (one.path, one.key, one.last_at))
    while waiting:
        batch, rest = waiting[:_BATCH], waiting[_BATCH:]
        try:
            async with database.writing() as connection:
                await _write(connection, batch, database.now())
        except DatabaseUnavailable:
            counts.give_back(waiting)
            raise
        waiting = rest


async def _write(connection: AsyncConnection, pulls: Sequence[Pulls], now: datetime) -> None:
    table = tables.environment
    paths = sorted({one.path for one in pulls})
    statement = select(table.c.id, table.c.namespace_id, table.c.path).where(
        table.c.path.in_(paths), table.c.deleted_at.is_(None)
    )
    places = {row.path: row for row in await connection.execute(statement)}
    known = [one for one in pulls if one.path in places]
    for column, day_table in (
        ("environment_id", tables.usage_day),
        ("namespace_id", tables.namespace_day),
    ):
        for row in _sums(known, places, column):
            await _add(connection, day_table, column, row)
    await _restore(connection, known, places, now)


def _sums(
    pulls: Sequence[Pulls], places: Mapping[str, Row[Any]], column: str
) -> Iterator[dict[str, Any]]:
    """Yield one row for each place and day, in the order of both."""
    found: dict[tuple[int, str], tuple[int, float]] = {}
    for one in pulls:
        row = places[one.path]
        place = row.id if column == "environment_id" else row.namespace_id
        key = (place, day_of(_moment(one.last_at)))
        number, last_at = found.get(key, (0, 0.0))
        found[key] = (number + one.pulls, max(last_at, one.last_at))
    for (place, day), (number, last_at) in sorted(found.items()):
        yield {column: place, "day": day, "pulls": number, "last_at": _moment(last_at)}


async def _add(
    connection: AsyncConnection, table: Table, column: str, row: Mapping[str, Any]
) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row)
    new = statement.excluded
    is_later = table.c.last_at.is_(None) | (table.c.last_at < new.last_at)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c[column], table.c.day],
            set_={
                "pulls": table.c.pulls + new.pulls,
                "last_at": case((is_later, new.last_at), else_=table.c.last_at),
            },
        )
    )


async def _restore(
    connection: AsyncConnection,
    pulls: Sequence[Pulls],
    places: Mapping[str, Row[Any]],
    now: datetime,
) -> None:
    """Say of versions that were freed and are pulled since that they have their files again."""
    table = tables.version
    paths = {row.id: path for path, row in places.items()}
    last = {(places[one.path].id, one.key): one.last_at for one in pulls if one.key}
    keys = sorted({key for _, key in last})
    if not keys:
        return
    freed = select(table).where(
        table.c.freed_at.is_not(None),
        table.c.key.in_(keys),
        table.c.environment_id.in_(sorted(paths)),
    )
    for row in (await connection.execute(freed)).all():
        pulled_at = last.get((row.environment_id, row.key))
        if pulled_at is not None and _moment(pulled_at) > row.freed_at:
            await restore_version(connection, row, paths[row.environment_id], now)


async def restore_version(
    connection: AsyncConnection, version: Row[Any], path: str, now: datetime
) -> None:
    """Say that a version that was freed has its files again.

    Args:
        connection: Of the transaction.
        version: Its row.
        path: Of its environment.
        now: The time.
    """
    table = tables.version
    environment = tables.environment
    place = select(environment.c.namespace_id).where(environment.c.id == version.environment_id)
    namespace = (await connection.execute(place)).scalar_one()
    async with counted(connection, namespace, [version.key]):
        await connection.execute(
            update(table).where(table.c.id == version.id).values(freed_at=None)
        )
    detail = {"before": {"freed_at": version.freed_at.isoformat()}, "after": {"freed_at": None}}
    await add_version_event(
        connection, SERVICE, now, "version.restored", path, version.number, detail
    )
    await add_change(connection, "event", path, now)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
