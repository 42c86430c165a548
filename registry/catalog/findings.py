"""What policies have against builds that there are: kept as rows, told as events, listed.

A finding is of an environment and the build of one of its versions. It is there from when that is
first found to when it is so no more: the rule, the waiver or the advisory is another, or the age.
Events tell of the builds of active versions alone, one for each environment and policy.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, and_, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.rules.violation import Violation
from registry.catalog.journal import add_change, add_events, event_of
from registry.catalog.lookup import MAX_NUMBER, MAX_PAGE, page_of, searchable
from registry.catalog.records import SERVICE, Page, Visibility
from registry.catalog.visibility import sees_environment
from registry.database import Database, tables

#: So many packages are named in one event; how many there are is told besides.
_MAX_TOLD: Final = 20
_NAMED: Final = 500
#: So many versions are told with a page of findings: many can have one build.
_MAX_VERSIONS: Final = 2000

#: What is the same of a finding as long as it lasts: environment, key, policy, kind, platform,
#: manager, name, advisory.
Identity = tuple[int, str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """An environment that is judged."""

    #: 0: what belongs to none.
    id: int
    namespace: str = ""
    slug: str = ""
    namespace_id: int = 0
    active_key: str | None = None
    active_version: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a policy has against a build."""

    id: int
    key: str
    policy: str
    mode: str
    kind: str
    platform: str
    manager: str
    name: str
    version: str
    advisory: str
    #: One sentence without a full stop.
    sentence: str
    #: The first version that is not affected; empty: none is known.
    fixed_in: str
    found_at: datetime
    #: Slugs; ``None``: it is a build that belongs to no environment.
    namespace: str | None = None
    environment: str | None = None
    #: Of the namespace.
    owner: str | None = None
    #: Who has made the environment.
    created_by: str | None = None
    #: Whether it is the build of the active version.
    is_active: bool = False
    #: The numbers of the environment's versions that have the build, the newest first.
    versions: Sequence[int] = ()


class Findings:
    """Lists findings.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        *,
        visible: Visibility,
        policy: str | None = None,
        namespace: str | None = None,
        environment: str | None = None,
        key: str | None = None,
        active_only: bool = False,
        after: int | None = None,
        limit: int = 50,
    ) -> Page[Finding]:
        """Return findings, the newest first.

        Args:
            visible: What whoever asks may see.
            policy: Of the policy with that name alone.
            namespace: Of one namespace alone, by its slug.
            environment: Of one environment of it alone.
            key: Of one build alone.
            active_only: Only those of the builds of active versions.
            after: The number with which the page before ended.
            limit: The most to return.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        limit = max(1, min(limit, MAX_PAGE))
        table, place = tables.finding, tables.environment
        statement = _findings()
        if not visible.is_everything:
            statement = statement.where(
                place.c.id.is_not(None), sees_environment(visible, place.c.path)
            )
        if policy is not None:
            statement = statement.where(table.c.policy == searchable(policy))
        if namespace is not None:
            statement = statement.where(tables.namespace.c.slug == searchable(namespace))
        if environment is not None:
            statement = statement.where(place.c.slug == searchable(environment))
        if key is not None:
            statement = statement.where(table.c.key == key)
        if active_only:
            statement = statement.where(place.c.active_key == table.c.key)
        if after is not None:
            statement = statement.where(table.c.id < min(after, MAX_NUMBER))
        page = statement.order_by(table.c.id.desc()).limit(limit + 1)
        async with self._database.reading() as connection:
            rows = (await connection.execute(page)).all()
            versions = await _versions(connection, rows)
        return page_of(rows, lambda row: _finding(row, versions), limit)


async def known_findings(
    database: Database,
    environments: Sequence[int] | None = None,
    keys: Sequence[str] | None = None,
) -> Mapping[Identity, Row[Any]]:
    """Return the findings that there are, by what they are.

    Args:
        database: Where they are.
        environments: Theirs; ``None``: all.
        keys: Of these builds alone; ``None``: of all.
    """
    table, last = tables.finding, 0
    found: dict[Identity, Row[Any]] = {}
    statement = select(table)
    if environments is not None:
        statement = statement.where(table.c.environment_id.in_(environments))
    if keys is not None:
        statement = statement.where(table.c.key.in_(keys))
    while True:
        async with database.reading() as connection:
            page = statement.where(table.c.id > last).order_by(table.c.id).limit(_NAMED * 4)
            rows = (await connection.execute(page)).all()
        found.update((_identity_of(row), row) for row in rows)
        if len(rows) < _NAMED * 4:
            return found
        last = rows[-1].id


