"""What builds take in the store.

A namespace has the blobs of the images of all versions that it could pull at this moment: built,
of environments that are not deleted, and not freed. Each blob counts once, however many versions
have it. Which blobs a build has is written down when it is built, of its image in the flavour that
is made then.

The sum is kept with the namespace, and changed by whatever changes what it has, in the same
transaction: adding up the blobs of ten thousand environments takes seconds. Each hour it is
measured, so that no count stays astray.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.database import tables

#: So many keys are looked up by one statement.
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class BuildBlob:
    """A part of a build's image."""

    digest: str
    size_bytes: int


#: Returns what the image of the build with a key consists of; nothing, if it is not known.
BlobsOf = Callable[[str], Awaitable[Sequence[BuildBlob]]]


async def no_blobs(_key: str, /) -> Sequence[BuildBlob]:
    """Return nothing: for where there are no images."""
    return ()


async def size_of_namespace(connection: AsyncConnection, namespace_id: int) -> int:
    """Return how many bytes a namespace has, each blob once."""
    table = tables.namespace
    kept = select(table.c.size_bytes).where(table.c.id == namespace_id)
    known: int | None = (await connection.execute(kept)).scalar()
    return await counted_size(connection, namespace_id) if known is None else known


async def counted_size(connection: AsyncConnection, namespace_id: int) -> int:
    """Return the same, counted from rows: of a large namespace, that takes seconds."""
    blob = tables.build_blob
    digests = (
        select(func.max(blob.c.size_bytes).label("size_bytes"))
        .where(blob.c.key.in_(held_keys(namespace_id)))
        .group_by(blob.c.digest)
        .subquery()
    )
    total = await connection.execute(select(func.sum(digests.c.size_bytes)))
    return int(total.scalar() or 0)


@asynccontextmanager
async def counted(
    connection: AsyncConnection, namespace_id: int, keys: Collection[str]
) -> AsyncIterator[None]:
    """Keep count of what a namespace has, while inside it gets, or loses, versions of builds.

    Args:
        connection: Of the transaction, in which nobody else changes versions.
        namespace_id: Which namespace.
        keys: Of the builds. Their blobs are written down already.
    """
    before = await held_size(connection, namespace_id, keys)
    yield
    more = await held_size(connection, namespace_id, keys) - before
    if more:
        table = tables.namespace
        await connection.execute(
            update(table)
            .where(table.c.id == namespace_id)
            .values(size_bytes=table.c.size_bytes + more)
        )


async def held_size(
    connection: AsyncConnection,
    namespace_id: int,
    keys: Collection[str],
    *,
    without: int | None = None,
) -> int:
    """Return how many bytes a namespace has of what builds consist of, whatever has brought it.

    Args:
        connection: Of the transaction.
        namespace_id: Which namespace.
        keys: Of the builds.
        without: An environment of the namespace that does not count.
    """
    blob, other, version = tables.build_blob, tables.build_blob.alias("other"), tables.version
    environment = tables.environment
    is_there = (
        (environment.c.namespace_id == namespace_id)
        & environment.c.deleted_at.is_(None)
        & is_held()
    )
    if without is not None:
        is_there &= environment.c.id != without
    found: dict[str, int] = {}
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), _BATCH):
        parts = (
            select(blob.c.digest, func.max(blob.c.size_bytes).label("size_bytes"))
            .where(blob.c.key.in_(wanted[start : start + _BATCH]))
            .group_by(blob.c.digest)
            .subquery()
        )
        # The first one is enough, of thousands that have the same base.
        first = (
            select(literal(1))
            .select_from(
                other.join(version, version.c.key == other.c.key).join(
                    environment, environment.c.id == version.c.environment_id
                )
            )
            .where(other.c.digest == parts.c.digest, is_there)
            .limit(1)
            .correlate(parts)
            .scalar_subquery()
        )
        statement = select(parts.c.digest, parts.c.size_bytes).where(first == 1)
        rows = await connection.execute(statement)
        found.update((row.digest, row.size_bytes) for row in rows)
    return sum(found.values())


async def size_alone(connection: AsyncConnection, environment_id: int) -> int:
    """Return how many bytes an environment has that no other one has, in any namespace.

    So much is freed when it is deleted and its files go.
    """
    blob, other, version = tables.build_blob, tables.build_blob.alias("other"), tables.version
    mine, environment = tables.version.alias("mine"), tables.environment
    keys = select(mine.c.key).where(
        mine.c.environment_id == environment_id,
        mine.c.state == "built",
        mine.c.freed_at.is_(None),
    )
    parts = (
        select(blob.c.digest, func.max(blob.c.size_bytes).label("size_bytes"))
        .where(blob.c.key.in_(keys))
        .group_by(blob.c.digest)
        .subquery()
    )
    # The first one is enough, of thousands that have the same base.
    first = (
        select(literal(1))
        .select_from(
            other.join(version, version.c.key == other.c.key).join(
                environment, environment.c.id == version.c.environment_id
            )
        )
        .where(
            other.c.digest == parts.c.digest,
            environment.c.id != environment_id,
            environment.c.deleted_at.is_(None),
            is_held(),
        )
        .limit(1)
        .correlate(parts)
        .scalar_subquery()
    )
    statement = select(func.sum(parts.c.size_bytes)).where(first.is_(None))
    return int((await connection.execute(statement)).scalar() or 0)


def held_keys(namespace_id: int) -> Select[Any]:
    """Return what selects the keys of all versions that a namespace could pull."""
    version, environment = tables.version, tables.environment
    return (
        select(version.c.key)
        .join(environment, environment.c.id == version.c.environment_id)
        .where(
            environment.c.namespace_id == namespace_id,
            environment.c.deleted_at.is_(None),
            is_held(),
        )
    )


def is_held() -> ColumnElement[bool]:
    """Return whether a version has files, unless its environment is deleted."""
    version = tables.version
    return (version.c.state == "built") & version.c.freed_at.is_(None) & version.c.key.is_not(None)


async def keys_of_environment(connection: AsyncConnection, environment_id: int) -> Sequence[str]:
    """Return the keys of the versions of an environment that have files."""
    version = tables.version
    statement = select(version.c.key).where(version.c.environment_id == environment_id, is_held())
    return list((await connection.execute(statement.distinct())).scalars())


async def keep_blobs(connection: AsyncConnection, key: str, blobs: Iterable[BuildBlob]) -> None:
    """Write down which blobs a build has; what is written of it once stays."""
    table = tables.build_blob
    found = {blob.digest: blob.size_bytes for blob in blobs}
    known = select(table.c.key).where(table.c.key == key).limit(1)
    if not found or (await connection.execute(known)).first() is not None:
        return
    rows = [
        {"key": key, "digest": digest, "size_bytes": size} for digest, size in sorted(found.items())
    ]
    await connection.execute(insert(table), rows)
