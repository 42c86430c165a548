from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from registry.database import Database
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
async def house(database: Database) -> House:
    return House(database)
