from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.registry.asgi import Client
from tests.registry.databases import BOTH, Postgres, new_url, opened
from tests.registry.web.api.catalog import make_site, write_users
from tests.registry.web.api.conftest import (
    catalog_site,
    client,
    database_url,
    gate,
    postgres,
    tables,
)
from tests.registry.web.api.site import Site
from tests.registry.web.conda_store.people import opened_for_module

__all__ = ["catalog_site", "client", "database_url", "gate", "postgres", "tables"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site with people."""
    return make_site(tmp_path)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Have what outlasts a test run in one event loop."""
    return "asyncio"


@pytest.fixture(scope="module", params=BOTH)
def shared_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Site:
    """Return a site with people, over each database, for all tests of a module.

    Its builds are private.
    """
    root = tmp_path_factory.mktemp("shared")
    site = make_site(root, database=new_url(request.param, postgres, root))
    write_users(site, "ada", "bob", "cem", "dan")
    policy = root / "auth.toml"
    policy.write_text(f'private = ["env/**", "build/**"]\n{policy.read_text()}')
    return site


@pytest.fixture(scope="module")
async def shared(shared_site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    """Give a client of its service."""
    async with opened(shared_site.settings["database"]):
        pass
    async with opened_for_module(shared_site) as client:
        # On a slow machine the chores of its start have all connections for a while.
        while (await client.get("/readyz")).status != 200:
            pass
        yield client
