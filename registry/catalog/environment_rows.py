"""Writing rows of environments: with their path and their search text, and under free names."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.lookup import namespace_row, search_text
from registry.catalog.records import Actor
from registry.catalog.slugs import environment_slug, is_slug
from registry.database import tables
from registry.errors import CatalogNameTaken, EnvironmentUnknown


async def insert_environment(
    connection: AsyncConnection,
    actor: Actor,
    namespace: str,
    name: str,
    description: str,
    now: datetime,
) -> Row[Any]:
    """Return the row of a new environment.

    Raises:
        NamespaceUnknown: There is no such namespace.
        CatalogNameInvalid: It cannot be named so.
        CatalogNameTaken: Another environment has the path.
    """
    slug = environment_slug(name)
    owner = await namespace_row(connection, namespace)
    statement = insert(tables.environment).values(
        namespace_id=owner.id,
        name=name,
        slug=slug,
        path=f"{owner.slug}/{slug}",
        description=description,
        search_text=search_text(name, f"{owner.slug}/{slug}", description),
        created_by=actor.name,
        created_at=now,
        updated_at=now,
    )
    return await _written(connection, statement, f"{owner.slug}/{slug}")


async def change_environment(
    connection: AsyncConnection,
    row: Row[Any],
    namespace: str,
    changed: dict[str, Any],
    now: datetime,
) -> Row[Any]:
    """Return a row with what is changed of it, and all that follows from that.

    Args:
        connection: Of the transaction.
        row: As it is.
        namespace: The slug of the namespace that it is in after that.
        changed: Values by column.
        now: When.

    Raises:
        CatalogNameTaken: Another environment has the path.
    """
    table = tables.environment
    whole = {**row._mapping, **changed}  # noqa: SLF001 (SQLAlchemy's name for a public thing)
    path = f"{namespace}/{whole['slug']}"
    statement = (
        update(table)
        .where(table.c.id == row.id)
        .values(
            **changed,
            path=path,
            search_text=search_text(whole["name"], path, whole["description"]),
            updated_at=now,
            revision=row.revision + 1,
        )
    )
    if path != row.path or ("deleted_at" in changed and changed["deleted_at"] is None):
        await judge_again(connection, table.c.id == row.id)
    return await _written(connection, statement, path)


async def judge_again(connection: AsyncConnection, environments: ColumnElement[bool]) -> None:
    """Have the versions of environments be held against the policies of where they are now."""
    version, table = tables.version, tables.environment
    inside = version.c.environment_id.in_(select(table.c.id).where(environments))
    await connection.execute(update(version).where(inside, version.c.judged == 1).values(judged=0))


async def deleted_row(connection: AsyncConnection, namespace: str, slug: str) -> Row[Any]:
    """Return the row of an environment of these slugs that was deleted last.

    Raises:
        NamespaceUnknown: There is no such namespace.
        EnvironmentUnknown: None of these slugs was deleted.
    """
    table = tables.environment
    owner = await namespace_row(connection, namespace)
    if not is_slug(slug):
        raise EnvironmentUnknown(namespace, slug)
    newest = (
        select(table)
        .where(
            table.c.path == f"{owner.slug}/{slug}",
            table.c.namespace_id == owner.id,
            table.c.deleted_at.is_not(None),
        )
        .order_by(table.c.deleted_at.desc(), table.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(newest)).first()
    if row is None:
        raise EnvironmentUnknown(namespace, slug)
    return row


async def copy_active(
    connection: AsyncConnection, actor: Actor, of: Row[Any], to: Row[Any], now: datetime
) -> Row[Any]:
    """Return the row of a new environment, whose first version is the active one of another.

    No bytes are copied: both have the same key. If none is active, nothing is changed.
    """
    version = tables.version
    if of.active_version is None:
        return to
    statement = select(version).where(
        version.c.environment_id == of.id, version.c.number == of.active_version
    )
    active = (await connection.execute(statement)).one()
    await connection.execute(
        insert(version).values(
            environment_id=to.id,
            number=1,
            specification_id=active.specification_id,
            key=active.key,
            request_id=active.request_id,
            state="built",
            reason="copy",
            # Who sees the copy need not know of what it is one.
            note="a copy",
            requested_by=actor.name,
            created_at=now,
            started_at=now,
            ended_at=now,
        )
    )
    return await make_active(connection, actor, to, 1, active.key, now)


async def _written(connection: AsyncConnection, statement: Any, path: str) -> Row[Any]:
    """Return the row that was written.

    Raises:
        CatalogNameTaken: Another environment has the path.
    """
    try:
        return (await connection.execute(statement.returning(tables.environment))).one()
    except IntegrityError as exc:
        raise CatalogNameTaken(
            f"there is an environment '{path}' already: choose another name"
        ) from exc
