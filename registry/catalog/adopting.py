"""Which environment a file defines: its own, a new one, or one that it may take over.

::

    environment of that name is …     the file …
      not there                       makes it, or brings back what it had made and was deleted
      defined by this source          goes on defining it, in place of another file of the source
      defined by another source       cannot be used
      edited here                     takes it over, if it defined it before, or has the very text
                                      of its active version, or it has no version; else it cannot
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.archiving import archive, unarchive
from registry.catalog.creating import create_environment
from registry.catalog.environment_rows import change_environment
from registry.catalog.journal import add_event, publish
from registry.catalog.limits import Limits
from registry.catalog.lookup import namespace_row
from registry.catalog.records import Actor
from registry.catalog.removing import bring_back, remove_environment
from registry.catalog.slugs import environment_slug
from registry.database import tables
from registry.errors import SourceInvalid


async def environment_of_file(
    connection: AsyncConnection,
    actor: Actor,
    source: Row[Any],
    file: Row[Any] | None,
    *,
    namespace: str,
    name: str,
    sha256: str,
    now: datetime,
    limits: Limits,
) -> Row[Any]:
    """Return the row of the environment that a file defines from now on, and it alone.

    Args:
        connection: Of the transaction, which is to be given up if this raises.
        actor: Who does it.
        source: The row of the file's source.
        file: The file's row; ``None``: it is a new one.
        namespace: The slug of the environment's namespace.
        name: The environment's name.
        sha256: Of the file's bytes.
        now: The time.
        limits: Of namespaces that have no quota of their own.

    Raises:
        SourceInvalid: Something else defines the environment.
        CatalogError: There can be none of that name.
        QuotaExceeded: The namespace has as many as it may.
    """
    table = tables.environment
    owner = await namespace_row(connection, namespace)
    path = f"{owner.slug}/{environment_slug(name)}"
    statement = select(table).where(table.c.path == path, table.c.deleted_at.is_(None))
    place = (await connection.execute(statement)).first()
    if place is None:
        place = await _made(connection, actor, source, owner, path, name, now, limits)
    elif place.source_id is None:
        await _require_takeover(connection, source, place, sha256)
    elif place.source_id != source.id:
        raise SourceInvalid(await _defined_elsewhere(connection, place))
    if place.archived_at is not None and file is not None and file.gone_at is not None:
        place = await unarchive(connection, actor, place, now)
    if place.source_id is None:
        place = await _manage(connection, actor, source, place, now)
    if file is not None and file.environment_id not in {None, place.id}:
        await let_go(connection, actor, source, file, now)
    others = tables.source_file.c.environment_id == place.id
    if file is not None:
        others &= tables.source_file.c.id != file.id
    await connection.execute(
        update(tables.source_file)
        .where(tables.source_file.c.source_id == source.id, others)
        .values(environment_id=None)
    )
    return place


async def let_go(
    connection: AsyncConnection, actor: Actor, source: Row[Any], file: Row[Any], now: datetime
) -> str | None:
    """Do with the environment of a file that defines it no more what the source says.

    Returns:
        Its path; ``None``: the file has defined none.
    """
    table = tables.environment
    mine = (table.c.id == file.environment_id) & (table.c.source_id == source.id)
    statement = select(table).where(mine, table.c.deleted_at.is_(None))
    place = (await connection.execute(statement)).first()
    if place is None:
        return None
    await connection.execute(update(table).where(mine).values(source_id=None))
    if source.removed == "delete":
        await remove_environment(connection, actor, place, now)
    elif source.removed == "archive":
        await archive(connection, actor, place, now)
    else:
        await _tell(connection, actor, place, now, source.name, None)
    await publish(connection, [place.path], now)
    return str(place.path)


async def release_environments(connection: AsyncConnection, source: int, now: datetime) -> None:
    """Have all environments of a source be edited here from now on, and forget its files."""
    table, file = tables.environment, tables.source_file
    await connection.execute(
        update(table).where(table.c.source_id == source).values(source_id=None)
    )
    await connection.execute(file.delete().where(file.c.source_id == source))


async def _made(
    connection: AsyncConnection,
    actor: Actor,
    source: Row[Any],
    owner: Row[Any],
    path: str,
    name: str,
    now: datetime,
    limits: Limits,
) -> Row[Any]:
    """Return the row of an environment that was not there: as it was, if a file had made it."""
    table = tables.environment
    deleted = (
        select(table)
        .where(
            table.c.path == path,
            table.c.namespace_id == owner.id,
            table.c.deleted_at.is_not(None),
            table.c.id.in_(_had(source)),
        )
        .order_by(table.c.deleted_at.desc(), table.c.id.desc())
        .limit(1)
    )
    before = (await connection.execute(deleted)).first()
    if before is not None:
        return await bring_back(connection, actor, before, now, limits)
    return await create_environment(connection, actor, owner.slug, name, "", now, limits)


async def _require_takeover(
    connection: AsyncConnection, source: Row[Any], place: Row[Any], sha256: str
) -> None:
    """Return if a file may define an environment that is edited here.

    Raises:
        SourceInvalid: It may not.
    """
    if place.last_version == 0:
        return
    had = await connection.execute(_had(source).where(_file().environment_id == place.id))
    if had.first() is not None:
        return
    version, text = tables.version, tables.specification
    active = (
        select(text.c.sha256)
        .join(version, version.c.specification_id == text.c.id)
        .where(version.c.environment_id == place.id, version.c.number == place.active_version)
    )
    if (await connection.execute(active)).scalar() != sha256:
        raise SourceInvalid(
            f"'{place.path}' is there already and is edited here: give the file another name, or"
            " make it the very text of the active version, which has the file take it over"
        )


async def _manage(
    connection: AsyncConnection, actor: Actor, source: Row[Any], place: Row[Any], now: datetime
) -> Row[Any]:
    namespace = place.path.partition("/")[0]
    found = await change_environment(connection, place, namespace, {"source_id": source.id}, now)
    await _tell(connection, actor, place, now, None, source.name)
    return found


async def _tell(
    connection: AsyncConnection,
    actor: Actor,
    place: Row[Any],
    now: datetime,
    before: str | None,
    after: str | None,
) -> None:
    namespace, _, slug = place.path.partition("/")
    await add_event(
        connection,
        actor,
        now,
        "environment.updated",
        namespace=namespace,
        environment=slug,
        detail={"before": {"source": before}, "after": {"source": after}},
        environment_id=place.id,
    )


async def _defined_elsewhere(connection: AsyncConnection, place: Row[Any]) -> str:
    table = tables.source
    name = await connection.execute(select(table.c.name).where(table.c.id == place.source_id))
    return (
        f"'{place.path}' is defined by the source '{name.scalar()}' already: give the file another"
        " name"
    )


def _file() -> Any:
    return tables.source_file.c


def _had(source: Row[Any]) -> Any:
    """Return what selects the environments that files of a source define, or have defined."""
    return select(_file().environment_id).where(
        _file().source_id == source.id, _file().environment_id.is_not(None)
    )
