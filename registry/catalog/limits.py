"""What a namespace may have, held against what it has, in the transaction that would change it.

::

    environments     those that are not deleted        made, copied, moved here, restored
    size_bytes       unique bytes of their images      asked for, copied, moved here, restored
    builds_a_day     versions asked for since 0:00 UTC asked for
    builds_at_once   versions that are being made      none is refused: those that wait are queued

What takes something away is never refused. How large a build will be is known when it is built: one
that is begun below the limit is finished, and the next one is refused.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.filesize import decimal
from sqlalchemy import ColumnElement, Row, case, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.sizes import held_size, keys_of_environment, size_of_namespace
from registry.database import tables
from registry.errors import BuildsUsedUp, QuotaExceeded

#: What a row has where an administrator set that there is no limit, whatever the default is.
NO_LIMIT: Final = -1
_ASK: Final = "ask an administrator of the service for more"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a namespace may have at most; ``None``: any number."""

    #: What its images take in the store, each blob once.
    size_bytes: int | None = None
    environments: int | None = None
    #: Versions asked for in a day, UTC.
    builds_a_day: int | None = None
    builds_at_once: int | None = None


UNLIMITED: Final = Limits()
FIELDS: Final = tuple(field.name for field in fields(Limits))


def limits_of(row: Row[Any] | None, defaults: Limits) -> Limits:
    """Return what holds: what a row says, and the defaults for what it leaves open."""
    if row is None:
        return defaults
    found = {name: effective(getattr(row, name), getattr(defaults, name)) for name in FIELDS}
    return Limits(**found)


def effective(said: int | None, default: int | None) -> int | None:
    """Return what holds where a row says ``said``.

    >>> effective(None, 5), effective(NO_LIMIT, 5), effective(0, 5)
    (5, None, 0)
    """
    if said is None:
        return default
    return None if said < 0 else said


async def limits_in(
    connection: AsyncConnection, namespace_id: int, defaults: Limits = UNLIMITED
) -> Limits:
    """Return what a namespace may have."""
    table = tables.quota
    statement = select(table).where(table.c.namespace_id == namespace_id)
    return limits_of((await connection.execute(statement)).first(), defaults)


async def require_environments(
    connection: AsyncConnection, namespace: Row[Any], limits: Limits
) -> None:
    """Return if a namespace has no more environments than it may, those included that are new.

    Raises:
        QuotaExceeded: It has; the transaction is to be given up.
    """
    if limits.environments is None:
        return
    found = await count_environments(connection, namespace.id)
    if found > limits.environments:
        raise QuotaExceeded(
            f"'{namespace.slug}' may have {_counted(limits.environments, 'environment')}, and would"
            f" have {found}: delete what is not needed, or {_ASK}"
        )


async def count_environments(connection: AsyncConnection, namespace_id: int) -> int:
    """Return how many environments a namespace has that are not deleted."""
    table = tables.environment
    statement = select(func.count()).where(
        table.c.namespace_id == namespace_id, table.c.deleted_at.is_(None)
    )
    return int((await connection.execute(statement)).scalar_one())


async def require_new_environment(
    connection: AsyncConnection, environment: Row[Any], defaults: Limits
) -> None:
    """Return if an environment that has just come to its namespace may be there.

    It was made, copied, moved or restored, and is there already in this transaction. What its
    images take counts with it, as far as the namespace has not got it anyway.

    Raises:
        QuotaExceeded: It may not; the transaction is to be given up.
    """
    limits = await limits_in(connection, environment.namespace_id, defaults)
    namespace = await _namespace(connection, environment.namespace_id)
    await require_environments(connection, namespace, limits)
    if limits.size_bytes is None:
        return
    keys = await keys_of_environment(connection, environment.id)
    size = await size_of_namespace(connection, namespace.id) if keys else 0
    if size <= limits.size_bytes:
        return
    # It is above: what adds nothing may come all the same.
    added = await _brought(connection, environment)
    if added:
        raise QuotaExceeded(
            f"this would add {decimal(added)} to the images of '{namespace.slug}', which may take"
            f" {decimal(limits.size_bytes)} together: {_free(namespace.slug)}"
        )


async def require_build(
    connection: AsyncConnection,
    environment: Row[Any],
    now: datetime,
    defaults: Limits,
    *,
    is_service: bool = False,
) -> None:
    """Return if one more build may be asked for in the namespace of an environment, and count it.

    Args:
        connection: Of the transaction.
        environment: Its row.
        now: The time.
        defaults: What holds where nothing else is set.
        is_service: Whether the service asks by itself: that is counted, and not refused.

    Raises:
        QuotaExceeded: The namespace has as many bytes as it may, or may build nothing at all.
        BuildsUsedUp: It has had as many builds today as it may.
    """
    limits = await limits_in(connection, environment.namespace_id, defaults)
    namespace = await _namespace(connection, environment.namespace_id)
    if not is_service:
        await _require_builds(connection, namespace, limits, now)
        await _require_bytes(connection, namespace, limits)
    await count_build(connection, namespace.id, now)


