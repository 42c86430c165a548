"""Schedules that are due: each is carried out once, by whichever server is first.

::

    next_at is over  ─→ ONE transaction: next_at moves on, and the version is asked for
                        or the sentence is written down why not
    a new advisory   ─→ next_at is now

A time that nobody was there for, or many, is made up for once: what comes next is counted from now.
By the clock of the database, which all servers have in common; a server's own clock may be wrong.
With SQLite there is none but its own: times that a wrong one has put off are put right.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, and_, bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.cron import fields_of, next_time
from registry.catalog.limits import UNLIMITED, Limits
from registry.catalog.records import SERVICE
from registry.catalog.schedule_records import tell_of_schedule
from registry.catalog.solving_anew import Subject, Subjects, WantedOf, clock_time, queue_anew
from registry.database import Database, tables
from registry.errors import BuildsUsedUp, QuotaExceeded, ScheduleInvalid

#: So many are carried out in one transaction: other writers wait for it.
BATCH: Final = 5
#: After how long it is tried again where something is in the way that goes away by itself.
_AGAIN: Final = timedelta(minutes=10)
#: So many rows are looked at, and so many are put right, at once.
_PAGE: Final = 500
_CHANGED: Final = 50


class DueSchedules:
    """Asks for the versions that are due.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer, and can be
    called on any number of servers at once.

    Args:
        database: Where schedules are.
        wanted_of: Reads what versions were asked for by.
        nudge: Has this server look for versions to make.
        limits: Of namespaces that have no quota of their own.
    """

    def __init__(
        self,
        database: Database,
        wanted_of: WantedOf,
        nudge: Callable[[], None] = lambda: None,
        limits: Limits = UNLIMITED,
    ) -> None:
        self._database = database
        self._subjects = Subjects(database, wanted_of)
        self._nudge = nudge
        self._limits = limits

    async def carry_out(self) -> int:
        """Carry out what is due, at most :data:`BATCH`, and return how many that were."""
        due = _due(self._database)
        async with self._database.reading() as connection:
            ids = [row.id for row in (await connection.execute(due)).all()]
        if not ids:
            return 0
        subjects = await self._subjects.of(ids)
        environment = tables.environment
        async with self._database.writing() as connection:
            now = self._database.now()
            moment = await clock_time(connection, self._database)
            # Another server may have been first: then it is due no more.
            rows = (await connection.execute(due.where(environment.c.id.in_(ids)))).all()
            for row in rows:
                await self._carry_out(connection, row, subjects.get(row.id), now, moment)
        if rows:
            self._nudge()
        return len(rows)

    async def heed_advisories(self) -> int:
        """Have those due at once against whose active version there is a new advisory.

        New is what was found since they were due last. Returns how many those are.
        """
        table, environment, finding = tables.schedule, tables.environment, tables.finding
        clock = self._database.clock()
        is_against = and_(
            finding.c.environment_id == environment.c.id,
            finding.c.key == environment.c.active_key,
            finding.c.kind == "advisories",
            finding.c.found_at > func.coalesce(table.c.last_at, table.c.created_at),
            # What a wrong clock has found in the future is new each time.
            finding.c.found_at <= clock,
        )
        waits = and_(table.c.on_advisories == 1, table.c.is_paused == 0, table.c.next_at > clock)
        statement = (
            select(table.c.environment_id)
            .join(environment, environment.c.id == table.c.environment_id)
            .where(
                waits,
                environment.c.deleted_at.is_(None),
                environment.c.archived_at.is_(None),
                select(finding.c.id).where(is_against).exists(),
            )
            .order_by(table.c.environment_id)
            .limit(_PAGE)
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(statement)).scalars().all()
        if not found:
            return 0
        async with self._database.writing() as connection:
            made_due = await connection.execute(
                update(table)
                .where(table.c.environment_id.in_(found), waits)
                .values(next_at=await clock_time(connection, self._database))
            )
        return made_due.rowcount

    async def put_right(self) -> int:
        """Bring forward what is due later than it should be, and return how many that were.

        A clock that was wrong has put it off, or the rules of its time zone have changed.
        """
        last, number = 0, 0
        while True:
            async with self._database.reading() as connection:
                moment = await clock_time(connection, self._database)
                rows = (await connection.execute(_waiting(last, moment))).all()
            late = await asyncio.to_thread(_late, rows, moment)
            for begin in range(0, len(late), _CHANGED):
                some = late[begin : begin + _CHANGED]
                async with self._database.writing(is_ordered=False) as connection:
                    await _bring_forward(connection, some, moment)
            number += len(late)
            if len(rows) < _PAGE:
                return number
            last = rows[-1].environment_id

    async def _carry_out(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        subject: Subject | None,
        now: datetime,
        moment: datetime,
    ) -> None:
        """Ask for the version of one schedule, or say why not; it is due no more."""
        values: dict[str, Any] = {"last_at": moment, "problem": ""}
        try:
            values["next_at"] = next_time(fields_of(row.cron, row.id), row.timezone, moment)
            if row.deleted_at is None:
                values |= await self._ask(connection, row, subject, now)
        except ScheduleInvalid as exc:
            values |= {"next_at": moment + _AGAIN, "problem": exc.message}
        except (QuotaExceeded, BuildsUsedUp) as exc:
            values["problem"] = exc.message
        if values.pop("is_short", False):
            values["next_at"] = min(values["next_at"], moment + _AGAIN)
            values["problem"] += f": it is tried again at {values['next_at']:%H:%M} UTC"
        table = tables.schedule
        await connection.execute(
            update(table).where(table.c.environment_id == row.id).values(**values)
        )
        if values["problem"] and not row.problem:
            detail = {"problem": values["problem"]}
            await tell_of_schedule(connection, SERVICE, now, "schedule.skipped", row.path, detail)

    async def _ask(
        self, connection: AsyncConnection, row: Row[Any], subject: Subject | None, now: datetime
    ) -> Mapping[str, Any]:
        """Ask for a version, or find what is in the way; return what is written down of it.

        Raises:
            QuotaExceeded: The namespace has as many bytes as it may.
            BuildsUsedUp: It has had as many builds today as it may.
        """
        obstacle = await self._subjects.obstacle(connection, row, subject)
        if obstacle is not None:
            return {"problem": obstacle.sentence, "is_short": obstacle.is_short}
        assert subject is not None, "what has no active version is an obstacle"
        version = await queue_anew(
            connection,
            SERVICE,
            row,
            subject,
            row.then,
            now,
            self._limits,
            for_whom=row.updated_by,
        )
        return {"last_version": version.number}


def _due(database: Database) -> Select[Any]:
    """Return what selects what is due, with its environment, whatever has become of that."""
    table, environment = tables.schedule, tables.environment
    own = ("cron", "timezone", "then", "next_at", "problem", "updated_by")
    return (
        select(environment, *(table.c[name] for name in own))
        .join(environment, environment.c.id == table.c.environment_id)
        .where(table.c.next_at <= database.clock())
        .order_by(table.c.next_at, table.c.environment_id)
        .limit(BATCH)
    )


def _waiting(after: int, moment: datetime) -> Select[Any]:
    table = tables.schedule
    return (
        select(table)
        .where(table.c.environment_id > after, table.c.next_at > moment)
        .order_by(table.c.environment_id)
        .limit(_PAGE)
    )


def _late(rows: Sequence[Row[Any]], moment: datetime) -> list[tuple[Row[Any], datetime]]:
    """Return the rows that are due later than counted from a moment, and when they should be."""
    found = []
    for row in rows:
        try:
            due = next_time(fields_of(row.cron, row.environment_id), row.timezone, moment)
        except ScheduleInvalid:  # another server knows the zone
            continue
        if row.next_at > due or (row.last_at is not None and row.last_at > moment):
            found.append((row, min(due, row.next_at)))
    return found


async def _bring_forward(
    connection: AsyncConnection, late: Sequence[tuple[Row[Any], datetime]], moment: datetime
) -> None:
    """Write down when rows are due, unless somebody else has since they were read."""
    table = tables.schedule
    last = case((table.c.last_at > moment, moment), else_=table.c.last_at)
    statement = (
        update(table)
        .where(table.c.environment_id == bindparam("id"), table.c.next_at == bindparam("known"))
        .values(next_at=bindparam("due"), last_at=last)
    )
    values = [{"id": row.environment_id, "known": row.next_at, "due": due} for row, due in late]
    await connection.execute(statement, values)
