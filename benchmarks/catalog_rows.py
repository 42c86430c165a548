"""A large catalog, written straight into the tables, and people who may see much of it or little.

A hundred namespaces have ten thousand environments and a hundred thousand versions, each with its
event; a thousand people have roles and tokens in them.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.tokens import PREFIX, digest_of
from registry.database import open_database, tables
from tests.registry.catalog.many import fill

#: Who may see everything and does so with a token.
ADMINISTRATOR: Final = "ada"
#: Who sees some namespaces, by a role of their own, of a group, or on a glob.
USER: Final = "bob"
#: The environment that has a long history beside.
OLD: Final = "team-0007/env-00007"
_GROUP: Final = "data"
_HISTORY: Final = 1000
_ROLES_OF_EACH: Final = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    namespaces: int
    environments: int
    versions: int
    people: int


FULL: Final = Size(namespaces=100, environments=10_000, versions=10, people=1000)
SHORT: Final = Size(namespaces=10, environments=200, versions=10, people=20)


def secret_of(name: str) -> str:
    """Return the token of somebody."""
    return PREFIX + hashlib.sha256(name.encode()).hexdigest()[:43]


async def write(url: str, size: Size) -> None:
    """Write a catalog into an empty database."""
    async with open_database(url) as database:
        await database.upgrade()
        await fill(
            database,
            namespaces=size.namespaces,
            environments=size.environments,
            versions=size.versions,
            facts=True,
        )
        async with database.writing() as connection:
            now = database.now()
            await _add_history(connection, size, now)
            await _add_people(connection, size, now)
    if database.is_shared:
        await analyze(url)


async def _add_history(connection: AsyncConnection, size: Size, now: datetime) -> None:
    """Add versions that failed to one environment: a list of which it has many."""
    number = int(OLD.rpartition("-")[2])
    newest = size.versions + _HISTORY
    versions = [
        {
            "environment_id": number + 1,
            "number": one,
            "specification_id": 1,
            "state": "failed",
            "message": "numpy 9 cannot be had",
            "reason": "person",
            "created_at": now,
        }
        for one in range(size.versions + 1, newest + 1)
    ]
    namespace, _, slug = OLD.partition("/")
    events = [
        {"at": now, "action": "version.failed", "namespace": namespace, "environment": slug} | more
        for more in ({"number": one["number"]} for one in versions)
    ]
    await connection.execute(insert(tables.version), versions)
    await connection.execute(insert(tables.event), events)
    table = tables.environment
    statement = update(table).where(table.c.id == number + 1).values(last_version=newest)
    await connection.execute(statement)


async def _add_people(connection: AsyncConnection, size: Size, now: datetime) -> None:
    people = [f"person-{one:04}" for one in range(size.people)]
    names = [ADMINISTRATOR, USER, *people]
    await connection.execute(
        insert(tables.principal),
        [
            {"name": name, "kind": "human", "source": "database", "created_at": now}
            for name in names
        ],
    )
    await connection.execute(insert(tables.group).values(name=_GROUP, source="local"))
    await connection.execute(
        insert(tables.membership),
        [
            {"group_name": _GROUP, "principal_name": name, "source": "local"}
            for name in (USER, *people[::20])
        ],
    )
    grants = [_grant("user", ADMINISTRATOR, "*", "administrator", now)]
    for namespace in range(size.namespaces):
        slug = f"team-{namespace:04}"
        for one in range(_ROLES_OF_EACH):
            whose = people[(namespace * _ROLES_OF_EACH + one) % len(people)]
            grants.append(_grant("user", whose, slug, "editor" if one % 3 else "admin", now))
        if namespace % 10 == 7:
            grants.append(_grant("user", USER, slug, "admin", now))
        if namespace % 10 == 3:
            grants.append(_grant("group", _GROUP, slug, "viewer", now))
    grants.append(_grant("user", USER, "*", "viewer", now, environment="env-0*5"))
    await connection.execute(insert(tables.grant), grants)
    tokens = [_token(name, secret_of(name), now) for name in (ADMINISTRATOR, USER)]
    for one in range(2 * len(people)):
        whose = USER if one % 10 == 0 else people[one % len(people)]
        tokens.append(_token(whose, f"{PREFIX}{one}", now - timedelta(days=one % 300)))
    await connection.execute(insert(tables.token), tokens)


def _grant(
    kind: str, subject: str, namespace: str, role: str, now: datetime, environment: str = "*"
) -> dict[str, Any]:
    return {
        "subject_kind": kind,
        "subject": subject,
        "namespace_glob": namespace,
        "environment_glob": environment,
        "role": role,
        "source": "api",
        "created_at": now,
    }


def _token(principal: str, secret: str, now: datetime) -> dict[str, Any]:
    return {
        "sha256": digest_of(secret),
        "hint": secret[-6:],
        "principal_name": principal,
        "name": "laptop",
        "kind": "personal",
        "created_at": now,
    }


async def analyze(url: str) -> None:
    """Have PostgreSQL count what a table has, as it does by itself a minute later."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
