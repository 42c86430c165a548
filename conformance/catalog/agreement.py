"""What the database says, held against the store and against itself, once nothing is under way."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from sqlalchemy import func, select

from registry.catalog.comparing import compare
from registry.database import Database, open_database, tables
from registry.settings import Settings
from registry.sources.directory import dump_pointer
from registry.wiring.database import database_url
from registry.wiring.stores import open_store

#: A lease of a server that was killed takes 15 seconds, a claim of a document 30.
_QUIET_SECONDS: Final = 120


def require_agreement(settings: Mapping[str, object]) -> int:
    """Wait until servers with these settings have nothing to do, and compare what they keep.

    Returns:
        How many versions there are.

    Raises:
        AssertionError: Something is for ever under way, contradicts something else, or is not in
            the store as it is in the database; the message says what.
    """
    return asyncio.run(_require_agreement(settings))


async def _require_agreement(given: Mapping[str, object]) -> int:
    settings = Settings(**{name: _plain(value) for name, value in given.items()})  # type: ignore[arg-type]  # (validated)
    url = database_url(settings)
    assert url is not None
    async with open_database(url) as database, open_store(settings, settings.store) as store:
        await _until_quiet(database)
        wrong: list[str] = []
        await compare(database, store, dump_pointer, wrong.append)
        assert wrong == [], "the store has other documents of these"
        return await _require_sense(database)


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | dict | list) else str(value)


async def _until_quiet(database: Database) -> None:
    deadline = time.monotonic() + _QUIET_SECONDS
    while True:
        async with database.reading() as connection:
            opened = select(tables.version.c.number, tables.version.c.state).where(tables.OPEN)
            left = [
                *await connection.execute(opened),
                *await connection.execute(select(tables.outbox)),
            ]
        if not left:
            return
        assert time.monotonic() < deadline, f"still under way: {left}"
        await asyncio.sleep(0.1)


async def _require_sense(database: Database) -> int:
    """Look whether what the tables say fits together, and return how many versions there are."""
    environment, version, activation = tables.environment, tables.version, tables.activation
    async with database.reading(is_snapshot=True) as connection:
        for row in (await connection.execute(select(environment))).all():
            versions = (
                await connection.execute(
                    select(version)
                    .where(version.c.environment_id == row.id)
                    .order_by(version.c.number)
                )
            ).all()
            numbers = [one.number for one in versions]
            assert numbers == list(range(1, row.last_version + 1)), (row.path, numbers)
            built = {one.number: one.key for one in versions if one.state == "built"}
            assert all(key is not None for key in built.values()), row.path
            assert all(one.ended_at is not None for one in versions), row.path
            last = (
                await connection.execute(
                    select(activation.c.number, activation.c.key)
                    .where(activation.c.environment_id == row.id)
                    .order_by(activation.c.id.desc())
                    .limit(1)
                )
            ).first()
            active = (row.active_version, row.active_key)
            assert active == (tuple(last) if last else (None, None)), row.path
            assert row.active_version is None or built[row.active_version] == row.active_key
        count = await connection.execute(select(func.count()).select_from(version))
        return int(count.scalar_one())
