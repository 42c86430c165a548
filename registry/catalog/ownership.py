"""Grants that belong to a namespace or an environment, and share what becomes of it.

A grant on an exact name goes with what is renamed. When that is deleted, the grant is put away
under a glob that no name can match, ``forecast#7``: somebody else may get the name, and those who
had a role in what was there have none in that. Restoring brings it back.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_event
from registry.catalog.records import SERVICE, Actor
from registry.database import tables

#: The source of their grants: nobody gives or takes those by themselves.
SOURCE: Final = "owner"


async def set_owner(
    connection: AsyncConnection, actor: Actor, slug: str, owner: str, now: datetime
) -> int:
    """Give the role to the owner, and take it from the one before; return the last change."""
    grant = tables.grant
    await _delete(connection, (grant.c.namespace_glob == slug) & (grant.c.source == SOURCE), now)
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


async def rename_grants(
    connection: AsyncConnection, before: str, after: str, now: datetime
) -> None:
    """Have grants on a namespace by its exact name follow it to another."""
    if before == after:
        return
    grant = tables.grant
    await _delete(connection, grant.c.namespace_glob == after, now)
    await _change(connection, grant.c.namespace_glob == before, {"namespace_glob": after}, now)


async def rename_environment_grants(
    connection: AsyncConnection,
    namespace: str,
    before: str,
    after: str | None,
    now: datetime,
    *,
    taken_by: Actor = SERVICE,
) -> None:
    """Have grants on an environment by its exact name follow it; ``None``: they are taken.

    It is taken where the environment gets into another namespace: whose admins decide there.
    """
    if before == after:
        return
    grant = tables.grant
    inside = grant.c.namespace_glob == namespace
    if after is None:
        for gone in await _delete(connection, inside & (grant.c.environment_glob == before), now):
            await add_event(
                connection,
                taken_by,
                now,
                "grant.taken",
                namespace=namespace,
                environment=before,
                detail={
                    "grant": gone.id,
                    "subject_kind": gone.subject_kind,
                    "subject": gone.subject or None,
                    "before": {"role": gone.role},
                },
            )
        return
    await _delete(connection, inside & (grant.c.environment_glob == after), now)
    await _change(
        connection,
        inside & (grant.c.environment_glob == before),
        {"environment_glob": after},
        now,
    )


async def _delete(
    connection: AsyncConnection, condition: ColumnElement[bool], now: datetime
) -> Sequence[Row[Any]]:
    grant = tables.grant
    gone = (await connection.execute(delete(grant).where(condition).returning(grant))).all()
    for row in gone:
        await add_change(connection, "grant", str(row.id), now)
    return gone


async def _change(
    connection: AsyncConnection,
    condition: ColumnElement[bool],
    values: dict[str, str],
    now: datetime,
) -> None:
    grant = tables.grant
    changed = list((await connection.execute(select(grant.c.id).where(condition))).scalars())
    if changed:
        await connection.execute(update(grant).where(grant.c.id.in_(changed)).values(values))
    for number in changed:
        await add_change(connection, "grant", str(number), now)
