"""Rows of sources and of their files, and what they are as records."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_event
from registry.catalog.lookup import MAX_NUMBER
from registry.catalog.records import Actor
from registry.catalog.source_records import FileState, SourceRecord
from registry.database import tables
from registry.errors import SourceUnknown


def sources(*, is_counted: bool = True) -> Select[Any]:
    """Return what finds sources that are not deleted, with the slugs of their namespaces.

    Those of a namespace that is deleted are not there either.

    Args:
        is_counted: Whether it is told how many files they have, which takes time with each.
    """
    table, space, file = tables.source, tables.namespace, tables.source_file
    of_it = (file.c.source_id == table.c.id) & file.c.gone_at.is_(None)
    count = select(func.count()).select_from(file).where(of_it)
    problems = count.where(file.c.problem != "")
    none = literal(0)
    return (
        select(
            table,
            space.c.slug.label("namespace"),
            (count.scalar_subquery() if is_counted else none).label("files"),
            (problems.scalar_subquery() if is_counted else none).label("problems"),
        )
        .outerjoin(space, and_(space.c.id == table.c.namespace_id, space.c.deleted_at.is_(None)))
        .where(
            table.c.deleted_at.is_(None),
            or_(table.c.namespace_id.is_(None), space.c.id.is_not(None)),
        )
    )


async def source_row(
    connection: AsyncConnection, number: int, *, is_counted: bool = True
) -> Row[Any]:
    """Return the row of a source, as :func:`sources` finds it.

    Raises:
        SourceUnknown: There is none.
    """
    if not 0 < number <= MAX_NUMBER:
        raise SourceUnknown(number)
    statement = sources(is_counted=is_counted).where(tables.source.c.id == number)
    row = (await connection.execute(statement)).first()
    if row is None:
        raise SourceUnknown(number)
    return row


def source_of(row: Row[Any]) -> SourceRecord:
    """Return the record of a row."""
    return SourceRecord(
        id=row.id,
        namespace=row.namespace,
        name=row.name,
        kind=row.kind,
        location=row.location,
        branch=row.branch,
        folder=row.folder,
        patterns=None if row.patterns is None else tuple(row.patterns),
        removed=row.removed,
        edits=row.edits,
        activate=bool(row.activate),
        is_declared=bool(row.is_declared),
        has_hook=row.hook_secret is not None,
        problem=row.problem,
        commit=row.commit,
        looked_at=row.looked_at,
        asked_at=row.asked_at,
        revision=row.revision,
        created_by=row.created_by,
        updated_by=row.updated_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        files=row.files,
        problems=row.problems,
    )


def files_of(source: int) -> Select[Any]:
    """Return what finds the files of a source, with the environments that they define."""
    table, place = tables.source_file, tables.environment
    is_there = and_(
        place.c.id == table.c.environment_id,
        place.c.source_id == table.c.source_id,
        place.c.deleted_at.is_(None),
    )
    return (
        select(table, place.c.path.label("environment"))
        .outerjoin(place, is_there)
        .where(table.c.source_id == source)
    )


def file_of(row: Row[Any]) -> FileState:
    """Return the record of a row, as :func:`files_of` finds it."""
    return FileState(row.path, row.environment, row.sha256, row.problem, row.seen_at, row.gone_at)


async def tell_of_source(
    connection: AsyncConnection,
    actor: Actor,
    now: datetime,
    action: str,
    source: Row[Any],
    *,
    environment: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what happens to a source, or to the environment that a file of it defines.

    Args:
        connection: Of the transaction.
        actor: Who does it.
        now: The time.
        action: E.g. ``"source.failed"``.
        source: The row of the source.
        environment: The path of an environment; ``None``: it is about the source.
        detail: What else there is to know.
    """
    namespace, slug = source.namespace, None
    if environment is not None:
        namespace, _, slug = environment.partition("/")
    await add_event(
        connection,
        actor,
        now,
        action,
        namespace=namespace,
        environment=slug,
        detail={"source": source.name, "source_id": source.id, **(detail or {})},
    )
