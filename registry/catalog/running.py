"""Versions that are under way."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.records import Actor
from registry.database import tables
from registry.database.types import Identity, UtcDateTime

#: Of what nothing more would happen by itself.
OPEN: Final = ("queued", "building")


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
                *("at", "actor", "token_id", "address", "action"),
                *("namespace", "environment", "number", "namespace_id", "environment_id"),
            ],
            select(
                literal(now, UtcDateTime),
                literal(actor.name),
                literal(actor.token, Identity),
                literal(actor.address),
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
