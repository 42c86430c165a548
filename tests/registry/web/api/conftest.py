import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builder.rules.model import Rules
from registry.requests.progress import RequestProgress
from registry.requests.runner import BuildRunner, Requested
from tests.registry.asgi import Client
from tests.registry.catalog.conftest import database_url, postgres
from tests.registry.databases import opened
from tests.registry.web.api.catalog import make_site
from tests.registry.web.api.site import Site

__all__ = ["database_url", "postgres"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
async def tables(database_url: str, anyio_backend: str) -> str:
    """Return the address of a database that has its tables."""
    async with opened(database_url):
        return database_url


@pytest.fixture
def catalog_site(tmp_path: Path, tables: str) -> Site:
    """Return a site with people, over each database."""
    return make_site(tmp_path, database=tables)


@pytest.fixture
async def client(site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


class Gate:
    """Holds every build at its door until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.arrived = asyncio.Event()
        self.passed = 0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate, make = Gate(), BuildRunner.make

    async def held(
        self: BuildRunner,
        asked: Requested,
        request_progress: RequestProgress,
        *,
        renew: bool,
        rules: Rules,
    ) -> str:
        gate.arrived.set()
        await gate.open.wait()
        gate.passed += 1
        return await make(self, asked, request_progress, renew=renew, rules=rules)

    monkeypatch.setattr(BuildRunner, "make", held)
    return gate
