"""Making a version the active one: the one way in which an environment's pointer moves."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_version_event
from registry.catalog.proposing import settle
from registry.catalog.records import Actor
from registry.database import tables


async def make_active(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    number: int,
    key: str,
    now: datetime,
    *,
    reason: str = "",
) -> Row[Any]:
    """Return the row of an environment whose active version is another from now on.

    The caller has decided that it may be, and publishes the environment. A proposal of that
    version, or of an older one, is open no more.

    Args:
        connection: Of the transaction.
        actor: Who does it; the service itself where a build is finished.
        environment: Its row.
        number: The version.
        key: Its build.
        now: The time.
        reason: What whoever does it says of it.
    """
    table = tables.environment
    # What somebody has chosen is not overridden by what was asked for before.
    settled = environment.settled_version if actor.name is None else environment.last_version
    statement = (
        update(table)
        .where(table.c.id == environment.id)
        .values(
            active_version=number,
            active_key=key,
            settled_version=max(settled, number),
            last_version=max(environment.last_version, number),
            revision=environment.revision + 1,
            updated_at=now,
        )
        .returning(table)
    )
    changed = (await connection.execute(statement)).one()
    version = tables.version
    await connection.execute(
        update(version)
        .where(version.c.environment_id == environment.id, version.c.number == number)
        .values(deleted_at=None)
    )
    # Of each day the last is kept: a tag with a date is what was active when the day was over, and
    # events tell of all.
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    activation = tables.activation
    await connection.execute(
        delete(activation).where(
            activation.c.environment_id == environment.id, activation.c.at >= day
        )
    )
    await connection.execute(
        insert(activation).values(
            environment_id=environment.id, number=number, key=key, at=now, by=actor.name
        )
    )
    before = {"active": environment.active_version, "key": environment.active_key}
    detail: dict[str, Any] = {"before": before, "after": {"active": number, "key": key}}
    if reason:
        detail["reason"] = reason
    await add_version_event(
        connection, actor, now, "version.activated", environment.path, number, detail
    )
    await settle(connection, actor, environment, number, now, reason)
    return changed
