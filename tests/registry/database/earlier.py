"""Databases of earlier revisions, with what servers of that time had written into them.

Rows are written by the columns that there were, whatever the program knows today.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, MetaData, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from registry.catalog.tokens import digest_of
from registry.database.engine import parse_url
from registry.database.migrations import upgrade

FIRST: Final = "0001"
#: Of ada, and of a robot whose token was revoked.
TOKEN: Final = "pft_" + "a" * 43
REVOKED: Final = "pft_" + "b" * 43

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

_AT: Final = datetime(2026, 10, 1, 12, 30, 15, 123456, UTC)
_LATER: Final = _AT + timedelta(days=1)


def first_rows(key: str, built: bytes, queued: bytes) -> Rows:
    """Return rows of the first revision, for every table, in an order in which they can be written.

    Args:
        key: Of the lock that ``built`` has.
        built: The specification of ``analytics/forecast``'s first version.
        queued: That of its second, which nobody has begun to make.
    """
    return {
        "principal": [
            {"name": "ada", "display_name": "Ada L.", "email": "ada@x.org", "last_seen_at": _LATER}
            | {"kind": "human", "source": "oidc", "created_at": _AT},
            {"name": "ci", "display_name": "", "email": "", "disabled_at": _LATER}
            | {"kind": "robot", "source": "database", "created_at": _AT},
        ],
        "identity": [{"issuer": "https://id", "subject": "7", "principal_name": "ada"}],
        "group_": [{"name": "data", "source": "local"}],
        "membership": [{"group_name": "data", "principal_name": "bob", "source": "local"}],
        "namespace": [
            {"name": "Analytics", "slug": "analytics", "description": "ä", "search_text": "ä"}
            | {"owner": "ada", "revision": 3, "created_at": _AT},
            {"name": "gone", "slug": "gone", "description": "", "search_text": "gone"}
            | {"owner": None, "revision": 2, "created_at": _AT, "deleted_at": _LATER},
        ],
        "grant_": [
            {"subject_kind": "user", "subject": "ada", "namespace_glob": "analytics"}
            | {"environment_glob": "*", "role": "owner", "source": "owner", "created_at": _AT},
            {"subject_kind": "group", "subject": "data", "namespace_glob": "an*"}
            | {"environment_glob": "f*", "role": "viewer", "source": "api", "granted_by": "ada"}
            | {"created_at": _AT},
        ],
        "token": [
            {"sha256": digest_of(TOKEN), "hint": "aaaaaa", "principal_name": "ada"}
            | {"name": "laptop", "kind": "personal", "created_at": _AT, "last_used_at": _LATER},
            {"sha256": digest_of(REVOKED), "hint": "bbbbbb", "principal_name": "ada"}
            | {"name": "old", "kind": "personal", "scopes": ["analytics/*:pull"]}
            | {"created_at": _AT, "revoked_at": _LATER},
        ],
        "environment": [
            _environment("forecast")
            | {"active_version": 1, "active_key": key, "last_version": 2, "settled_version": 1},
            _environment("old") | {"deleted_at": _LATER},
        ],
        "specification": [
            {"sha256": "1" * 64, "data": built, "created_at": _AT},
            {"sha256": "2" * 64, "data": queued, "created_at": _LATER},
        ],
        "version": [
            _version(1)
            | {"state": "built", "key": key, "started_at": _AT, "ended_at": _LATER, "note": "n"},
            _version(2) | {"state": "queued"},
        ],
        "activation": [{"environment_id": 1, "number": 1, "key": key, "at": _AT, "by": "ada"}],
        "lock_package": [
            {"key": key, "platform": "linux-64", "manager": "conda", "name": "tool"}
            | {"version": "1.0", "build": "0", "channel": "main"}
        ],
        "event": [
            {"at": _AT, "actor": "ada", "address": "192.0.2.1", "action": "environment.created"}
            | {"namespace": "analytics", "environment": "forecast"},
            {"at": _LATER, "actor": "ada", "address": "", "action": "grant.given", "token_id": 1}
            | {"namespace": "analytics", "detail": {"role": "viewer", "grant": 2}},
        ],
        "change": [{"kind": "environment", "subject": "analytics/forecast", "at": _AT}],
        "outbox": [{"path": "analytics/forecast", "generation": 2, "created_at": _AT}],
        "server": [{"name": "before", "seen_change": 1, "at": _AT}],
        "idempotency": [
            {"principal": "ada", "key": "k", "request_sha256": "3" * 64, "status": 201}
            | {"body": b"{}\xff", "created_at": _AT}
        ],
    }


async def make(url: str, revision: str, rows: Rows) -> None:
    """Make a database of a revision, with rows in every table."""

    def work(connection: Connection) -> None:
        upgrade(connection, revision)
        there = _reflected(connection)
        assert set(rows) == set(there.tables), "no table is without a row"
        for name, some in rows.items():
            for row in some:
                connection.execute(insert(there.tables[name]).values(**row))

    engine = create_async_engine(parse_url(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    finally:
        await engine.dispose()


async def contents(url: str, of: Rows) -> dict[str, list[dict[str, Any]]]:
    """Return what the columns have that ``of`` has rows for, by table."""

    def work(connection: Connection) -> dict[str, list[dict[str, Any]]]:
        there = _reflected(connection)
        return {
            name: sorted(
                (dict(row._mapping) for row in connection.execute(select(there.tables[name]))),
                key=repr,
            )
            for name in of
        }

    engine = create_async_engine(parse_url(url))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _reflected(connection: Connection) -> MetaData:
    there = MetaData()
    there.reflect(connection)
    there.remove(there.tables["alembic_version"])
    return there


def _environment(slug: str) -> dict[str, Any]:
    path = f"analytics/{slug}"
    return {
        "namespace_id": 1,
        "name": slug.title(),
        "slug": slug,
        "path": path,
        "description": "what comes",
        "search_text": path,
        "last_version": 0,
        "settled_version": 0,
        "revision": 4,
        "created_by": "ada",
        "created_at": _AT,
        "updated_at": _LATER,
    }


def _version(number: int) -> dict[str, Any]:
    return {
        "environment_id": 1,
        "number": number,
        "specification_id": number,
        "message": "",
        "reason": "person",
        "note": "",
        "requested_by": "ada",
        "activate": 1,
        "renew": 0,
        "created_at": _AT,
    }
