"""What becomes of a version: one transaction, in which it may become the active one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.journal import add_change, add_version_event, publish
from registry.catalog.ports import LockedPackage
from registry.catalog.records import SERVICE, State
from registry.database import tables


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the request for a version."""

    state: State
    key: str | None = None
    message: str = ""
    packages: Sequence[LockedPackage] = ()


async def finish(
    connection: AsyncConnection, version: int, by: str, outcome: Outcome, now: datetime
) -> int:
    """Write down what became of a version, and return the change.

    It becomes active if that was asked for, unless a newer one is, or somebody has chosen another
    since it was asked for. A version that was cancelled, or that another server has taken up, stays
    as it is.

    Args:
        connection: Of the transaction.
        version: Its number in the database.
        by: The claim under which it was made.
        outcome: What came of it.
        now: The time.
    """
    table, environment = tables.version, tables.environment
    statement = select(table).where(table.c.id == version, table.c.claimed_by == by, tables.OPEN)
    row = (await connection.execute(statement)).first()
    if row is None:
        return 0
    place = (
        await connection.execute(select(environment).where(environment.c.id == row.environment_id))
    ).one()
    if outcome.key is not None and row.renew and outcome.key == place.active_key:
        outcome = replace(
            outcome,
            state="unchanged",
            message=f"nothing has changed: it is the same as version {place.active_version}",
        )
    await connection.execute(
        update(table)
        .where(table.c.id == version)
        .values(
            state=outcome.state,
            key=outcome.key,
            message=outcome.message,
            ended_at=now,
            claimed_by=None,
            claimed_until=None,
        )
    )
    await _keep_packages(connection, outcome)
    detail = {"key": outcome.key, "message": outcome.message}
    await add_version_event(
        connection, SERVICE, now, f"version.{outcome.state}", place.path, row.number, detail
    )
    if outcome.state != "built" or outcome.key is None:
        return await add_change(connection, "event", place.path, now)
    if row.activate and _is_next(place, row.number):
        await make_active(connection, SERVICE, place, row.number, outcome.key, now)
    return await publish(connection, [place.path], now)


def _is_next(environment: Row[Any], number: int) -> bool:
    return number > environment.settled_version and number > (environment.active_version or 0)


async def _keep_packages(connection: AsyncConnection, outcome: Outcome) -> None:
    table = tables.lock_package
    if not outcome.packages:
        return
    known = select(table.c.name).where(table.c.key == outcome.key).limit(1)
    if (await connection.execute(known)).first() is not None:
        return
    rows = {
        (one.platform, one.manager, one.name): {
            "key": outcome.key,
            "platform": one.platform,
            "manager": one.manager,
            "name": one.name,
            "version": one.version,
            "build": one.build,
            "channel": one.channel,
        }
        for one in outcome.packages
    }
    await connection.execute(insert(table), list(rows.values()))
