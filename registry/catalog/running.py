"""Versions that are under way."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_version_event
from registry.catalog.records import Actor
from registry.database import tables
from registry.database.types import Identity, UtcDateTime

#: Of what nothing more would happen by itself.
OPEN: Final = ("queued", "building")


async def cancel_version(
    connection: AsyncConnection, actor: Actor, path: str, row: Row[Any], now: datetime
) -> None:
    """Cancel a version that is under way.

    Args:
        connection: Of the transaction.
        actor: Who does it.
        path: Of its environment.
        row: The version's.
        now: The time.
    """
    table = tables.version
    await connection.execute(
        update(table)
        .where(table.c.id == row.id)
        .values(state="cancelled", ended_at=now, claimed_by=None, claimed_until=None)
    )
    detail = {"before": {"state": row.state}, "after": {"state": "cancelled"}}
    await add_version_event(connection, actor, now, "version.cancelled", path, row.number, detail)


async def cancel_open(
    connection: AsyncConnection, actor: Actor, environments: ColumnElement[bool], now: datetime
) -> None:
    """Cancel every version that is under way in the environments of a condition."""
    version, environment, event = tables.version, tables.environment, tables.event
    inside = version.c.environment_id.in_(select(environment.c.id).where(environments))
    is_open = version.c.state.in_(OPEN) & inside
    slug = environment.c.slug
    namespace = select(tables.namespace.c.slug).where(
        tables.namespace.c.id == environment.c.namespace_id
    )
    await connection.execute(
        insert(event).from_select(
            [
                *("at", "actor", "token_id", "address", "via", "action"),
                *("namespace", "environment", "number", "namespace_id", "environment_id"),
            ],
            select(
                literal(now, UtcDateTime),
                literal(actor.name),
                literal(actor.token, Identity),
                literal(actor.address),
                literal(actor.via),
                literal("version.cancelled"),
                namespace.scalar_subquery(),
                slug,
                version.c.number,
                environment.c.namespace_id,
                environment.c.id,
            )
            .join(environment, environment.c.id == version.c.environment_id)
            .where(is_open),
        )
    )
    await connection.execute(
        update(version).where(is_open).values(state="cancelled", ended_at=now, claimed_until=None)
    )
