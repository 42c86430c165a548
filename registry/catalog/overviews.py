"""What lists show of environments beside what they are, by two statements for a page of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.records import State
from registry.database import Database, tables


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of an environment."""

    number: int
    state: State
    message: str
    requested_by: str | None
    created_at: datetime
    ended_at: datetime | None
    #: The request that makes it; ``None`` while it is queued.
    request: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """How an environment is doing."""

    #: How many versions there were.
    versions: int
    newest: Newest | None
    active_key: str | None
    active_since: datetime | None
    #: Of the active version, by platform; empty: none is active, or its lock was not read yet.
    packages: Mapping[str, int]
    #: Of the active version's image, each blob once; ``None``: it is not known.
    size_bytes: int | None
    #: When it was pulled last, as far back as days are kept.
    last_used_at: datetime | None
    #: How many findings there are of the active version.
    findings: int


class Overviews:
    """Tells how environments are doing.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, environments: Sequence[int]) -> Mapping[int, Overview]:
        """Return how environments are doing, by their ids; nothing of those that there are not.

        Args:
            environments: Ids, as many as a page has.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        if not environments:
            return {}
        async with self._database.reading() as connection:
            rows = (await connection.execute(_statement(environments))).all()
            keys = sorted({row.active_key for row in rows if row.active_key is not None})
            packages = await _packages(connection, keys)
        return {row.id: _overview(row, packages.get(row.active_key, {})) for row in rows}

    async def ahead(self, environment: int, number: int) -> int:
        """Return how many versions wait that were asked for before one.

        Args:
            environment: The id of its environment.
            number: Its number.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        version = tables.version
        one = select(version.c.id).where(
            version.c.environment_id == environment, version.c.number == number
        )
        statement = select(func.count()).where(
            tables.OPEN, version.c.state == "queued", version.c.id < one.scalar_subquery()
        )
        async with self._database.reading() as connection:
            return int((await connection.execute(statement)).scalar_one())


def _statement(environments: Sequence[int]) -> Any:
    """Return what selects a row for each: every part of it is one look into an index."""
    table, version = tables.environment, tables.version
    activation, day, finding = tables.activation, tables.usage_day, tables.finding
    since = (
        select(activation.c.at)
        .where(activation.c.environment_id == table.c.id)
        .order_by(activation.c.id.desc())
        .limit(1)
    )
    used = (
        select(day.c.last_at)
        .where(day.c.environment_id == table.c.id, day.c.last_at.is_not(None))
        .order_by(day.c.day.desc())
        .limit(1)
    )
    size = select(func.sum(tables.build_blob.c.size_bytes)).where(
        tables.build_blob.c.key == table.c.active_key
    )
    found = select(func.count()).where(
        finding.c.environment_id == table.c.id, finding.c.key == table.c.active_key
    )
    newest = and_(version.c.environment_id == table.c.id, version.c.number == table.c.last_version)
    return (
        select(
            table.c.id,
            table.c.last_version,
            table.c.active_key,
            version.c.number,
            version.c.state,
            version.c.message,
            version.c.requested_by,
            version.c.created_at,
            version.c.ended_at,
            version.c.request_id,
            since.scalar_subquery().label("active_since"),
            used.scalar_subquery().label("last_used_at"),
            size.scalar_subquery().label("size_bytes"),
            found.scalar_subquery().label("findings"),
        )
        .select_from(table.outerjoin(version, newest))
        .where(table.c.id.in_(environments))
    )


async def _packages(
    connection: AsyncConnection, keys: Sequence[str]
) -> Mapping[str, Mapping[str, int]]:
    """Return how many packages builds have, by key and platform."""
    table = tables.lock_platform
    statement = select(table.c.key, table.c.platform, table.c.packages).where(table.c.key.in_(keys))
    found: dict[str, dict[str, int]] = {}
    for row in await connection.execute(statement.order_by(table.c.key, table.c.platform)):
        found.setdefault(row.key, {})[row.platform] = row.packages
    return found


def _overview(row: Row[Any], packages: Mapping[str, int]) -> Overview:
    newest = None
    if row.number is not None:
        newest = Newest(
            row.number,
            row.state,
            row.message,
            row.requested_by,
            row.created_at,
            row.ended_at,
            row.request_id,
        )
    return Overview(
        row.last_version,
        newest,
        row.active_key,
        row.active_since if row.active_key is not None else None,
        packages,
        int(row.size_bytes) if row.size_bytes is not None else None,
        row.last_used_at,
        row.findings,
    )
