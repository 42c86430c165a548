from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from registry.catalog.sizes import counted_size
from registry.database import Database, tables
from tests.registry.catalog.house import House
from tests.registry.databases import BOTH, Postgres, new_url, opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    servers = Postgres()
    yield servers
    servers.close()


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> str:
    return new_url(request.param, postgres, tmp_path)


@pytest.fixture
async def database(database_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    yield House(database)
    await sizes_are_right(database)


async def sizes_are_right(database: Database) -> None:
    """Assert that what is kept with each namespace is what its rows come to, whatever was done."""
    table = tables.namespace
    async with database.reading() as connection:
        statement = select(table.c.id, table.c.slug, table.c.size_bytes).where(
            table.c.deleted_at.is_(None), table.c.size_bytes.is_not(None)
        )
        for row in (await connection.execute(statement)).all():
            counted = await counted_size(connection, row.id)
            assert row.size_bytes == counted, f"what '{row.slug}' takes"
