"""Rows of versions that another system has made: with their own times, and ids where free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.imported import ForeignVersion, ForeignVersions, ImportedVersion
from registry.catalog.journal import add_events, event_of
from registry.catalog.lookup import MAX_TEXT, searchable
from registry.catalog.ports import LockContent
from registry.catalog.queueing import keep_specifications
from registry.catalog.records import Actor
from registry.catalog.sizes import counted
from registry.database import tables

_STATES: Final = {"completed": "built", "failed": "failed", "cancelled": "cancelled"}
_LOCKLESS: Final = (
    "it was built elsewhere, and which packages it had is not known any more: ask for it anew"
)


@dataclass(frozen=True, slots=True)
class Build:
    """What the lock of a version is here."""

    key: str
    content: LockContent


async def write_versions(
    connection: AsyncConnection,
    actor: Actor,
    place: Row[Any],
    sent: ForeignVersions,
    new: Sequence[ForeignVersion],
    builds: Mapping[bytes, Build],
    now: datetime,
) -> tuple[Row[Any], Sequence[ImportedVersion]]:
    """Return the row of an environment, and versions that it has from now on.

    Args:
        connection: Of the transaction, in which nobody else writes versions.
        actor: Who imports.
        place: The row of the environment, as it is.
        sent: What was sent.
        new: What of it becomes versions, in the order of their numbers.
        builds: Of locks, by their text.
        now: The time; nothing is said to have happened after it.
    """
    ids = await _ids(connection, new, keeps=sent.keeps_ids)
    texts = await keep_specifications(connection, [one.specification for one in new], now)
    number = place.last_version
    rows: list[dict[str, Any]] = []
    for one in new:
        number += 1
        rows.append(
            {
                "id": ids[one.id],
                "environment_id": place.id,
                "number": number,
                "specification_id": texts[one.specification],
                "reason": "import",
                "requested_by": one.requested_by,
                "activate": 0,
                "origin": sent.origin(one.id),
                **_state(one, builds),
                **_times(one, now),
            }
        )
    keys = [row["key"] for row in rows if row["key"] is not None]
    async with counted(connection, place.namespace_id, keys):
        await connection.execute(insert(tables.version), rows)
    table = tables.environment
    statement = (
        update(table).where(table.c.id == place.id).values(last_version=number).returning(table)
    )
    changed = (await connection.execute(statement)).one()
    await _continue_sequence(connection)
    await add_events(connection, [_event(actor, place, sent.source, row, now) for row in rows])
    return changed, [
        ImportedVersion(one.id, row["number"], row["id"], row["key"], row["message"])
        for one, row in zip(new, rows, strict=True)
    ]


def is_of(source: str) -> ColumnElement[bool]:
    """Return whether a version was a build of a system."""
    return tables.version.c.origin.startswith(f"{source}#", autoescape=True)


def imported_of(row: Row[Any]) -> ImportedVersion:
    """Return the record of a row that has an origin."""
    return ImportedVersion(
        int(row.origin.rpartition("#")[2]), row.number, row.id, row.key, row.message
    )


def _state(one: ForeignVersion, builds: Mapping[bytes, Build]) -> dict[str, Any]:
    build = builds.get(one.lock) if one.lock is not None else None
    if one.state == "completed" and build is None:
        return {"state": "failed", "key": None, "message": _LOCKLESS}
    message = searchable(one.message)[:MAX_TEXT]
    key = build.key if build is not None and one.state == "completed" else None
    return {"state": _STATES[one.state], "key": key, "message": message}


def _times(one: ForeignVersion, now: datetime) -> dict[str, datetime | None]:
    """Return when things happened; clocks of others may be ahead."""
    ended = one.ended_at or one.started_at or one.created_at
    return {
        "created_at": min(one.created_at, now),
        "started_at": min(one.started_at, now) if one.started_at is not None else None,
        "ended_at": min(ended, now),
    }


def _event(
    actor: Actor, place: Row[Any], source: str, row: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    namespace, _, environment = place.path.partition("/")
    detail = {
        "source": source,
        "build": int(row["origin"].rpartition("#")[2]),
        "state": row["state"],
        "key": row["key"],
    }
    action, number = "version.imported", row["number"]
    return {
        **event_of(actor, now, action, namespace, environment, number, detail),
        "namespace_id": place.namespace_id,
        "environment_id": place.id,
    }


async def _ids(
    connection: AsyncConnection, new: Sequence[ForeignVersion], *, keeps: bool
) -> Mapping[int, int]:
    """Return the numbers of rows by those of builds: the same where they are free."""
    table = tables.version
    wanted = [one.id for one in new] if keeps else []
    statement = select(table.c.id).where(table.c.id.in_(wanted))
    taken = set((await connection.execute(statement)).scalars())
    newest = (await connection.execute(select(func.max(table.c.id)))).scalar() or 0
    last = max([newest, *wanted])
    found: dict[int, int] = {}
    for one in new:
        if keeps and one.id not in taken:
            found[one.id] = one.id
        else:
            last += 1
            found[one.id] = last
    return found


async def _continue_sequence(connection: AsyncConnection) -> None:
    """Have PostgreSQL count on behind the numbers that were given; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    sequence = func.pg_get_serial_sequence("version", "id")
    newest = select(func.max(tables.version.c.id)).scalar_subquery()
    await connection.execute(select(func.setval(sequence, newest)))
