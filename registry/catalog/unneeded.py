"""Which versions have files that nobody needs: chosen by what a namespace's retention says.

A version may go when it is neither active nor proposed, is not among the newest that are kept, and
when for so many days nothing has happened with it: it was neither built, nor active, nor pulled,
and its environment not deleted. Nothing is kept of what was deleted but by the days.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.concurrency.single_flight import together
from registry.catalog.sizes import is_held
from registry.database import Database, tables
from registry.maintenance.parallel import READS

#: So many versions are looked at at once.
_BATCH: Final = 500

#: Returns when the image of a build was used last, in seconds since 1970; ``None``: never.
LastUse = Callable[[str], Coroutine[Any, Any, float | None]]


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of versions that are not active is kept."""

    #: How long after anything has happened with them; ``None``: for ever.
    days: int | None = None
    #: How many of the newest versions of an environment, in any case.
    keep: int = 1


@dataclass(frozen=True, slots=True)
class Unneeded:
    """A version whose files may go."""

    #: Its number in the database.
    id: int
    path: str
    number: int
    key: str
    #: When something has happened with it last.
    since: datetime
    namespace_id: int
    environment_id: int


async def unneeded(
    database: Database,
    defaults: Keeping,
    last_use: LastUse,
    *,
    namespace_id: int | None = None,
    instead: Keeping | None = None,
) -> AsyncIterator[Unneeded]:
    """Yield the versions whose files may go, in the order in which they were asked for.

    Args:
        database: Where they are.
        defaults: What holds where nothing was set.
        last_use: Is asked for what could go otherwise.
        namespace_id: In one namespace alone; ``None``: in all.
        instead: What to keep instead of what is set: to see what it would do.
    """
    last = 0
    now = database.now()
    while True:
        statement = _chosen(now, defaults, instead).where(tables.version.c.id > last)
        if namespace_id is not None:
            statement = statement.where(tables.environment.c.namespace_id == namespace_id)
        async with database.reading() as connection:
            rows = (await connection.execute(statement.limit(_BATCH))).all()
            active = await _active_until(connection, rows)
        old = []
        for row in rows:
            last = row.id
            moments = (
                row.ended_at,
                row.deleted_at,
                active.get((row.environment_id, row.number)),
            )
            since = max((moment for moment in moments if moment is not None), default=now)
            if since <= now - timedelta(days=row.days):
                old.append((row, since))
        for start in range(0, len(old), READS):
            part = old[start : start + READS]
            used = await together(last_use(row.key) for row, _ in part)
            for (row, since), at in zip(part, used, strict=True):
                latest = max(since, datetime.fromtimestamp(at, UTC)) if at is not None else since
                if latest <= now - timedelta(days=row.days):
                    yield _unneeded(row, latest)
        if len(rows) < _BATCH:
            return


def _unneeded(row: Row[Any], since: datetime) -> Unneeded:
    return Unneeded(
        row.id, row.path, row.number, row.key, since, row.namespace_id, row.environment_id
    )


def may_go() -> ColumnElement[bool]:
    """Return whether a version has files, and is neither active where it is nor proposed."""
    version, environment, proposal = tables.version, tables.environment, tables.proposal
    is_active = and_(
        environment.c.deleted_at.is_(None), version.c.number == environment.c.active_version
    )
    is_proposed = exists().where(
        proposal.c.environment_id == version.c.environment_id,
        proposal.c.number == version.c.number,
        proposal.c.state == "open",
    )
    return and_(is_held(), or_(~is_active, environment.c.active_version.is_(None)), ~is_proposed)


def _chosen(now: datetime, defaults: Keeping, instead: Keeping | None) -> Select[Any]:
    version, environment, table = tables.version, tables.environment, tables.retention
    if instead is None:
        said = table.c.days
        days: Any = case((said.is_(None), defaults.days), (said < 0, None), else_=said)
        keep: Any = func.coalesce(table.c.keep, defaults.keep)
    else:
        days, keep = literal(instead.days, Integer), literal(instead.keep)
    newer = tables.version.alias("newer")
    number_newer = (
        select(func.count())
        .where(
            newer.c.environment_id == version.c.environment_id,
            newer.c.number > version.c.number,
            newer.c.state == "built",
        )
        .scalar_subquery()
    )
    return (
        select(
            version.c.id,
            version.c.environment_id,
            version.c.number,
            version.c.key,
            version.c.ended_at,
            environment.c.namespace_id,
            environment.c.path,
            environment.c.deleted_at,
            days.label("days"),
        )
        .select_from(version)
        .join(environment, environment.c.id == version.c.environment_id)
        .outerjoin(table, table.c.namespace_id == environment.c.namespace_id)
        .where(
            may_go(),
            days.is_not(None),
            or_(environment.c.deleted_at.is_not(None), number_newer >= keep),
        )
        .order_by(version.c.id)
    )


async def _active_until(
    connection: AsyncConnection, versions: Sequence[Row[Any]]
) -> dict[tuple[int, int], datetime]:
    """Return until when versions were active, by environment and number."""
    table = tables.activation
    ids = sorted({row.environment_id for row in versions})
    statement = (
        select(table.c.environment_id, table.c.number, table.c.at)
        .where(table.c.environment_id.in_(ids))
        .order_by(table.c.environment_id, table.c.id)
    )
    found: dict[tuple[int, int], datetime] = {}
    rows = (await connection.execute(statement)).all()
    for row, following in pairwise(rows):
        if row.environment_id == following.environment_id:
            found[row.environment_id, row.number] = following.at
    return found
