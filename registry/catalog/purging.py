"""The one way by which events go: by their age, where that is set, a day at a time."""

from datetime import UTC, timedelta
from typing import Final

from sqlalchemy import delete, func, select

from registry.catalog.journal import add_event
from registry.catalog.records import SERVICE
from registry.database import Database, tables

#: So many go in one transaction.
_BATCH: Final = 2000


async def purge_events(database: Database, days: int) -> int:
    """Delete the events of days that are over since ``days``, and return how many that were.

    It is an event itself, which is written first: if this is ended in between, the next call goes
    on, and says so, too.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    table = tables.event
    today = database.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    until = today - timedelta(days=days)
    is_old = table.c.at < until
    async with database.reading() as connection:
        found = await connection.execute(select(func.count()).where(is_old))
        count = found.scalar_one()
    if not count:
        return 0
    async with database.writing() as connection:
        detail = {"events": count, "until": until.isoformat(), "days": days}
        await add_event(connection, SERVICE, database.now(), "audit.purged", detail=detail)
    oldest = select(table.c.id).where(is_old).order_by(table.c.at).limit(_BATCH)
    gone = _BATCH
    while gone == _BATCH:
        async with database.writing() as connection:
            gone = (await connection.execute(delete(table).where(table.c.id.in_(oldest)))).rowcount
    return int(count)
