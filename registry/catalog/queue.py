"""What is being made and what waits: versions of all namespaces, and the servers that make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select, true

from registry.catalog.lookup import MAX_NUMBER, MAX_PAGE
from registry.catalog.records import Page, Reason, State
from registry.database import Database, tables

#: What is asked for: what is made, what waits, or what goes on for longer than it should.
QueueState = Literal["building", "queued", "stuck"]

#: After how long something that waits, or is made, is worth a look.
WAITS_LONG: Final = timedelta(minutes=10)
BUILDS_LONG: Final = timedelta(hours=1)
#: For how long nobody may be at what is being made: a server that ends hands it over at once.
_LEFT: Final = timedelta(seconds=30)
#: For how long a server is believed to be there without a sign of life.
_ALIVE: Final = timedelta(seconds=30)
#: There are never so many.
_MAX_SERVERS: Final = 200


@dataclass(frozen=True, slots=True)
class QueuedVersion:
    """A version that is being made, or waits."""

    id: int
    namespace: str
    environment: str
    number: int
    state: State
    reason: Reason
    requested_by: str | None
    created_at: datetime
    started_at: datetime | None
    #: The server that makes it.
    server: str | None
    #: One sentence on what is wrong; empty: it goes on as it should.
    trouble: str


@dataclass(frozen=True, slots=True)
class ServerSign:
    """A server, by its last sign of life."""

    name: str
    seen_at: datetime
    is_alive: bool


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How much there is."""

    building: int
    queued: int
    stuck: int
    #: When what waits for longest was asked for; ``None``: nothing waits.
    oldest_at: datetime | None


class QueueReports:
    """Tells what is under way, and where it does not go on.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(self) -> QueueCounts:
        """Return how much is made and waits, in all namespaces."""
        table, clock = tables.version, await self._clock()
        statement = (
            select(table.c.state, func.count(), func.min(table.c.created_at))
            .where(tables.OPEN)
            .group_by(table.c.state)
        )
        stuck = select(func.count()).where(tables.OPEN, _is_stuck(clock))
        async with self._database.reading() as connection:
            found: Mapping[str, Row[Any]] = {
                row[0]: row for row in await connection.execute(statement)
            }
            slow = (await connection.execute(stuck)).scalar_one()
        building, queued = found.get("building"), found.get("queued")
        return QueueCounts(
            building[1] if building is not None else 0,
            queued[1] if queued is not None else 0,
            slow,
            queued[2] if queued is not None else None,
        )

    async def list(
        self, state: QueueState | None = None, *, after: int | None = None, limit: int = 50
    ) -> Page[QueuedVersion]:
        """Return what is under way, that which was asked for first before the others.

        Args:
            state: Which part; ``None``: all.
            after: The number with which the page before ended.
            limit: The most to return.
        """
        table, environment = tables.version, tables.environment
        limit, clock = max(1, min(limit, MAX_PAGE)), await self._clock()
        statement: Select[Any] = (
            select(
                *(table.c.id, table.c.number, table.c.state, table.c.reason),
                *(table.c.requested_by, table.c.created_at, table.c.started_at),
                *(table.c.claimed_by, table.c.claimed_until, environment.c.path),
            )
            .join(environment, environment.c.id == table.c.environment_id)
            .where(tables.OPEN, table.c.id > min(after or 0, MAX_NUMBER), _is_in(state, clock))
            .order_by(table.c.id)
            .limit(limit + 1)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        more = str(rows[limit - 1].id) if len(rows) > limit else None
        return Page([_version(row, clock) for row in rows[:limit]], more)

    async def servers(self) -> Sequence[ServerSign]:
        """Return the servers that were there within a day, by their names."""
        table, clock = tables.server, await self._clock()
        statement = select(table.c.name, table.c.at).order_by(table.c.name).limit(_MAX_SERVERS)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [ServerSign(row.name, row.at, row.at > clock - _ALIVE) for row in rows]

    async def _clock(self) -> datetime:
        """Return the time by which leases and signs of life are written."""
        async with self._database.reading() as connection:
            moment = (await connection.execute(select(self._database.clock()))).scalar_one()
        assert isinstance(moment, datetime), moment
        return moment


def _is_in(state: QueueState | None, clock: datetime) -> ColumnElement[bool]:
    if state is None:
        return true()
    return _is_stuck(clock) if state == "stuck" else tables.version.c.state == state


def _is_stuck(clock: datetime) -> ColumnElement[bool]:
    table = tables.version
    lease = table.c.claimed_until
    return or_(
        and_(table.c.state == "queued", table.c.created_at < clock - WAITS_LONG),
        and_(
            table.c.state == "building",
            or_(table.c.started_at < clock - BUILDS_LONG, lease < clock - _LEFT, lease.is_(None)),
        ),
    )


def _version(row: Row[Any], clock: datetime) -> QueuedVersion:
    namespace, _, environment = row.path.partition("/")
    is_building = row.state == "building"
    return QueuedVersion(
        row.id,
        namespace,
        environment,
        row.number,
        row.state,
        row.reason,
        row.requested_by,
        row.created_at,
        row.started_at,
        # Each claim has a name of its own after the server's.
        (row.claimed_by or "").rpartition(" ")[0] or None if is_building else None,
        _trouble(row, clock),
    )


def _trouble(row: Row[Any], clock: datetime) -> str:
    """Return what is wrong, by the same times as :func:`_is_stuck`."""
    if row.state == "queued":
        if row.created_at >= clock - WAITS_LONG:
            return ""
        return (
            "it has waited for more than 10 minutes: no server has room for it, or its namespace"
            " has as many builds at once as it may"
        )
    if row.claimed_until is None or row.claimed_until < clock - _LEFT:
        return "no server is at it any more: the next one that has room takes it up"
    if row.started_at is not None and row.started_at < clock - BUILDS_LONG:
        return "it has been made for more than an hour: its log says at what it is"
    return ""
