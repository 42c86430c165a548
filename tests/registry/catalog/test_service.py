"""The catalog as a server opens it, with what really builds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from registry.catalog.records import EVERYTHING, Version
from registry.catalog.services import CatalogServices
from registry.database import open_database
from registry.errors import DatabaseOutdated, DatabaseUnavailable
from registry.settings import Settings
from registry.sources.directory import parse_pointer
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import catalog_key, manifests_prefix
from registry.web.services import Services
from registry.wiring.catalog import PushedNames
from registry.wiring.database import database_url
from registry.wiring.services import open_services
from tests.registry.catalog.house import ADA
from tests.registry.databases import Postgres, opened
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@asynccontextmanager
async def server(site: Site, url: str | None = None) -> AsyncIterator[Services]:
    if url is not None:
        async with opened(url):
            pass
    settings = site.configured(**({"database": url} if url else {}))
    async with open_services(settings, now=site.clock) as services:
        yield services


def catalog_of(services: Services) -> CatalogServices:
    assert services.catalog is not None
    return services.catalog


async def ended(catalog: CatalogServices, number: int) -> Version:
    async with asyncio.timeout(60):
        while True:
            version = await catalog.versions.get("ada", "notebook", number)
            if version.has_ended:
                return version
            await asyncio.sleep(0.05)


async def test_a_specification_becomes_a_version_that_every_server_knows(
    site: Site, database_url: str
) -> None:
    async with server(site, database_url) as one, server(site, database_url) as two:
        catalog, other = catalog_of(one), catalog_of(two)
        await catalog.namespaces.create(ADA, "ada", owner="ada")
        await catalog.environments.create(ADA, "ada", "notebook")
        await catalog.versions.ask(ADA, "ada", "notebook", wish("tool"))
        version = await ended(catalog, 1)
        assert version.state == "built", version.message
        for known in (catalog.directory, other.directory):
            pointer = known.get("ada", "notebook")
            assert pointer is not None
            assert pointer.active == version.key
        assert version.request is not None
        page = await other.environments.search(EVERYTHING, package="tool")
        assert [one.path for one in page.items] == ["ada/notebook"]
        await other.versions.ask(ADA, "ada", "notebook", wish("nothing-like-it"))
        failed = await ended(catalog, 2)
        assert failed.state == "failed"
        assert "nothing-like-it" in failed.message
        await other.versions.ask(ADA, "ada", "notebook", b"{")
        assert (await ended(catalog, 3)).state == "failed"
        document = site.store / "environments/ada/notebook"
        async with asyncio.timeout(10):
            while not document.is_file() or parse_pointer(document.read_bytes()).active is None:  # noqa: ASYNC110 (nobody announces it)
                await asyncio.sleep(0.05)


async def test_a_database_lies_in_the_store_unless_it_is_set(site: Site) -> None:
    async with server(site) as services:
        await catalog_of(services).namespaces.create(ADA, "ada")
    assert (site.store / "database/pullforge.db").is_file()
    async with server(site) as services:
        assert catalog_of(services).directory.is_namespace("ada")
    assert database_url(Settings(store="s3://bucket/prefix")) is None


async def test_a_server_refuses_tables_of_another_version(site: Site, database_url: str) -> None:
    async with opened(database_url) as database, database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    settings = site.configured(database=database_url)
    with pytest.raises(DatabaseOutdated, match="pullforge database upgrade"):
        async with open_services(settings):
            pass


@pytest.mark.engine("postgresql")
async def test_a_server_starts_and_goes_on_without_its_database(
    site: Site, postgres: Postgres
) -> None:
    url = postgres.server.database()
    async with server(site, url) as services:
        catalog = catalog_of(services)
        await catalog.namespaces.create(ADA, "ada")
        await catalog.environments.create(ADA, "ada", "notebook")
        document = site.store / "environments/ada/notebook"
        while not document.is_file():  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0.05)
    postgres.server.stop()
    try:
        async with open_services(site.configured(database=url)) as services:
            catalog = catalog_of(services)
            assert catalog.directory.get("ada", "notebook") is not None
            with pytest.raises(DatabaseUnavailable):
                await catalog.namespaces.create(ADA, "bob")
            postgres.server.start()
            async with asyncio.timeout(20):
                while not catalog.directory.is_namespace("eve"):
                    try:
                        await catalog.namespaces.create(ADA, "eve")
                    except DatabaseUnavailable:
                        await asyncio.sleep(0.1)
    finally:
        postgres.server.kill()
        postgres.server.start()


async def test_what_was_pushed_is_known_by_its_name_and_its_namespace(
    store: FilesystemStore,
) -> None:
    names = PushedNames(store)
    for name in ("team/app", "alone"):
        await store.write(catalog_key(name), b"")
        await store.write(f"{manifests_prefix(name)}sha256-00", b"{}")
    await store.write(catalog_key("emptied/app"), b"")
    known = [
        "team",
        "team/app",
        "alone",
        "emptied",
        "emptied/app",
        "team/ap",
        "tea",
        "team/app/x",
        "\ud800",
        "../x",
        "",
        "A",
    ]
    assert [name for name in known if await names.has_repository(name)] == known[:3]


async def test_the_database_can_be_opened_by_two_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    async with open_database(url) as one, open_database(url) as two:
        await asyncio.gather(one.check(), two.check())
