"""Idempotency keys: a request that is sent twice is carried out once."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update

from registry.database import Database, tables

_KEPT: Final = timedelta(days=1)
_LOST: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered to the first request with a key."""

    request_sha256: str
    #: An HTTP status; 0 while the first request is under way.
    status: int
    body: bytes


class Idempotency:
    """Remembers for a day what was answered.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, principal: str, key: str, request_sha256: str) -> KeptAnswer | None:
        """Return what was answered to that key before, or ``None``: it is the caller's to do.

        A key that was begun a minute ago and never ended is the caller's, too.
        """
        table = tables.idempotency
        key = _digest(key)
        mine = (table.c.principal == principal) & (table.c.key == key)
        async with self._database.writing() as connection:
            now = self._database.now()
            await connection.execute(delete(table).where(table.c.created_at < now - _KEPT))
            row = (await connection.execute(select(table).where(mine))).first()
            if row is not None and (row.status or row.created_at > now - _LOST):
                return KeptAnswer(row.request_sha256, row.status, bytes(row.body))
            await connection.execute(delete(table).where(mine))
            await connection.execute(
                insert(table).values(
                    principal=principal, key=key, request_sha256=request_sha256, created_at=now
                )
            )
        return None

    async def end(self, principal: str, key: str, status: int, body: bytes) -> None:
        """Keep what is answered."""
        table = tables.idempotency
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                update(table)
                .where(table.c.principal == principal, table.c.key == _digest(key))
                .values(status=status, body=body)
            )

    async def forget(self, principal: str, key: str) -> None:
        """Have the next request with that key carried out: this one came to nothing."""
        table = tables.idempotency
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                delete(table).where(table.c.principal == principal, table.c.key == _digest(key))
            )


def _digest(key: str) -> str:
    """Return what any key, of whatever length and characters, is kept as."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
