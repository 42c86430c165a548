"""Writing a version that is asked for: its row, its specification, and what tells of it."""

import hashlib
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_version_event
from registry.catalog.lookup import version_row
from registry.catalog.records import Actor, Reason
from registry.database import tables
from registry.errors import TooManyVersions

#: How many versions of one person are under way at most, or wait.
MAX_OPEN: Final = 100


async def queue_version(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    data: bytes,
    now: datetime,
    *,
    reason: Reason = "person",
    note: str = "",
    activate: bool = True,
    renew: bool = False,
) -> Row[Any]:
    """Return the row of an environment's next version, which any server makes from now on.

    Args:
        connection: Of the transaction.
        actor: Who asks for it.
        environment: The row of its environment.
        data: By what it is asked for.
        now: The time.
        reason: Why.
        note: What whoever asks says of it.
        activate: Whether it becomes active when it is built.
        renew: Whether it is solved anew.

    Raises:
        TooManyVersions: Whoever asks has as many under way as one may.
    """
    await _require_room(connection, actor)
    number = environment.last_version + 1
    await connection.execute(
        insert(tables.version).values(
            environment_id=environment.id,
            number=number,
            specification_id=await _specification(connection, data, now),
            state="queued",
            reason=reason,
            note=note,
            requested_by=actor.name,
            activate=int(activate),
            renew=int(renew),
            created_at=now,
        )
    )
    await connection.execute(
        update(tables.environment)
        .where(tables.environment.c.id == environment.id)
        .values(last_version=number)
    )
    await add_version_event(
        connection, actor, now, "version.queued", environment.path, number, {"reason": reason}
    )
    # Whoever makes versions, on any server, looks for them when something has changed.
    await add_change(connection, "event", environment.path, now)
    return await version_row(connection, environment, number)


async def _require_room(connection: AsyncConnection, actor: Actor) -> None:
    """Return if somebody may have one more version under way; the service always may.

    Raises:
        TooManyVersions: They may not.
    """
    if actor.name is None:
        return
    table = tables.version
    statement = select(func.count()).where(tables.OPEN, table.c.requested_by == actor.name)
    if (await connection.execute(statement)).scalar_one() >= MAX_OPEN:
        raise TooManyVersions(actor.name, MAX_OPEN)


async def _specification(connection: AsyncConnection, data: bytes, now: datetime) -> int:
    """Return the number of a specification, which is kept once however many versions have it."""
    table = tables.specification
    sha256 = hashlib.sha256(data).hexdigest()
    known = select(table.c.id).where(table.c.sha256 == sha256)
    found = (await connection.execute(known)).scalar()
    if found is None:
        made = insert(table).values(sha256=sha256, data=data, created_at=now).returning(table.c.id)
        found = (await connection.execute(made)).scalar_one()
    return int(found)
