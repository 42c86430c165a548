"""What was active when, and is, of what is imported: tags with a date lead there as well.

conda-store makes each build the current one when it is completed, and people may choose another
later. So of each day the last completed build was active at its end; what is active now is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.imported import ForeignVersions, ImportedVersion
from registry.catalog.imported_rows import imported_of
from registry.catalog.records import SERVICE
from registry.database import tables


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of what is active elsewhere."""

    #: The number there of the version that is active here; ``None``: none of that system is.
    active: int | None = None
    #: Whether another version is active now.
    is_changed: bool = False
    messages: Sequence[str] = ()


async def follow(
    connection: AsyncConnection,
    place: Row[Any],
    sent: ForeignVersions,
    made: Sequence[ImportedVersion],
    now: datetime,
) -> Followed:
    """Return what is active in an environment, which follows the other system until people choose.

    Args:
        connection: Of the transaction.
        place: The row of the environment, as it is.
        sent: What was sent.
        made: What of it became versions just now.
        now: The time.
    """
    table = tables.version
    active = await _version(connection, place, table.c.number == place.active_version)
    newest = await _newest_activation(connection, place)
    here = _number_there(active, sent.source)
    is_followed = here is not None and newest is not None and newest.by is None
    is_ours = active is None or is_followed
    if is_ours:
        await _keep_history(connection, place, [one.number for one in made if one.key is not None])
    if sent.active is None:
        return Followed(here)
    wanted = await _version(connection, place, table.c.origin == sent.origin(sent.active))
    if wanted is None or wanted.key is None or wanted.deleted_at is not None:
        why = f"build {sent.active} is active there and cannot be pulled here"
        return Followed(here, messages=(f"{why}: see what is said of it",))
    if wanted.number == place.active_version:
        return Followed(sent.active)
    if not is_ours:
        why = (
            f"build {sent.active} is active there, and version {place.active_version} stays so here"
        )
        return Followed(here, messages=(f"{why}, as somebody has chosen it",))
    reason = f"as at {sent.source}"
    await make_active(connection, SERVICE, place, wanted.number, wanted.key, now, reason=reason)
    return Followed(sent.active, is_changed=True)


async def _version(connection: AsyncConnection, place: Row[Any], is_it: Any) -> Row[Any] | None:
    table = tables.version
    statement = select(table).where(table.c.environment_id == place.id, is_it)
    return (await connection.execute(statement)).first()


def _number_there(row: Row[Any] | None, source: str) -> int | None:
    if row is None or row.origin is None or not row.origin.startswith(f"{source}#"):
        return None
    return imported_of(row).id


async def _newest_activation(connection: AsyncConnection, place: Row[Any]) -> Row[Any] | None:
    table = tables.activation
    statement = (
        select(table)
        .where(table.c.environment_id == place.id)
        .order_by(table.c.at.desc(), table.c.id.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).first()


async def _keep_history(
    connection: AsyncConnection, place: Row[Any], numbers: Sequence[int]
) -> None:
    """Write down when versions were active: of each day the last, as of all others."""
    if not numbers:
        return
    table, version = tables.activation, tables.version
    history = select(table).where(table.c.environment_id == place.id)
    there = {_day(row.at): row for row in await connection.execute(history.order_by(table.c.at))}
    statement = select(version).where(
        version.c.environment_id == place.id, version.c.number.in_(numbers)
    )
    rows = (
        await connection.execute(statement.order_by(version.c.ended_at, version.c.number))
    ).all()
    last: Mapping[date, Row[Any]] = {_day(row.ended_at): row for row in rows}
    new = {day: row for day, row in last.items() if _is_later(row, there.get(day))}
    gone = [there[day].id for day in new if day in there]
    if gone:
        await connection.execute(delete(table).where(table.c.id.in_(gone)))
    if new:
        await connection.execute(
            insert(table),
            [
                {
                    "environment_id": place.id,
                    "number": row.number,
                    "key": row.key,
                    "at": row.ended_at,
                    "by": None,
                }
                for row in new.values()
            ],
        )


def _is_later(row: Row[Any], known: Row[Any] | None) -> bool:
    return known is None or bool(row.ended_at > known.at)


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
