"""The key that signs bearer tokens where no auth file has one: the same for all servers."""

import secrets
from typing import Final

from sqlalchemy import insert, select

from registry.database import Database, tables

_PURPOSE: Final = "bearer tokens"


async def signing_key(database: Database) -> str:
    """Return the key, 64 hexadecimal digits; the first server that asks makes it.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    table = tables.signing_key
    statement = select(table.c.key).where(table.c.purpose == _PURPOSE)
    async with database.reading() as connection:
        found: str | None = (await connection.execute(statement)).scalar()
    if found is not None:
        return found
    async with database.writing() as connection:
        # Writers come one after the other: another may have been first.
        found = (await connection.execute(statement)).scalar()
        if found is None:
            found = secrets.token_hex(32)
            await connection.execute(
                insert(table).values(purpose=_PURPOSE, key=found, created_at=database.now())
            )
    return found
