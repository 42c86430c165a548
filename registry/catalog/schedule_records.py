"""What is told of schedules, and rows as records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.cron import fields_of, in_words, times_after
from registry.catalog.journal import add_change, add_event
from registry.catalog.records import Actor
from registry.database import tables
from registry.errors import ScheduleInvalid

#: What becomes of a new version. ``test``: it is active when its test passes, else a proposal.
Then = Literal["propose", "test", "activate"]

#: So many times are told in advance.
_UPCOMING: Final = 3


@dataclass(frozen=True, slots=True)
class ScheduleWish:
    """What somebody sets."""

    #: Five fields, or a word, as :func:`registry.catalog.cron.read_cron` takes it.
    cron: str
    timezone: str = "UTC"
    then: Then = "propose"
    #: Whether an advisory against the active version makes it due at once.
    on_advisories: bool = True
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """When an environment is solved anew."""

    #: Slugs.
    namespace: str
    environment: str
    #: As it was set, in its canonical form.
    cron: str
    #: The five fields that this comes to.
    fields: str
    timezone: str
    #: E.g. ``"Mondays at 03:17, Europe/Berlin"``.
    in_words: str
    then: Then
    on_advisories: bool
    is_paused: bool
    #: When it is due next; ``None``: it is paused.
    next_at: datetime | None
    #: That, and when it is due after it.
    upcoming: Sequence[datetime]
    #: When it was due last, and was looked at.
    last_at: datetime | None
    #: The version that was asked for last.
    last_version: int | None
    #: Why nothing was asked for the last time; empty: something was.
    problem: str
    #: Grows with each change.
    revision: int
    updated_by: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def path(self) -> str:
        """The environment's path."""
        return f"{self.namespace}/{self.environment}"


def schedules() -> Select[Any]:
    """Return what selects schedules of environments that are not deleted, with their paths."""
    table, environment = tables.schedule, tables.environment
    return (
        select(table, environment.c.path)
        .join(environment, environment.c.id == table.c.environment_id)
        .where(environment.c.deleted_at.is_(None))
    )


async def schedule_row(connection: AsyncConnection, environment: int) -> Row[Any] | None:
    """Return the row of an environment's schedule, if it has one."""
    statement = schedules().where(tables.schedule.c.environment_id == environment)
    return (await connection.execute(statement)).first()


async def tell_of_schedule(
    connection: AsyncConnection,
    actor: Actor,
    now: datetime,
    action: str,
    path: str,
    detail: Mapping[str, Any],
) -> None:
    """Write down what happens to the schedule of the environment at a path."""
    namespace, _, environment = path.partition("/")
    await add_event(
        connection, actor, now, action, namespace=namespace, environment=environment, detail=detail
    )
    await add_change(connection, "event", path, now)


def schedule_of(row: Row[Any]) -> ScheduleRecord:
    """Return the record of a row of :func:`schedules`."""
    fields = fields_of(row.cron, row.environment_id)
    namespace, _, environment = row.path.partition("/")
    return ScheduleRecord(
        namespace,
        environment,
        row.cron,
        fields,
        row.timezone,
        in_words(fields, row.timezone),
        row.then,
        bool(row.on_advisories),
        bool(row.is_paused),
        row.next_at,
        _upcoming(row, fields),
        row.last_at,
        row.last_version,
        row.problem,
        row.revision,
        row.updated_by,
        row.created_at,
        row.updated_at,
    )


def _upcoming(row: Row[Any], fields: str) -> Sequence[datetime]:
    if row.next_at is None:
        return ()
    try:
        later = times_after(fields, row.timezone, row.next_at)
        return (row.next_at, *islice(later, _UPCOMING - 1))
    except ScheduleInvalid:  # another server knows the zone
        return (row.next_at,)
