"""All of a database as one file of JSON Lines, and back.

::

    {"pullforge": "database", "format": 1, "revision": "0002", "at": "2026-11-29T01:02:03+00:00"}
    {"table": "namespace", "row": {"id": 1, "name": "Analytics", "slug": "analytics", …}}
    …
    {"end": 1234}              the number of rows: a file that was cut has no such line

A moment is text with its zone, bytes are ``{"base64": "…"}``. Tables come in an order in which each
row follows those that it names. What servers have under way is not in it, nor is the key that signs
bearer tokens: another database makes its own. Numbers stay what they are, so that tokens, grants
and events are the same elsewhere. Passwords and tokens are digests here as there; what webhooks
and sources are signed with, and addresses with credentials in them, are in it as they are.
"""

import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Table, Text, cast, func, insert, literal, select, text, true, tuple_
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.database import tables
from registry.database.engine import Database
from registry.database.migrations.versions import HEAD
from registry.database.types import UtcDateTime
from registry.errors import ExportInvalid

_FORMAT: Final = 1
_BATCH: Final = 500
#: In an order in which rows name only what comes before them.
_TABLES: Final = (
    tables.principal,
    tables.identity,
    tables.group,
    tables.membership,
    tables.namespace,
    tables.grant,
    tables.token,
    tables.environment,
    tables.specification,
    tables.version,
    tables.activation,
    tables.package,
    tables.lock_platform,
    tables.lock_package,
    tables.event,
    tables.policy,
    tables.policy_text,
    tables.waiver,
    tables.block,
    tables.finding,
    tables.quota,
    tables.retention,
    tables.usage_day,
    tables.namespace_day,
    tables.build_blob,
    tables.source,
    tables.source_file,
    tables.schedule,
    tables.proposal,
    tables.webhook,
    tables.delivery,
    tables.conda_store_setting,
)
_BY_NAME: Final[Mapping[str, Table]] = {table.name: table for table in _TABLES}


async def export_lines(database: Database) -> AsyncIterator[str]:
    """Yield the lines of everything at one moment, each with its end; memory has a batch of them.

    Raises:
        DatabaseUnavailable: It does not answer; what was yielded is no whole file.
    """
    yield _line(
        {
            "pullforge": "database",
            "format": _FORMAT,
            "revision": HEAD,
            "at": database.now().isoformat(),
        }
    )
    count = 0
    async with database.reading(is_snapshot=True) as connection:
        for table in _TABLES:
            async for row in _rows(connection, table):
                count += 1
                values = {column: _plain(value) for column, value in row._mapping.items()}  # noqa: SLF001
                yield _line({"table": table.name, "row": values})
    yield _line({"end": count})


async def import_lines(database: Database, lines: Iterable[str]) -> int:
    """Fill an empty database, all or nothing, and return how many rows that were.

    Versions that were under way are queued. Every environment's pointer is written to the store by
    the servers.

    Args:
        database: It has tables, and nothing in them.
        lines: As :func:`export_lines` yields them.

    Raises:
        ExportInvalid: They are no whole export of this version, or the database is not empty.
        DatabaseUnavailable: It does not answer; nothing was imported.
    """
    reading = _read(lines)
    _check_head(next(reading, {}))
    count = 0
    async with database.writing() as connection:
        is_postgresql = connection.dialect.name == "postgresql"
        if is_postgresql:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await _require_empty(connection)
        batch: list[dict[str, Any]] = []
        of: Table | None = None
        end: Any = None
        for line in reading:
            if end is not None:
                raise ExportInvalid(
                    "the file goes on after its end: it is not one that was exported"
                )
            if "end" in line:
                end = line["end"]
                continue
            table = _BY_NAME.get(str(line.get("table")))
            if table is None or not isinstance(line.get("row"), dict):
                raise ExportInvalid(f"a line of the file names no table: {str(line)[:100]}")
            if table is not of or len(batch) == _BATCH:
                await _insert(connection, of, batch)
                batch, of = [], table
            batch.append(_values(table, line["row"]))
            count += 1
        await _insert(connection, of, batch)
        if end != count:
            raise ExportInvalid("the file ends in the middle: export it again")
        if is_postgresql:
            await continue_sequences(connection)
        await _publish(connection, database.now())
    return count


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
        except ValueError as exc:
            raise ExportInvalid(f"line {number} of the file is no JSON") from exc
        if not isinstance(content, dict):
            raise ExportInvalid(f"line {number} of the file is no object")
        yield content


