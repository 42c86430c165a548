"""Archiving: an environment that is kept as it is. It can be pulled, and takes no new version."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.environment_rows import change_environment
from registry.catalog.journal import add_event
from registry.catalog.proposing import close_open
from registry.catalog.records import Actor
from registry.catalog.running import cancel_open
from registry.database import tables
from registry.errors import EnvironmentArchived


def require_unarchived(row: Row[Any]) -> None:
    """Return if an environment takes new versions.

    Raises:
        EnvironmentArchived: It does not.
    """
    if row.archived_at is not None:
        raise EnvironmentArchived(row.path)


async def archive(
    connection: AsyncConnection, actor: Actor, row: Row[Any], now: datetime
) -> Row[Any]:
    """Return the row of an environment that is archived; what is under way in it is cancelled.

    One that is archived stays as it is.
    """
    if row.archived_at is not None:
        return row
    is_it = tables.environment.c.id == row.id
    await cancel_open(connection, actor, is_it, now)
    await close_open(connection, actor, is_it, now, "its environment was archived")
    return await _changed(connection, actor, row, now, now)


async def unarchive(
    connection: AsyncConnection, actor: Actor, row: Row[Any], now: datetime
) -> Row[Any]:
    """Return the row of an environment that takes versions again; harmless if it does."""
    if row.archived_at is None:
        return row
    return await _changed(connection, actor, row, None, now)


async def _changed(
    connection: AsyncConnection,
    actor: Actor,
    row: Row[Any],
    archived_at: datetime | None,
    now: datetime,
) -> Row[Any]:
    namespace, _, slug = row.path.partition("/")
    found = await change_environment(connection, row, namespace, {"archived_at": archived_at}, now)
    action = "environment.unarchived" if archived_at is None else "environment.archived"
    await add_event(connection, actor, now, action, namespace=namespace, environment=slug)
    return found
