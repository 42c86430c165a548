"""What every change writes beside itself, in the same transaction.

::

    event     for people: who did what, from where
    change    for servers: what to read again
    outbox    for the store: whose document is to be written again
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, func, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.records import Actor
from registry.database import tables
from registry.database.types import UtcDateTime

#: What a server reads again: the subject is a slug, a path, a number or a name.
ChangeKind = Literal[
    "namespace",
    "environment",
    "grant",
    "token",
    "principal",
    "group",
    "policy",
    "waiver",
    "block",
    "event",
]


async def add_event(
    connection: AsyncConnection,
    actor: Actor,
    at: datetime,
    action: str,
    *,
    namespace: str | None = None,
    environment: str | None = None,
    number: int | None = None,
    detail: Mapping[str, Any] | None = None,
    namespace_id: int | None = None,
    environment_id: int | None = None,
) -> None:
    """Write down what is being done.

    The numbers are those of what has the slugs at this moment, unless others are given.
    """
    values = {
        **event_of(actor, at, action, namespace, environment, number, detail),
        "namespace_id": namespace_id or _namespace_id(namespace),
        "environment_id": environment_id or _environment_id(namespace, environment),
    }
    await connection.execute(insert(tables.event).values(values))


def event_of(
    actor: Actor,
    at: datetime,
    action: str,
    namespace: str | None,
    environment: str | None,
    number: int | None,
    detail: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the columns of an event but the numbers of what it is about."""
    return {
        "at": at,
        "actor": actor.name,
        "token_id": actor.token,
        "address": actor.address,
        "via": actor.via,
        "action": action,
        "namespace": namespace,
        "environment": environment,
        "number": number,
        "detail": dict(detail) if detail else None,
    }


async def newest_event(connection: AsyncConnection) -> int:
    """Return the number of the newest event; 0: there is none."""
    return (await connection.execute(select(func.max(tables.event.c.id)))).scalar() or 0


async def add_events(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write down what was done before: rows of the table, which all have the same columns."""
    await connection.execute(insert(tables.event), [dict(row) for row in rows])


def changes(
    before: Row[Any] | Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the fields of ``after`` that differ, as they were and as they are.

    >>> changes({"name": "a", "owner": "ada", "id": 7}, {"name": "b", "owner": "ada"})
    {'before': {'name': 'a'}, 'after': {'name': 'b'}}
    """
    was = dict(before._mapping if isinstance(before, Row) else before)  # noqa: SLF001 (public)
    names = [name for name, value in after.items() if value != was.get(name)]
    return {
        "before": {name: was.get(name) for name in names},
        "after": {name: after[name] for name in names},
    }


async def add_version_event(
    connection: AsyncConnection,
    actor: Actor,
    at: datetime,
    action: str,
    path: str,
    number: int,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what is being done with a version of the environment at a path."""
    namespace, _, environment = path.partition("/")
    await add_event(
        connection,
        actor,
        at,
        action,
        namespace=namespace,
        environment=environment,
        number=number,
        detail=detail,
    )


async def add_change(
    connection: AsyncConnection, kind: ChangeKind, subject: str, at: datetime
) -> int:
    """Have servers read ``subject`` again; return the number of the change."""
    added = await connection.execute(
        insert(tables.change)
        .values(kind=kind, subject=subject, at=at)
        .returning(tables.change.c.id)
    )
    return int(added.scalar_one())


async def publish(connection: AsyncConnection, paths: Iterable[str], at: datetime) -> int:
    """Have servers read environments again, and their documents written; return the last change.

    Args:
        connection: Of the transaction.
        paths: As in ``"analytics/forecast"``; one where nothing is any more has none.
        at: Now.
    """
    last = 0
    for path in paths:
        last = await add_change(connection, "environment", path, at)
        await queue_documents(connection, [path], at)
    return last


async def publish_namespace(connection: AsyncConnection, slug: str, at: datetime) -> int:
    """Have servers read a namespace again, and its document written; return the last change."""
    await queue_documents(connection, [slug], at)
    return await add_change(connection, "namespace", slug, at)


async def queue_documents(connection: AsyncConnection, paths: Iterable[str], at: datetime) -> None:
    """Have documents written to the store, as they are then: of environments, and of namespaces.

    A namespace's has its slug for a path, which has no slash.
    """
    for path in paths:
        rows = select(literal(path), literal(1), literal(at, UtcDateTime))
        await connection.execute(_queued(connection, rows))


async def publish_where(
    connection: AsyncConnection, condition: ColumnElement[bool], at: datetime
) -> int:
    """Do as :func:`publish` for all environments of a condition, in two statements."""
    path = tables.environment.c.path
    moment = literal(at, UtcDateTime)
    paths = select(path).where(condition).group_by(path)
    await connection.execute(
        insert(tables.change).from_select(
            ["kind", "subject", "at"],
            select(literal("environment"), path, moment).where(condition).group_by(path),
        )
    )
    queued = select(paths.subquery().c.path, literal(1), moment)
    await connection.execute(_queued(connection, queued))
    last = await connection.execute(select(func.max(tables.change.c.id)))
    return int(last.scalar_one() or 0)


def _namespace_id(slug: str | None) -> Any:
    table = tables.namespace
    if slug is None:
        return None
    alive = select(table.c.id).where(table.c.slug == slug, table.c.deleted_at.is_(None))
    return alive.scalar_subquery()


def _environment_id(namespace: str | None, slug: str | None) -> Any:
    table = tables.environment
    if namespace is None or slug is None:
        return None
    alive = table.c.deleted_at.is_(None)
    found = select(table.c.id).where(table.c.path == f"{namespace}/{slug}", alive)
    return found.scalar_subquery()


def _queued(connection: AsyncConnection, rows: Any) -> Any:
    """Return what puts documents into the outbox; one that waits there gets a new generation."""
    outbox = tables.outbox
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # SQLite takes ON for a join's where a SELECT has no WHERE.
    statement = dialect.insert(outbox).from_select(
        ["path", "generation", "created_at"], rows.where(literal(1) == literal(1))
    )
    return statement.on_conflict_do_update(
        index_elements=[outbox.c.path],
        set_={"generation": outbox.c.generation + 1},
    )
