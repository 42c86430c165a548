"""Servers are killed at any moment of what they do; afterwards everything fits together."""

import asyncio
import random
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from registry.catalog.comparing import compare
from registry.catalog.outbox import OutboxWriter
from registry.database import Database, tables
from registry.sources.directory import dump_pointer
from registry.storage.filesystem import FilesystemStore
from tests.registry.catalog.house import House, stop

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def run_and_kill(url: str, directory: Path, seed: int, changes: int, seconds: float) -> None:
    """Have a server make some changes, and kill it in the midst of the next ones."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.registry.catalog.killed", url, str(directory), str(seed)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        for _ in range(changes):
            assert await process.stdout.readline() == b"changed\n"
        await asyncio.sleep(seconds)
    finally:
        process.kill()
        await process.wait()


async def require_sense(database: Database) -> None:
    """Look whether what the tables say fits together."""
    environment, version = tables.environment, tables.version
    async with database.reading(is_snapshot=True) as connection:
        for row in (await connection.execute(select(environment))).all():
            numbers = await connection.execute(
                select(version.c.number)
                .where(version.c.environment_id == row.id)
                .order_by(version.c.number)
            )
            assert list(numbers.scalars()) == list(range(1, row.last_version + 1))
            if row.active_version is not None:
                active = await connection.execute(
                    select(version.c.state, version.c.key).where(
                        version.c.environment_id == row.id, version.c.number == row.active_version
                    )
                )
                assert active.one() == ("built", row.active_key)
        opened = select(func.count()).select_from(version).where(tables.OPEN)
        assert (await connection.execute(opened)).scalar_one() == 0


async def test_database_and_store_agree_after_kills(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    choose = random.Random(7)
    directory = tmp_path / "store"
    for turn in range(5):
        async with asyncio.TaskGroup() as group:  # two servers at once
            for one in range(2):
                changes, seconds = choose.randrange(1, 10), choose.uniform(0, 0.2)
                seed = 2 * turn + one
                group.create_task(run_and_kill(database_url, directory, seed, changes, seconds))
    store = FilesystemStore(directory)
    for table in (tables.version, tables.outbox):  # as if the leases had run out
        async with database.writing() as connection:
            await connection.execute(update(table).values(claimed_until=None))
    house = House(database, "last")
    running = asyncio.create_task(house.runner.run())
    async with asyncio.timeout(60):
        while await _is_open(database):  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0.1)
    await stop(running)
    await require_sense(database)
    writer = OutboxWriter(database, store, dump_pointer)
    while await writer.write():
        pass
    assert await compare(database, store, dump_pointer) == 0
    other = House(database, "another")
    await other.follower.start()
    await house.follower.start()
    assert other.memory.pointers == house.memory.pointers
    async with database.reading() as connection:
        done = select(func.count()).select_from(tables.event)
        assert (await connection.execute(done)).scalar_one() > 20
    store.close()


async def _is_open(database: Database) -> bool:
    async with database.reading() as connection:
        statement = select(tables.version.c.id).where(tables.OPEN).limit(1)
        return (await connection.execute(statement)).first() is not None
