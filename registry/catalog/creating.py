"""Making an environment: its row, what tells of it, and that its namespace may have one more."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.environment_rows import insert_environment
from registry.catalog.journal import add_event
from registry.catalog.limits import Limits, require_new_environment
from registry.catalog.records import Actor


async def create_environment(
    connection: AsyncConnection,
    actor: Actor,
    namespace: str,
    name: str,
    description: str,
    now: datetime,
    limits: Limits,
) -> Row[Any]:
    """Return the row of a new environment, without any version.

    Args:
        connection: Of the transaction.
        actor: Who makes it.
        namespace: The slug of its namespace.
        name: Its name.
        description: What it is for.
        now: The time.
        limits: Of namespaces that have no quota of their own.

    Raises:
        NamespaceUnknown: There is no such namespace.
        CatalogNameInvalid: It cannot be named so.
        CatalogNameTaken: Another environment has the path.
        QuotaExceeded: The namespace has as many as it may; the transaction is to be given up.
    """
    row = await insert_environment(connection, actor, namespace, name, description, now)
    await add_event(
        connection,
        actor,
        now,
        "environment.created",
        namespace=namespace,
        environment=row.slug,
        detail={"after": {"name": name, "description": description}},
    )
    await require_new_environment(connection, row, limits)
    return row
