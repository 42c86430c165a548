"""Writing rows of sources: each change with its event, and with a nudge for those who look."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, changes
from registry.catalog.lookup import namespace_row
from registry.catalog.records import Actor
from registry.catalog.source_records import NewSource
from registry.catalog.source_rows import source_of, source_row, sources, tell_of_source
from registry.catalog.source_shape import is_of_server
from registry.database import tables
from registry.errors import CatalogNameTaken


async def insert_source(
    connection: AsyncConnection,
    actor: Actor,
    wanted: NewSource,
    now: datetime,
    *,
    is_declared: bool = False,
) -> Row[Any]:
    """Return the row of a new source, with the event that tells of it.

    Raises:
        NamespaceUnknown: There is no such namespace.
        CatalogNameTaken: Another one there has its name.
    """
    namespace = None
    if wanted.namespace is not None:
        namespace = (await namespace_row(connection, wanted.namespace)).id
    statement = insert(tables.source).values(
        **_columns(wanted),
        kind=wanted.kind,
        namespace_id=namespace,
        is_declared=int(is_declared),
        created_by=actor.name,
        updated_by=actor.name,
        created_at=now,
        updated_at=now,
    )
    try:
        number = (await connection.execute(statement.returning(tables.source.c.id))).scalar_one()
    except IntegrityError as exc:
        raise name_taken(wanted) from exc
    row = await source_row(connection, number)
    after = {"after": shown(row)}
    await tell_of_source(connection, actor, now, "source.created", row, detail=after)
    await nudge_watchers(connection, number, now)
    return row


async def change_source(
    connection: AsyncConnection, actor: Actor, row: Row[Any], wanted: NewSource, now: datetime
) -> Row[Any]:
    """Return the row of a source with what is wanted; servers look at it at once."""
    table = tables.source
    columns = _columns(wanted)
    detail = changes(row, columns)
    if not detail["after"]:
        return row
    statement = (
        update(table)
        .where(table.c.id == row.id)
        .values(**columns, updated_by=actor.name, updated_at=now, revision=row.revision + 1)
    )
    try:
        await connection.execute(statement)
    except IntegrityError as exc:
        raise name_taken(wanted) from exc
    await ask_to_look(connection, row.id, now)
    found = await source_row(connection, row.id)
    is_hidden = any(is_of_server(row.kind, one.location) for one in (row, found))
    if is_hidden and "location" in detail["after"]:
        # Whoever sees the namespace sees the event, and need not know of paths of servers.
        detail = {when: {**values, "location": "…"} for when, values in detail.items()}
    await tell_of_source(connection, actor, now, "source.updated", found, detail=detail)
    return found


async def named_source(connection: AsyncConnection, wanted: NewSource) -> Row[Any] | None:
    """Return the row of the source of a namespace and name, if there is one."""
    statement = sources().where(tables.source.c.name == wanted.name)
    if wanted.namespace is None:
        statement = statement.where(tables.source.c.namespace_id.is_(None))
    else:
        statement = statement.where(tables.namespace.c.slug == wanted.namespace)
    row = (await connection.execute(statement)).first()
    if row is not None and row.kind != wanted.kind:
        raise name_taken(wanted)
    return row


async def ask_to_look(connection: AsyncConnection, number: int, now: datetime) -> None:
    """Have a server look at a source as soon as it can."""
    table = tables.source
    await connection.execute(update(table).where(table.c.id == number).values(asked_at=now))
    await nudge_watchers(connection, number, now)


async def nudge_watchers(connection: AsyncConnection, number: int, now: datetime) -> None:
    """Have the servers that look at sources do so when they see this."""
    await add_change(connection, "event", f"source {number}", now)


def _columns(wanted: NewSource) -> dict[str, Any]:
    """Return what can be changed of a source, as the table has it."""
    columns = asdict(wanted)
    del columns["kind"], columns["namespace"]
    columns["patterns"] = None if wanted.patterns is None else list(wanted.patterns)
    columns["activate"] = int(wanted.activate)
    return columns


def wanted_of(row: Row[Any]) -> NewSource:
    """Return what a source would be made of."""
    source = source_of(row)
    return NewSource(
        name=source.name,
        kind=source.kind,
        location=source.location,
        namespace=source.namespace,
        branch=source.branch,
        folder=source.folder,
        patterns=source.patterns,
        removed=source.removed,
        edits=source.edits,
        activate=source.activate,
    )


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return what an event tells of a source: not where it is, which its admins alone are told."""
    return {"name": row.name, "kind": row.kind, "removed": row.removed, "edits": row.edits}


def name_taken(wanted: NewSource) -> CatalogNameTaken:
    """Return the error for a name that another source has."""
    place = f"of '{wanted.namespace}'" if wanted.namespace else "without a namespace"
    return CatalogNameTaken(
        f"there is another source '{wanted.name}' {place} already: choose another name"
    )
