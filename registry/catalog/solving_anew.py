"""Asking for a version that is made of the same text as the active one, by what there is now."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_version_event
from registry.catalog.limits import Limits
from registry.catalog.queueing import queue_version
from registry.catalog.records import Actor
from registry.catalog.schedule_records import Then
from registry.database import Database, tables
from registry.requests.wanted import Wanted

#: Reads what a file asks for, by its digest; the file is fetched if it is not known.
WantedOf = Callable[[str, Callable[[], Awaitable[bytes]]], Awaitable[Wanted]]

#: What leaves nothing to solve, as people call it.
_EXACT: Final = {"lock": "a lock", "list": "a list of exact packages"}


@dataclass(frozen=True, slots=True)
class Subject:
    """The active version of an environment, of whose text another one is to be made."""

    number: int
    specification: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing can be asked for now."""

    #: Without a full stop.
    sentence: str
    #: Whether it goes away by itself soon.
    is_short: bool = False


class Subjects:
    """Knows of what text environments are made, and what is in the way of making them anew.

    Args:
        database: Where they are.
        wanted_of: Reads texts.
    """

    def __init__(self, database: Database, wanted_of: WantedOf) -> None:
        self._database = database
        self._wanted_of = wanted_of

    async def of(self, environments: Sequence[int]) -> Mapping[int, Subject]:
        """Return the active versions of environments by their numbers, read in no transaction."""
        environment, version = tables.environment, tables.version
        is_active = and_(
            version.c.environment_id == environment.c.id,
            version.c.number == environment.c.active_version,
        )
        statement = (
            select(
                environment.c.id,
                version.c.number,
                version.c.specification_id,
                tables.specification.c.sha256,
            )
            .join(version, is_active)
            .join(tables.specification, tables.specification.c.id == version.c.specification_id)
            .where(environment.c.id.in_(environments))
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {
            row.id: Subject(row.number, row.specification_id, await self._wanted(row))
            for row in rows
        }

    async def obstacle(
        self, connection: AsyncConnection, environment: Row[Any], subject: Subject | None
    ) -> Obstacle | None:
        """Return what is in the way at this moment; ``None``: nothing is.

        Args:
            connection: Of the transaction that would ask for a version.
            environment: Its row.
            subject: What :meth:`of` has read before.
        """
        path = environment.path
        if environment.archived_at is not None:
            return Obstacle(f"'{path}' is archived: unarchive it, or delete its schedule")
        if environment.active_version is None:
            return Obstacle(f"'{path}' has no active version yet: build one, and activate it")
        table = tables.version
        open_ = select(table.c.number).where(table.c.environment_id == environment.id, tables.OPEN)
        under_way = (await connection.execute(open_.limit(1))).scalar()
        if under_way is not None:
            return Obstacle(f"version {under_way} of '{path}' is under way", is_short=True)
        if subject is None or subject.number != environment.active_version:
            return Obstacle(f"another version of '{path}' has just become active", is_short=True)
        if subject.wanted.kind in _EXACT:
            return Obstacle(
                f"version {subject.number} of '{path}' is made of {_EXACT[subject.wanted.kind]},"
                " which leaves nothing to solve: send an environment.yml, or delete the schedule"
            )
        return None

    async def _wanted(self, row: Row[Any]) -> Wanted:
        table = tables.specification
        statement = select(table.c.data).where(table.c.id == row.specification_id)

        async def data() -> bytes:
            async with self._database.reading() as connection:
                return bytes((await connection.execute(statement)).scalar_one())

        return await self._wanted_of(row.sha256, data)


async def queue_anew(
    connection: AsyncConnection,
    actor: Actor,
    environment: Row[Any],
    subject: Subject,
    then: Then,
    now: datetime,
    limits: Limits,
    *,
    for_whom: str | None = None,
) -> Row[Any]:
    """Return the row of the version that is asked for, with the event that tells of it.

    Args:
        connection: Of the transaction.
        actor: Who asks.
        environment: Its row.
        subject: Of whose text it is made.
        then: What becomes of it.
        now: The time.
        limits: Of namespaces that have no quota of their own.
        for_whom: What they may pull decides, if it is the service that asks.

    Raises:
        TooManyVersions: Whoever asks has as many under way as one may.
        QuotaExceeded: The namespace has as many bytes as it may.
        BuildsUsedUp: It has had as many builds today as it may.
    """
    specification = tables.specification
    data = select(specification.c.data).where(specification.c.id == subject.specification)
    version = await queue_version(
        connection,
        actor,
        environment,
        bytes((await connection.execute(data)).scalar_one()),
        now,
        reason="schedule",
        renew=True,
        activate=then == "activate",
        propose=then != "activate",
        for_whom=for_whom,
        obeys_quota=True,
        limits=limits,
    )
    await add_version_event(
        connection,
        actor,
        now,
        "schedule.ran",
        environment.path,
        version.number,
        {"of": subject.number, "then": then},
    )
    return version


async def clock_time(connection: AsyncConnection, database: Database) -> datetime:
    """Return the time by the clock that all servers have in common."""
    moment: datetime = (await connection.execute(select(database.clock()))).scalar_one()
    return moment
