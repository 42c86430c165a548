"""What becomes of an environment whose file has another text."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.archiving import require_unarchived
from registry.catalog.blocks import require_clear
from registry.catalog.limits import Limits
from registry.catalog.proposing import close_open
from registry.catalog.queueing import queue_version
from registry.catalog.records import Actor
from registry.catalog.running import (
    OPEN,
    cancel_version,
)
from registry.database import tables


async def follow_text(
    connection: AsyncConnection,
    actor: Actor,
    source: Row[Any],
    environment: Row[Any],
    data: bytes,
    now: datetime,
    *,
    path: str,
    asker: str | None,
    limits: Limits,
) -> None:
    """Have an environment become what its file says; the caller publishes it.

    A text that an earlier version was built of has that version be active again; for any other, a
    new version is asked for. Those that are under way for an older text are cancelled.

    Args:
        connection: Of the transaction, which is to be given up if this raises.
        actor: Who sends the file.
        source: The row of its source.
        environment: The environment's row.
        data: The file's bytes.
        now: The time.
        path: The file's path, for people.
        asker: Whose rights decide what it may pull.
        limits: Of namespaces that have no quota of their own.

    Raises:
        EnvironmentArchived: It takes no new version.
        BuildBlocked: The version that would be active again is kept from everybody.
        QuotaExceeded: The namespace has as many bytes as it may.
        BuildsUsedUp: It has had as many builds today as it may.
    """
    require_unarchived(environment)
    sha256 = hashlib.sha256(data).hexdigest()
    await _cancel_older(connection, actor, environment, now)
    earlier = await _earlier(connection, environment, sha256)
    is_active = earlier is not None and earlier.number == environment.active_version
    if earlier is None or not (is_active or source.activate):
        await queue_version(
            connection,
            actor,
            environment,
            data,
            now,
            reason="file",
            note=f"{path} of the source '{source.name}'",
            propose=not source.activate,
            for_whom=asker,
            obeys_quota=True,
            limits=limits,
        )
        return
    said = f"the file went back to the text of version {earlier.number}"
    table = tables.environment
    if is_active:
        await close_open(connection, actor, table.c.id == environment.id, now, said)
    else:
        await require_clear(connection, earlier.key)
        await make_active(
            connection, actor, environment, earlier.number, earlier.key, now, reason=said
        )
    # What was asked for before, and is still being made, becomes active no more.
    await connection.execute(
        update(table)
        .where(table.c.id == environment.id)
        .values(settled_version=table.c.last_version)
    )


async def _cancel_older(
    connection: AsyncConnection, actor: Actor, environment: Row[Any], now: datetime
) -> None:
    """Cancel what is under way for a text that the file has no more."""
    table = tables.version
    older = (
        select(table)
        .where(
            table.c.environment_id == environment.id,
            table.c.reason == "file",
            table.c.state.in_(OPEN),
        )
        .order_by(table.c.number)
    )
    for row in (await connection.execute(older)).all():
        await cancel_version(connection, actor, environment.path, row, now)


async def _earlier(
    connection: AsyncConnection, environment: Row[Any], sha256: str
) -> Row[Any] | None:
    """Return the newest version that was built of a text, and not merely proposed."""
    table, text, proposal = tables.version, tables.specification, tables.proposal
    taken = select(proposal.c.id).where(
        proposal.c.environment_id == table.c.environment_id,
        proposal.c.number == table.c.number,
        proposal.c.state == "activated",
    )
    statement = (
        select(table)
        .join(text, text.c.id == table.c.specification_id)
        .where(
            table.c.environment_id == environment.id,
            text.c.sha256 == sha256,
            table.c.state == "built",
            or_(table.c.propose == 0, taken.exists()),
        )
        .order_by(table.c.number.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).first()
