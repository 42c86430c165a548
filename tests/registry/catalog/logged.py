"""An audit log of any length, written as rows: what its filters are tried and measured over."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import insert, text

from registry.database import Database, tables
from registry.database.export import continue_sequences

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
#: From what there is most of to what there is least of.
ACTIONS: Final = (
    *("login.succeeded", "login.failed", "version.built", "version.queued", "admin.read"),
    *("access.refused", "environment.created", "grant.given", "grant.taken", "policy.set"),
    *("token.created", "token.revoked", "namespace.deleted"),
)
VIAS: Final = ("registry", "api", "cli", "login", "service")
_BATCH: Final = 5000


def rows(number: int) -> Iterator[dict[str, Any]]:
    """Yield events, always the same ones: a few people do most, and some are written late."""
    chance = random.Random(7)
    for one in range(number):
        # Half of all is by the first, a quarter by the second, and so on.
        actor = min(int(chance.expovariate(0.7)), 199)
        place = min(int(chance.expovariate(0.3)), 499)
        action = min(int(chance.expovariate(0.8)), len(ACTIONS) - 1)
        late = chance.random() < 0.01
        is_somewhere = chance.random() < 0.6
        yield {
            "at": AT + timedelta(seconds=one * 10 - (600 if late else 0)),
            "actor": f"user{actor}" if chance.random() < 0.9 else None,
            "token_id": None,
            "address": f"192.0.2.{min(int(chance.expovariate(0.2)), 254)}",
            "via": VIAS[min(int(chance.expovariate(0.9)), len(VIAS) - 1)],
            "action": ACTIONS[action],
            "namespace": f"team{place}" if is_somewhere else None,
            "environment": f"env{place % 7}" if is_somewhere and one % 2 else None,
            "number": one % 30 if is_somewhere else None,
            "detail": {"number": one},
        }


async def write(database: Database, number: int) -> None:
    """Write so many events."""
    batch: list[dict[str, Any]] = []
    for row in rows(number):
        batch.append(row)
        if len(batch) == _BATCH:
            await _insert(database, batch)
            batch = []
    if batch:
        await _insert(database, batch)
    if database.is_shared:
        async with database.writing() as connection:
            await continue_sequences(connection)
            await connection.execute(text("ANALYZE event"))


async def _insert(database: Database, batch: list[dict[str, Any]]) -> None:
    async with database.writing() as connection:
        await connection.execute(insert(tables.event), batch)
