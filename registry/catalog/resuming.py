"""A version that a policy refused, asked for again by itself once its waivers are decided."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.queueing import queue_version
from registry.catalog.records import SERVICE
from registry.database import tables

#: Of versions with the same specification: they go on, or went on, with the waiver.
_GOES_ON: Final = ("queued", "built", "unchanged")
#: Of versions with another one: whoever asked for them wants them instead.
_INSTEAD: Final = ("queued", "building", "built")


async def resume_refused(
    connection: AsyncConnection, version: int, asker: str, now: datetime
) -> Row[Any] | None:
    """Queue a version again that failed for want of waivers, if they are decided now.

    It becomes active, or a proposal, as the one that failed would have: not if somebody has chosen
    another one, or asked for something else, in the meantime. ``None``: there is nothing to queue.

    Args:
        connection: Of the transaction.
        version: Its number in the database.
        asker: Who asked for its waivers: while others of theirs wait, it would fail again.
        now: The time.
    """
    table, environment = tables.version, tables.environment
    failed = (await connection.execute(select(table).where(table.c.id == version))).first()
    if failed is None or failed.state != "failed":
        return None
    is_there = (environment.c.id == failed.environment_id) & environment.c.deleted_at.is_(None)
    place = (await connection.execute(select(environment).where(is_there))).first()
    if place is None or place.archived_at is not None:
        return None
    if not await _are_decided(connection, version, asker):
        return None
    newer = (table.c.environment_id == place.id) & (table.c.number > failed.number)
    is_same = table.c.specification_id == failed.specification_id
    going = select(table.c.id).where(newer, is_same, table.c.state.in_(_GOES_ON)).limit(1)
    if (await connection.execute(going)).first() is not None:
        return None
    instead = select(table.c.id).where(newer, ~is_same, table.c.state.in_(_INSTEAD)).limit(1)
    is_wanted = (await connection.execute(instead)).first() is None
    # Another one was made active by somebody, or came later and is active.
    is_wanted &= failed.number > max(place.settled_version, place.active_version or 0)
    specification = tables.specification
    data = select(specification.c.data).where(specification.c.id == failed.specification_id)
    return await queue_version(
        connection,
        SERVICE,
        place,
        bytes((await connection.execute(data)).scalar_one()),
        now,
        reason="waiver",
        note=failed.note,
        activate=bool(failed.activate) and is_wanted,
        renew=bool(failed.renew),
        propose=bool(failed.propose) and is_wanted,
        for_whom=failed.requested_by,
    )


async def _are_decided(connection: AsyncConnection, version: int, asker: str) -> bool:
    """Tell whether of somebody's waivers for a version none waits, and one is granted."""
    table = tables.waiver
    mine = (table.c.version_id == version) & (table.c.requested_by == asker)
    states = set((await connection.execute(select(table.c.state).where(mine))).scalars())
    return "granted" in states and "waiting" not in states
