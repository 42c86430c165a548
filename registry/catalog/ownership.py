"""The owner of a namespace, whose role is a grant like others, but of its own source."""

from datetime import datetime

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change
from registry.catalog.records import Actor
from registry.database import tables

#: The source of their grants: nobody gives or takes those by themselves.
SOURCE = "owner"


async def set_owner(
    connection: AsyncConnection, actor: Actor, slug: str, owner: str, now: datetime
) -> int:
    """Give the role to the owner, and take it from the one before; return the last change."""
    grant = tables.grant
    gone = await connection.execute(
        delete(grant)
        .where(grant.c.namespace_glob == slug, grant.c.source == SOURCE)
        .returning(grant.c.id)
    )
    for number in gone.scalars().all():
        await add_change(connection, "grant", str(number), now)
    made = await connection.execute(
        insert(grant)
        .values(
            subject_kind="user",
            subject=owner,
            namespace_glob=slug,
            environment_glob="*",
            role="owner",
            source=SOURCE,
            granted_by=actor.name,
            created_at=now,
        )
        .returning(grant.c.id)
    )
    return await add_change(connection, "grant", str(made.scalar_one()), now)
