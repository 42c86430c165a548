"""Deleting a version: what is left of it is its history."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_version_event
from registry.catalog.proposing import open_proposal
from registry.catalog.records import Actor
from registry.catalog.running import OPEN
from registry.catalog.sizes import counted
from registry.database import tables
from registry.errors import VersionInUse


async def delete_version(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    version: Row[Any],
    now: datetime,
) -> None:
    """Have the files of a version go, and clients of conda-store see it no more.

    Args:
        connection: Of the transaction.
        actor: Who does it.
        environment: Its row.
        version: The version's row.
        now: The time.

    Raises:
        VersionInUse: It is active, proposed or under way.
    """
    if version.deleted_at is not None:
        return
    number, path = version.number, environment.path
    if version.state in OPEN:
        raise VersionInUse(f"version {number} of '{path}' is {version.state}: cancel it first")
    if number == environment.active_version:
        raise VersionInUse(
            f"version {number} of '{path}' is the active one: make another active first"
        )
    proposal = await open_proposal(connection, environment.id)
    if proposal is not None and proposal.number == number:
        raise VersionInUse(f"version {number} of '{path}' is proposed: decide about it first")
    table = tables.version
    frees = version.state == "built" and version.freed_at is None
    values = {"deleted_at": now, **({"freed_at": now} if frees else {})}
    keys = [version.key] if frees else []
    async with counted(connection, environment.namespace_id, keys):
        await connection.execute(update(table).where(table.c.id == version.id).values(values))
    detail = {"key": version.key} if version.key is not None else {}
    await add_version_event(connection, actor, now, "version.deleted", path, number, detail)
    await add_change(connection, "event", path, now)