async def count_build(connection: AsyncConnection, namespace_id: int, now: datetime) -> None:
    """Count a build that was asked for."""
    table = tables.namespace_day
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(
        namespace_id=namespace_id, day=day_of(now), builds=1, pulls=0
    )
    keys = [table.c.namespace_id, table.c.day]
    await connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_={"builds": table.c.builds + 1})
    )


async def builds_of_day(connection: AsyncConnection, slug: str, now: datetime) -> int:
    """Return how many builds were asked for today in a namespace, and in those of its name before.

    Who deletes a namespace and makes it anew has no more builds by that.
    """
    table, namespace = tables.namespace_day, tables.namespace
    same = select(namespace.c.id).where(namespace.c.slug == slug)
    statement = select(func.sum(table.c.builds)).where(
        table.c.namespace_id.in_(same), table.c.day == day_of(now)
    )
    return int((await connection.execute(statement)).scalar() or 0)


async def inherit_quota(connection: AsyncConnection, slug: str, namespace_id: int) -> None:
    """Give a new namespace the quota of the one deleted last that was called so, if it had one.

    Else whoever may make a namespace would be rid of its quota by deleting it first.
    """
    table, namespace = tables.quota, tables.namespace
    before = (
        select(table)
        .join(namespace, namespace.c.id == table.c.namespace_id)
        .where(
            namespace.c.slug == slug,
            namespace.c.deleted_at.is_not(None),
            namespace.c.id != namespace_id,
        )
        .order_by(namespace.c.deleted_at.desc(), namespace.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(before)).first()
    if row is not None:
        values = {name: getattr(row, name) for name in FIELDS}
        await connection.execute(insert(table).values(namespace_id=namespace_id, **values))


def at_once(defaults: Limits) -> ColumnElement[Any]:
    """Return how many builds at once a namespace's row of ``quota`` allows; null: any number.

    The row may be missing, as in an outer join.
    """
    column = tables.quota.c.builds_at_once
    return case((column.is_(None), defaults.builds_at_once), (column < 0, None), else_=column)


def day_of(moment: datetime) -> str:
    """Return the day of a moment, UTC, as ``2026-11-29``."""
    return moment.astimezone(UTC).date().isoformat()


def next_day(now: datetime) -> datetime:
    """Return when the next day begins, UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1)


async def _require_builds(
    connection: AsyncConnection, namespace: Row[Any], limits: Limits, now: datetime
) -> None:
    if limits.builds_a_day is None:
        return
    if limits.builds_a_day == 0:
        raise QuotaExceeded(f"'{namespace.slug}' may build nothing: {_ASK}")
    if await builds_of_day(connection, namespace.slug, now) < limits.builds_a_day:
        return
    again = next_day(now)
    seconds = max(1, -int((now - again).total_seconds() // 1))
    raise BuildsUsedUp(
        f"'{namespace.slug}' has asked for {_counted(limits.builds_a_day, 'build')} today, which is"
        f" the most a day: it goes on at {again:%Y-%m-%d %H:%M} UTC, or {_ASK}",
        seconds,
    )


async def _require_bytes(connection: AsyncConnection, namespace: Row[Any], limits: Limits) -> None:
    if limits.size_bytes is None:
        return
    size = await size_of_namespace(connection, namespace.id)
    if size >= limits.size_bytes:
        raise QuotaExceeded(
            f"the images of '{namespace.slug}' take {decimal(size)}, and may take"
            f" {decimal(limits.size_bytes)}: {_free(namespace.slug)}"
        )


async def _brought(connection: AsyncConnection, environment: Row[Any]) -> int:
    """Return what the namespace of an environment would have less without it."""
    keys = await keys_of_environment(connection, environment.id)
    place = environment.namespace_id
    others = await held_size(connection, place, keys, without=environment.id)
    return await held_size(connection, place, keys) - others


async def _namespace(connection: AsyncConnection, namespace_id: int) -> Row[Any]:
    table = tables.namespace
    return (await connection.execute(select(table).where(table.c.id == namespace_id))).one()


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _free(slug: str) -> str:
    command = f"pullforge retention free {slug}"
    return f"delete what is not needed, free old versions ('{command}'), or {_ASK}"