async def write_findings(
    connection: AsyncConnection,
    places: Iterable[Place],
    new: Mapping[int, Sequence[tuple[str, Violation]]],
    gone: Mapping[int, Sequence[Row[Any]]],
    now: datetime,
) -> int:
    """Write what is found and what is gone in some environments; return the last change.

    Args:
        connection: Of the transaction.
        places: The environments.
        new: By environment: keys, and what they break.
        gone: By environment: rows.
        now: The time.
    """
    table, change = tables.finding, 0
    events: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for place in places:
        rows += [_row(place.id, key, one, now) for key, one in new.get(place.id, ())]
        gone_here = gone.get(place.id, ())
        for start in range(0, len(gone_here), _NAMED):
            numbers = [row.id for row in gone_here[start : start + _NAMED]]
            await connection.execute(delete(table).where(table.c.id.in_(numbers)))
        if place.id and place.active_key is not None:
            fresh = [_told(one) for key, one in new.get(place.id, ()) if key == place.active_key]
            again = {identity(place.id, key, one) for key, one in new.get(place.id, ())}
            old = [
                _told_row(row)
                for row in gone_here
                if row.key == place.active_key and _identity_of(row) not in again
            ]
            events += _events(place, "finding.found", fresh, now)
            events += _events(place, "finding.gone", old, now)
    for start in range(0, len(rows), _NAMED):
        await connection.execute(insert(table), rows[start : start + _NAMED])
    if events:
        await add_events(connection, events)
        change = await add_change(connection, "event", "findings", now)
    return change


def _findings() -> Select[Any]:
    table, place, space = tables.finding, tables.environment, tables.namespace
    alive = and_(place.c.id == table.c.environment_id, place.c.deleted_at.is_(None))
    return (
        select(
            table,
            space.c.slug.label("namespace"),
            space.c.owner,
            place.c.slug.label("environment"),
            place.c.created_by,
            place.c.active_key,
        )
        .outerjoin(place, alive)
        .outerjoin(space, space.c.id == place.c.namespace_id)
        .where(or_(place.c.id.is_not(None), table.c.environment_id == 0))
    )


async def _versions(
    connection: AsyncConnection, rows: Sequence[Row[Any]]
) -> Mapping[tuple[int, str], Sequence[int]]:
    """Return the versions that have the builds of findings, by environment and key."""
    table, found = tables.version, defaultdict[tuple[int, str], list[int]](list)
    places = sorted({row.environment_id for row in rows if row.environment_id})
    keys = sorted({row.key for row in rows})
    statement = (
        select(table.c.environment_id, table.c.key, table.c.number)
        .where(table.c.environment_id.in_(places), table.c.key.in_(keys))
        .order_by(table.c.number.desc())
        .limit(_MAX_VERSIONS)
    )
    if places:
        for row in await connection.execute(statement):
            found[row.environment_id, row.key].append(row.number)
    return found


def _finding(row: Row[Any], versions: Mapping[tuple[int, str], Sequence[int]]) -> Finding:
    return Finding(
        row.id,
        row.key,
        row.policy,
        row.mode,
        row.kind,
        row.platform,
        row.manager,
        row.name,
        row.version,
        row.advisory,
        row.sentence,
        row.fixed_in,
        row.found_at,
        row.namespace,
        row.environment,
        row.owner,
        row.created_by,
        row.active_key is not None and row.active_key == row.key,
        versions.get((row.environment_id, row.key), ()),
    )


def identity(environment: int, key: str, one: Violation) -> Identity:
    """Return what is the same of a finding as long as it lasts."""
    manager = one.manager if one.name else ""
    return (
        *(environment, key, one.policy, one.kind, one.platform),
        *(manager, one.name, one.advisory),
    )


def is_same(row: Row[Any], one: Violation) -> bool:
    """Tell whether a row says of a finding what would be written now."""
    known = (row.sentence, row.mode, row.version, row.fixed_in)
    return known == (one.sentence, one.mode, one.version, one.fixed_in)


def _identity_of(row: Row[Any]) -> Identity:
    return (
        *(row.environment_id, row.key, row.policy, row.kind, row.platform),
        *(row.manager, row.name, row.advisory),
    )


def _row(environment: int, key: str, one: Violation, now: datetime) -> dict[str, Any]:
    return {
        "environment_id": environment,
        "key": key,
        "policy": one.policy,
        "mode": one.mode,
        "kind": one.kind,
        "platform": one.platform,
        "manager": one.manager if one.name else "",
        "name": one.name,
        "version": one.version,
        "advisory": one.advisory,
        "sentence": one.sentence,
        "fixed_in": one.fixed_in,
        "found_at": now,
    }


def _told(one: Violation) -> tuple[str, dict[str, Any]]:
    return one.policy, {
        "kind": one.kind,
        "package": one.package,
        "platform": one.platform,
        "advisory": one.advisory,
        "fixed_in": one.fixed_in,
        "sentence": one.sentence,
    }


def _told_row(row: Row[Any]) -> tuple[str, dict[str, Any]]:
    return row.policy, {
        "kind": row.kind,
        "package": f"{row.name} {row.version}".rstrip(),
        "platform": row.platform,
        "advisory": row.advisory,
        "fixed_in": row.fixed_in,
        "sentence": row.sentence,
    }


def _events(
    place: Place, action: str, found: Iterable[tuple[str, dict[str, Any]]], now: datetime
) -> list[dict[str, Any]]:
    """Return one event for each policy that has, or had, something against the active version."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for policy, one in found:
        told[policy].append(one)
    return [
        {
            **event_of(
                SERVICE,
                now,
                action,
                place.namespace,
                place.slug,
                place.active_version,
                {
                    "policy": policy,
                    "key": place.active_key,
                    "owner": place.owner,
                    "count": len(some),
                    "findings": some[:_MAX_TOLD],
                },
            ),
            "namespace_id": place.namespace_id,
            "environment_id": place.id,
        }
        for policy, some in sorted(told.items())
    ]