def _check_head(head: Mapping[str, Any]) -> None:
    if head.get("pullforge") != "database":
        raise ExportInvalid("the file is none that 'pullforge database export' wrote")
    if (head.get("format"), head.get("revision")) != (_FORMAT, HEAD):
        raise ExportInvalid(
            f"the file has format {head.get('format')} and revision {head.get('revision')}, and"
            f" this program reads format {_FORMAT} and revision {HEAD}: import it with the program"
            " that exported it, then run 'pullforge database upgrade' with this one"
        )


async def _require_empty(connection: AsyncConnection) -> None:
    for table in _TABLES:
        if (await connection.execute(select(literal(1)).select_from(table).limit(1))).first():
            raise ExportInvalid(
                "the database is not empty: set PULLFORGE_DATABASE to one that is, to import into"
            )


async def _rows(connection: AsyncConnection, table: Table) -> AsyncIterator[Row[Any]]:
    keys = list(table.primary_key.columns)
    statement = select(table).order_by(*keys).limit(_BATCH)
    page = statement
    while True:
        rows = (await connection.execute(page)).all()
        for row in rows:
            yield row
        if len(rows) < _BATCH:
            return
        last = tuple(rows[-1]._mapping[key.name] for key in keys)  # noqa: SLF001
        page = statement.where(tuple_(*keys) > tuple_(*(literal(one) for one in last)))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    # PostgreSQL keeps no order of keys.
    if isinstance(value, dict):
        return {name: _plain(value[name]) for name in sorted(value)}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _values(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    if set(row) != set(table.c.keys()):
        raise ExportInvalid(f"a row of {table.name} has other columns than this program's")
    values = dict(row)
    try:
        for column in table.c:
            value = values[column.name]
            if isinstance(column.type, UtcDateTime) and value is not None:
                values[column.name] = datetime.fromisoformat(value)
            elif isinstance(value, dict) and set(value) == {"base64"}:
                values[column.name] = base64.b64decode(value["base64"])
    except (TypeError, ValueError) as exc:
        raise ExportInvalid(f"a row of {table.name} has a value that is none") from exc
    if table is tables.version and values["state"] in {"queued", "building"}:
        values |= {"state": "queued", "claimed_by": None, "claimed_until": None}
    return values


async def _insert(
    connection: AsyncConnection, table: Table | None, rows: list[dict[str, Any]]
) -> None:
    if table is None or not rows:
        return
    try:
        await connection.execute(insert(table), rows)
    except IntegrityError as exc:
        raise ExportInvalid(f"rows of {table.name} contradict each other, or others") from exc
    except StatementError as exc:
        if exc.orig is not None and not isinstance(exc.orig, TypeError | ValueError):
            raise
        raise ExportInvalid(f"a row of {table.name} has a value that is none") from exc


async def continue_sequences(connection: AsyncConnection) -> None:
    """Have PostgreSQL's sequences begin after the numbers that were imported."""
    for table in _TABLES:
        if "id" in table.c:
            sequence = func.pg_get_serial_sequence(table.name, "id")
            newest = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
            await connection.execute(select(func.setval(sequence, newest, False)))


async def _publish(connection: AsyncConnection, now: datetime) -> None:
    """Have servers read everything, and write every document to the store."""
    namespace, environment, block = tables.namespace, tables.environment, tables.block
    moment = literal(now, UtcDateTime)
    for kind, subject, path, where in (
        ("namespace", namespace.c.slug, namespace.c.slug, namespace.c.deleted_at.is_(None)),
        ("environment", environment.c.path, environment.c.path, environment.c.deleted_at.is_(None)),
        ("block", block.c.key, literal("blocked:") + block.c.key, true()),
    ):
        await connection.execute(
            insert(tables.change).from_select(
                ["kind", "subject", "at"], select(literal(kind), subject, moment).where(where)
            )
        )
        await connection.execute(
            insert(tables.outbox).from_select(
                ["path", "generation", "created_at"],
                select(path, literal(1), moment).where(where),
            )
        )
    for kind, table in (("policy", tables.policy), ("waiver", tables.waiver)):
        await connection.execute(
            insert(tables.change).from_select(
                ["kind", "subject", "at"], select(literal(kind), cast(table.c.id, Text), moment)
            )
        )
