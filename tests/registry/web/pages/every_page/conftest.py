"""A whole service with something on every page, which all tests here share."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.channel.server import ChannelServer
from conformance.pages.furniture import PEOPLE, SLOW, block, filled, furnish, write_channel
from registry.app import create_app
from registry.web.pages.routes import ADDRESSES, Page
from registry.wiring.services import open_services
from tests.registry.accounts import still
from tests.registry.catalog.conftest import postgres
from tests.registry.databases import BOTH, Postgres, new_url, opened
from tests.registry.web.api.catalog import write_users
from tests.registry.web.api.site import Site
from tests.registry.web.login.browser import open_browsers
from tests.registry.web.pages.conftest import HERE, House

__all__ = ["postgres"]

#: Who asks: ``None`` has not logged in, ``bob`` has no role anywhere.
READERS: Final = (None, *(name for name in PEOPLE if name != "ada"), "root")

#: The first test also waits for everything to be made that pages show.
_TIMEOUT_SECONDS: Final = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory time: each asks for every page as everybody."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


@dataclass
class Furnished:
    """A service that tests share, and what stands in the place of each field of an address."""

    house: House
    fields: dict[str, str]

    def path(self, template: str) -> str:
        """Return the address of a page, or of the API, that there is."""
        return filled(template, self.fields)

    def pages(self, method: str = "GET") -> dict[str, Page]:
        """Return the pages that answer a method, by their address."""
        return {
            self.path(template): page
            for template, page in ADDRESSES.items()
            if method in page.methods
        }


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Have what outlasts a test run in one event loop."""
    return "asyncio"


@pytest.fixture(scope="session", params=BOTH)
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Site:
    """Return a service with people, and a channel over which to build."""
    root = tmp_path_factory.mktemp("furnished")
    site = Site.make(root, database=new_url(request.param, postgres, root), workers=2)
    write_users(site, *PEOPLE)
    write_channel(root / "odd-channel")
    return site


@pytest.fixture(scope="session")
def slow_channel(bare: Site) -> Iterator[ChannelServer]:
    """Serve the channel, of which one package never comes."""
    with ChannelServer(bare.root / "odd-channel") as channel:
        channel.slow(f"{SLOW}-*", 3600)
        yield channel


@pytest.fixture(scope="session")
async def furnished(
    bare: Site, slow_channel: ChannelServer, anyio_backend: str
) -> AsyncIterator[Furnished]:
    """Give a running service in which a version is being made."""
    async with opened(bare.settings["database"]):
        pass
    configured = bare.configured(channels={"main": slow_channel.url})
    app = create_app(
        lambda: open_services(configured, now=bare.clock), access_log=False, clock=still
    )
    async with AsyncExitStack() as stack:
        browsers = await stack.enter_async_context(open_browsers(app, HERE, len(READERS) + 2))
        house = House(bare, browsers)
        fields = await furnish(house.ask)
        await block(house.ask, fields["key"])
        # Before anything is compared: to log in is a change, too.
        for name in READERS:
            await house.browser(name)
        yield Furnished(house, fields)
