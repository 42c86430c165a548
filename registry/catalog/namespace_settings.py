"""What is set for a namespace, one row of numbers each: its quota, and what it keeps."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_event, changes
from registry.catalog.records import Actor
from registry.errors import RevisionConflict


async def settings_row(
    connection: AsyncConnection, table: Table, namespace: Row[Any]
) -> Row[Any] | None:
    """Return what was set for a namespace; ``None``: nothing."""
    statement = select(table).where(table.c.namespace_id == namespace.id)
    return (await connection.execute(statement)).first()


def said_in(row: Row[Any] | None, names: Iterable[str]) -> dict[str, int | None]:
    """Return what a row says, by name; ``None``: nothing, so that the default holds."""
    return {name: getattr(row, name) if row is not None else None for name in names}


async def set_settings(
    connection: AsyncConnection,
    actor: Actor,
    table: Table,
    namespace: Row[Any],
    values: Mapping[str, int | None],
    now: datetime,
    *,
    action: str,
    in_words: Callable[[Mapping[str, int | None]], Mapping[str, Any]],
    revision: int | None = None,
) -> None:
    """Set all values of a namespace, with the event that tells of it, if any of them changes.

    Args:
        connection: Of the transaction.
        actor: Who sets them.
        table: Where they are.
        namespace: Its row.
        values: All that the table has, by name.
        now: The time.
        action: Of the event.
        in_words: Returns values as people write them.
        revision: What the row must have; ``None``: any.

    Raises:
        RevisionConflict: It has another revision.
    """
    row = await settings_row(connection, table, namespace)
    known = row.revision if row is not None else 0
    if revision not in {None, known}:
        raise RevisionConflict(namespace.slug, known)
    before = said_in(row, values)
    if values == before:
        return
    written = {**values, "revision": known + 1}
    await connection.execute(
        insert(table).values(namespace_id=namespace.id, **written)
        if row is None
        else update(table).where(table.c.namespace_id == namespace.id).values(**written)
    )
    detail = changes(in_words(before), in_words(values))
    await add_event(connection, actor, now, action, namespace=namespace.slug, detail=detail)
