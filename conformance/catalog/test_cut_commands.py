"""``pullforge database upgrade`` and ``import`` that are killed leave the old or the new."""

import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import create_async_engine

from conformance.clients.engines.program import run
from conformance.clients.server import command, settings_environment
from conformance.postgres import PostgresServer
from registry.database import Database, open_database
from registry.database.engine import parse_url
from registry.database.export import export_lines
from registry.database.migrations.versions import HEAD
from tests.registry.catalog.many import fill

#: Of each command, over each database.
KILLS: Final = 12
#: Rows that take a second or so to be read.
_ENVIRONMENTS: Final = 500


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Start PostgreSQL for the module."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return which database."""
    name: str = request.param
    return name


def new_url(kind: str, postgres: PostgresServer, directory: Path, number: int) -> str:
    """Return the address of an empty database."""
    if kind == "postgresql":
        return postgres.database()
    home = directory / str(number)
    home.mkdir(parents=True)
    return f"sqlite:///{home}/pullforge.db"


def test_an_upgrade_that_is_killed_leaves_no_tables_or_all(
    kind: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    """The next one makes them."""
    whole = seconds_of(new_url(kind, postgres, tmp_path, -1), "database", "upgrade")
    chance = Random(1)
    outcomes: Counter[str] = Counter()
    for number in range(KILLS):
        url = new_url(kind, postgres, tmp_path, number)
        kill(url, chance.uniform(0.6, 1.0) * whole, "database", "upgrade")
        left = asyncio.run(tables_of(url))
        revision = asyncio.run(revision_of(url))
        assert (revision is None) == (left == 0), (revision, left)
        assert revision in {None, HEAD}
        outcomes["new" if revision else "old"] += 1
        seconds_of(url, "database", "upgrade")
        assert asyncio.run(revision_of(url)) == HEAD
    print(f"\n{kind}: {dict(outcomes)}, {whole:.1f} s each")


def test_an_import_that_is_killed_leaves_nothing_or_all(
    kind: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    """The next one of what had nothing brings all of it."""
    file = tmp_path / "export.jsonl"
    source = new_url("sqlite", postgres, tmp_path, 1000)
    asyncio.run(write_export(source, file))
    rows = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])["end"]
    whole = seconds_of(new_url(kind, postgres, tmp_path, -1), "database", "import", str(file))
    chance = Random(2)
    outcomes: Counter[str] = Counter()
    for number in range(KILLS):
        url = new_url(kind, postgres, tmp_path, number)
        kill(url, chance.uniform(0.3, 1.1) * whole, "database", "import", str(file))
        there = asyncio.run(rows_of(url))
        assert there in {0, rows}, f"{there} of {rows} rows"
        outcomes["new" if there else "old"] += 1
        if not there:
            seconds_of(url, "database", "import", str(file))
            assert asyncio.run(rows_of(url)) == rows
    print(f"\n{kind}: {dict(outcomes)}, {rows} rows, {whole:.1f} s each")


def seconds_of(url: str, *arguments: str) -> float:
    """Return how long a command takes that must succeed."""
    outcome = run(command(*arguments), env=settings_environment({"database": url}))
    assert outcome.returncode == 0, outcome.output
    return outcome.seconds


def kill(url: str, seconds: float, *arguments: str) -> None:
    """Start a command and kill it after a time."""
    environment = settings_environment({"database": url})
    with subprocess.Popen(
        command(*arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(seconds)
        process.kill()


async def write_export(url: str, file: Path) -> None:
    """Write the export of a large catalog."""
    async with open_database(url) as database:
        await database.upgrade()
        await fill(database, environments=_ENVIRONMENTS, versions=3)
        with file.open("w", encoding="utf-8") as out:
            async for line in export_lines(database):
                out.write(line)


async def revision_of(url: str) -> str | None:
    """Return the revision that a database says it has."""
    async with open_database(url) as database:
        return await database.revision()


async def tables_of(url: str) -> int:
    """Return how many tables there are."""
    engine = create_async_engine(parse_url(url))
    try:
        async with engine.connect() as connection:
            return len(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    finally:
        await engine.dispose()


async def rows_of(url: str) -> int:
    """Return how many rows there are; 0: none, or no tables."""
    async with open_database(url) as database:
        if await database.revision() is None:
            return 0
        return await _rows(database)


async def _rows(database: Database) -> int:
    lines = [line async for line in export_lines(database)]
    count: int = json.loads(lines[-1])["end"]
    return count
