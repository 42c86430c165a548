"""Quotas: what administrators of the service let namespaces have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.limits import (
    FIELDS,
    NO_LIMIT,
    UNLIMITED,
    Limits,
    builds_of_day,
    count_environments,
    limits_of,
    next_day,
)
from registry.catalog.lookup import namespace_row
from registry.catalog.namespace_settings import said_in, set_settings, settings_row
from registry.catalog.records import Actor
from registry.catalog.sizes import size_of_namespace
from registry.database import Database, tables


@dataclass(frozen=True, slots=True)
class Usage:
    """What a namespace has at this moment, of what quotas are about."""

    size_bytes: int
    environments: int
    #: Since the day began, UTC.
    builds_a_day: int
    builds_at_once: int


@dataclass(frozen=True, slots=True)
class Quota:
    """What a namespace may have, and has."""

    namespace: str
    #: What was set for it; ``None``: the default, less than nothing: no limit.
    said: Mapping[str, int | None]
    #: What holds.
    limits: Limits
    #: What holds where nothing was set.
    defaults: Limits
    used: Usage
    #: When the next day begins, if it has had all builds of this one.
    builds_go_on_at: datetime | None
    #: Grows with each change; 0: nothing was ever set.
    revision: int


class Quotas:
    """Shows and sets quotas.

    Both methods raise :class:`DatabaseUnavailable` when the database does not answer, and
    :class:`NamespaceUnknown` when there is no such namespace.

    Args:
        database: Where they are.
        defaults: What holds where nothing was set.
    """

    def __init__(self, database: Database, defaults: Limits = UNLIMITED) -> None:
        self._database = database
        self._defaults = defaults

    async def get(self, slug: str) -> Quota:
        """Return what a namespace may have, and has: counted at this moment."""
        async with self._database.reading() as connection:
            namespace = await namespace_row(connection, slug)
            return await self._read(connection, namespace)

    async def set(
        self,
        actor: Actor,
        slug: str,
        said: Mapping[str, int | None],
        *,
        revision: int | None = None,
    ) -> Quota:
        """Return the quota of a namespace that has another one from now on.

        What the namespace has above it stays; it gets no more.

        Args:
            actor: Who sets it.
            slug: Of which namespace.
            said: By the names of :class:`Limits`: a number, ``None`` for the default, or
                :data:`NO_LIMIT`; what is left out is ``None``.
            revision: What it must have; ``None``: any.

        Raises:
            RevisionConflict: It has another revision.
        """
        values = {name: said.get(name) for name in FIELDS}
        async with self._database.writing() as connection:
            namespace = await namespace_row(connection, slug)
            await set_settings(
                connection,
                actor,
                tables.quota,
                namespace,
                values,
                self._database.now(),
                action="quota.set",
                in_words=in_words,
                revision=revision,
            )
            return await self._read(connection, namespace)

    async def _read(self, connection: AsyncConnection, namespace: Row[Any]) -> Quota:
        row = await settings_row(connection, tables.quota, namespace)
        limits, now = limits_of(row, self._defaults), self._database.now()
        used = Usage(
            size_bytes=await size_of_namespace(connection, namespace.id),
            environments=await count_environments(connection, namespace.id),
            builds_a_day=await builds_of_day(connection, namespace.slug, now),
            builds_at_once=await _running(connection, namespace),
        )
        most = limits.builds_a_day
        is_used_up = most is not None and 0 < most <= used.builds_a_day
        return Quota(
            namespace.slug,
            said_in(row, FIELDS),
            limits,
            self._defaults,
            used,
            next_day(now) if is_used_up else None,
            row.revision if row is not None else 0,
        )


def in_words(said: Mapping[str, int | None]) -> dict[str, int | str | None]:
    """Return what was set as people write it.

    >>> in_words({"environments": -1, "builds_a_day": 5, "size_bytes": None})
    {'environments': 'none', 'builds_a_day': 5, 'size_bytes': None}
    """
    return {name: "none" if value == NO_LIMIT else value for name, value in said.items()}


async def _running(connection: AsyncConnection, namespace: Row[Any]) -> int:
    """Return how many versions of a namespace are being made."""
    version, environment = tables.version, tables.environment
    statement = (
        select(version.c.id)
        .join(environment, environment.c.id == version.c.environment_id)
        .where(
            tables.OPEN,
            version.c.state == "building",
            environment.c.namespace_id == namespace.id,
        )
    )
    return len((await connection.execute(statement)).all())
