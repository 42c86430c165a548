"""Pointers: all that pulling an environment needs, read from the database."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.wildcards import Wildcards, read_glob
from registry.database import tables
from registry.sources.directory import Pointer

#: So many are read by one statement: a few milliseconds of the event loop.
BATCH: Final = 100


async def pointers_at(
    connection: AsyncConnection, paths: Iterable[str]
) -> Mapping[str, Pointer | None]:
    """Return what there is at each path; ``None``: nothing, or nothing any more."""
    wanted = list(dict.fromkeys(paths))
    found: dict[str, Pointer | None] = dict.fromkeys(wanted)
    table = tables.environment
    public = await _public_globs(connection)
    for start in range(0, len(wanted), BATCH):
        statement = select(table).where(
            table.c.path.in_(wanted[start : start + BATCH]), table.c.deleted_at.is_(None)
        )
        rows = (await connection.execute(statement)).all()
        for pointer in await _pointers(connection, rows, public):
            found[f"{pointer.namespace}/{pointer.environment}"] = pointer
    return found


async def namespaces_at(connection: AsyncConnection, slugs: Sequence[str]) -> set[str]:
    """Return which of some slugs are namespaces."""
    table = tables.namespace
    found: set[str] = set()
    for start in range(0, len(slugs), BATCH):
        statement = select(table.c.slug).where(
            table.c.slug.in_(slugs[start : start + BATCH]), table.c.deleted_at.is_(None)
        )
        found.update((await connection.execute(statement)).scalars())
    return found


async def namespaces_after(connection: AsyncConnection, slug: str) -> Sequence[str]:
    """Return the next namespaces after a slug, in the order of their slugs; none at the end."""
    table = tables.namespace
    statement = (
        select(table.c.slug)
        .where(table.c.slug > slug, table.c.deleted_at.is_(None))
        .order_by(table.c.slug)
        .limit(BATCH)
    )
    return list((await connection.execute(statement)).scalars())


async def pointers_after(connection: AsyncConnection, path: str) -> Sequence[Pointer]:
    """Return the next pointers after a path, in the order of their paths; none at the end."""
    table = tables.environment
    statement = (
        select(table)
        .where(table.c.path > path, table.c.deleted_at.is_(None))
        .order_by(table.c.path)
        .limit(BATCH)
    )
    rows = (await connection.execute(statement)).all()
    return await _pointers(connection, rows, await _public_globs(connection))


async def _public_globs(connection: AsyncConnection) -> list[Wildcards]:
    table = tables.grant
    statement = select(table.c.namespace_glob, table.c.environment_glob).where(
        table.c.subject_kind == "everyone"
    )
    return [read_glob(f"{one}/{two}") for one, two in await connection.execute(statement)]


async def _pointers(
    connection: AsyncConnection, rows: Sequence[Row[Any]], public: Sequence[Wildcards]
) -> list[Pointer]:
    ids = [row.id for row in rows]
    if not ids:
        return []
    version, activation = tables.version, tables.activation
    versions: dict[int, dict[int, str]] = {}
    created: dict[int, dict[int, float]] = {}
    statement = (
        select(version.c.environment_id, version.c.number, version.c.key, version.c.created_at)
        .where(version.c.environment_id.in_(ids), version.c.state == "built")
        .order_by(version.c.environment_id, version.c.number)
    )
    for environment, number, key, at in await connection.execute(statement):
        versions.setdefault(environment, {})[number] = key
        created.setdefault(environment, {})[number] = at.timestamp()
    activations: dict[int, list[tuple[float, str]]] = {}
    history = (
        select(activation.c.environment_id, activation.c.at, activation.c.key)
        .where(activation.c.environment_id.in_(ids))
        .order_by(activation.c.environment_id, activation.c.at)
    )
    for environment, at, key in await connection.execute(history):
        activations.setdefault(environment, []).append((at.timestamp(), key))
    return [
        Pointer(
            row.path.partition("/")[0],
            row.slug,
            row.active_key,
            versions.get(row.id, {}),
            tuple(activations.get(row.id, ())),
            any(glob.matches(row.path) for glob in public),
            active_number=row.active_version,
            created=created.get(row.id, {}),
            is_archived=row.archived_at is not None,
        )
        for row in rows
    ]
