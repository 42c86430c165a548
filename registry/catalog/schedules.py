"""Schedules: when an environment is solved anew, and what becomes of what comes of it.

An environment has one schedule or none. It is kept with the environment: it moves along, it waits
while the environment is deleted or archived, and a copy has none. What is due is asked for by
:mod:`registry.catalog.due_schedules`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, and_, delete, false, insert, update

from registry.catalog.cron import fields_of, next_time, read_cron, read_timezone
from registry.catalog.journal import changes
from registry.catalog.limits import UNLIMITED, Limits
from registry.catalog.lookup import MAX_PAGE, cursor, environment_row, page_after, version_of
from registry.catalog.records import Actor, Page, Version, Visibility
from registry.catalog.schedule_records import (
    ScheduleRecord,
    ScheduleWish,
    schedule_of,
    schedule_row,
    schedules,
    tell_of_schedule,
)
from registry.catalog.slugs import is_slug
from registry.catalog.solving_anew import Subjects, WantedOf, clock_time, queue_anew
from registry.catalog.visibility import sees_environment
from registry.database import Database, tables
from registry.errors import NothingToSolve, RevisionConflict, ScheduleUnknown


class Schedules:
    """Sets, tells and deletes schedules, and has one carried out at once.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and
    :class:`EnvironmentUnknown` when there is no such environment.

    Args:
        database: Where they are.
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

    async def get(self, namespace: str, environment: str) -> ScheduleRecord:
        """Return the schedule of an environment.

        Raises:
            ScheduleUnknown: It has none.
        """
        async with self._database.reading() as connection:
            place = await environment_row(connection, namespace, environment)
            return schedule_of(_known(await schedule_row(connection, place.id), place))

    async def set(
        self,
        actor: Actor,
        namespace: str,
        environment: str,
        wish: ScheduleWish,
        *,
        revision: int | None = None,
    ) -> ScheduleRecord:
        """Return the schedule that an environment has from now on.

        What is due and was not looked at yet stays so, unless it is set to be due otherwise.

        Args:
            actor: Who sets it; what they may pull decides about the versions that it asks for.
            namespace: The slug of its namespace.
            environment: Its slug.
            wish: What it is to be.
            revision: What it must have, 0 for none; ``None``: any.

        Raises:
            ScheduleInvalid: It is never due, or too often, or nothing that can be read.
            RevisionConflict: It has another revision.
        """
        wish = replace(wish, cron=read_cron(wish.cron), timezone=read_timezone(wish.timezone))
        values: dict[str, Any] = {
            "cron": wish.cron,
            "timezone": wish.timezone,
            "then": wish.then,
            "on_advisories": int(wish.on_advisories),
            "is_paused": int(wish.is_paused),
        }
        table = tables.schedule
        async with self._database.writing() as connection:
            now = self._database.now()
            place = await environment_row(connection, namespace, environment)
            before = await schedule_row(connection, place.id)
            known = 0 if before is None else before.revision
            if revision not in {None, known}:
                raise RevisionConflict(f"{place.path} (schedule)", known)
            if before is not None and all(getattr(before, name) == values[name] for name in values):
                return schedule_of(before)
            written = {
                **values,
                "revision": known + 1,
                "updated_by": actor.name,
                "updated_at": now,
                "problem": "",
            }
            if before is None or any(
                getattr(before, name) != values[name] for name in ("cron", "timezone", "is_paused")
            ):
                fields = fields_of(wish.cron, place.id)
                moment = await clock_time(connection, self._database)
                due = None if wish.is_paused else next_time(fields, wish.timezone, moment)
                written["next_at"] = due
            await connection.execute(
                insert(table).values(environment_id=place.id, created_at=now, **written)
                if before is None
                else update(table).where(table.c.environment_id == place.id).values(**written)
            )
            detail = changes(before if before is not None else {}, values)
            await tell_of_schedule(connection, actor, now, "schedule.set", place.path, detail)
            return schedule_of(_known(await schedule_row(connection, place.id), place))

    async def delete(
        self, actor: Actor, namespace: str, environment: str, *, revision: int | None = None
    ) -> None:
        """Delete the schedule of an environment; what it has asked for goes on.

        Raises:
            ScheduleUnknown: It has none.
            RevisionConflict: It has another revision.
        """
        table = tables.schedule
        async with self._database.writing() as connection:
            now = self._database.now()
            place = await environment_row(connection, namespace, environment)
            row = _known(await schedule_row(connection, place.id), place)
            if revision not in {None, row.revision}:
                raise RevisionConflict(f"{place.path} (schedule)", row.revision)
            await connection.execute(delete(table).where(table.c.environment_id == place.id))
            detail = {"before": {"cron": row.cron, "timezone": row.timezone, "then": row.then}}
            await tell_of_schedule(connection, actor, now, "schedule.deleted", place.path, detail)

    async def list(
        self,
        visible: Visibility,
        *,
        namespace: str | None = None,
        has_problem: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[ScheduleRecord]:
        """Return schedules, by the paths of their environments.

        Args:
            visible: What whoever asks may see.
            namespace: Of one namespace alone, by its slug.
            has_problem: Only those by which nothing was asked for the last time.
            after: ``next`` of the page before.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        limit = max(1, min(limit, MAX_PAGE))
        path = tables.environment.c.path
        statement = (
            schedules()
            .where(path > page_after(after), sees_environment(visible, path))
            .order_by(path)
            .limit(limit + 1)
        )
        if namespace is not None:
            # "0" comes after "/".
            inside = and_(path >= f"{namespace}/", path < f"{namespace}0")
            statement = statement.where(inside if is_slug(namespace) else false())
        if has_problem:
            statement = statement.where(tables.schedule.c.problem != "")
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        more = cursor(rows[limit - 1].path) if len(rows) > limit else None
        return Page([schedule_of(row) for row in rows[:limit]], more)

    async def run(self, actor: Actor, namespace: str, environment: str) -> Version:
        """Return the version that is asked for now, as the schedule does when it is due.

        When it is due next stays as it is.

        Raises:
            ScheduleUnknown: It has none.
            NothingToSolve: Nothing can be asked for now.
            TooManyVersions: Whoever asks has as many under way as one may.
            QuotaExceeded: The namespace has as many bytes as it may.
            BuildsUsedUp: It has had as many builds today as it may.
        """
        async with self._database.reading() as connection:
            place = await environment_row(connection, namespace, environment)
        found = await self._subjects.of([place.id])
        async with self._database.writing() as connection:
            now = self._database.now()
            place = await environment_row(connection, namespace, environment)
            row = _known(await schedule_row(connection, place.id), place)
            obstacle = await self._subjects.obstacle(connection, place, found.get(place.id))
            if obstacle is not None:
                raise NothingToSolve(obstacle.sentence)
            version = await queue_anew(
                connection, actor, place, found[place.id], row.then, now, self._limits
            )
            moment = await clock_time(connection, self._database)
            table = tables.schedule
            await connection.execute(
                update(table)
                .where(table.c.environment_id == place.id)
                .values(last_at=moment, last_version=version.number, problem="")
            )
        self._nudge()
        return version_of(version)


def _known(row: Row[Any] | None, environment: Row[Any]) -> Row[Any]:
    if row is None:
        raise ScheduleUnknown(environment.path)
    return row
