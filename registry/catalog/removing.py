"""Deleting an environment and bringing it back, whoever does it: people, or a file that is gone."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.environment_rows import change_environment
from registry.catalog.journal import add_event
from registry.catalog.limits import Limits, require_new_environment
from registry.catalog.ownership import rename_environment_grants
from registry.catalog.proposing import close_open
from registry.catalog.records import Actor
from registry.catalog.running import cancel_open
from registry.catalog.sizes import counted, keys_of_environment
from registry.database import tables


async def remove_environment(
    connection: AsyncConnection, actor: Actor, row: Row[Any], now: datetime
) -> None:
    """Delete an environment, and cancel what is under way in it; the caller publishes its path.

    Roles that were given on it wait for it under a name that none has.
    """
    table = tables.environment
    namespace, _, slug = row.path.partition("/")
    await cancel_open(connection, actor, table.c.id == row.id, now)
    await close_open(connection, actor, table.c.id == row.id, now, "its environment was deleted")
    keys = await keys_of_environment(connection, row.id)
    async with counted(connection, row.namespace_id, keys):
        await connection.execute(
            update(table)
            .where(table.c.id == row.id)
            .values(deleted_at=now, updated_at=now, revision=row.revision + 1)
        )
    await rename_environment_grants(connection, namespace, slug, f"{slug}#{row.id}", now)
    await add_event(
        connection,
        actor,
        now,
        "environment.deleted",
        namespace=namespace,
        environment=slug,
        detail={"before": {"name": row.name, "active": row.active_version}},
        environment_id=row.id,
    )


async def bring_back(
    connection: AsyncConnection, actor: Actor, row: Row[Any], now: datetime, limits: Limits
) -> Row[Any]:
    """Return the row of a deleted environment that is there again; the caller publishes its path.

    Raises:
        CatalogNameTaken: Another environment has its path.
        QuotaExceeded: The namespace has as many as it may.
    """
    namespace, _, slug = row.path.partition("/")
    keys = await keys_of_environment(connection, row.id)
    async with counted(connection, row.namespace_id, keys):
        found = await change_environment(connection, row, namespace, {"deleted_at": None}, now)
    await require_new_environment(connection, found, limits)
    await rename_environment_grants(connection, namespace, f"{slug}#{row.id}", slug, now)
    await add_event(
        connection,
        actor,
        now,
        "environment.restored",
        namespace=namespace,
        environment=slug,
    )
    return found
