"""A whole service with people, and a browser for each of them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from bs4 import BeautifulSoup

from registry.app import create_app
from registry.wiring.services import open_services
from tests.registry.accounts import PASSWORD, basic, still
from tests.registry.databases import opened
from tests.registry.web.api.catalog import make_site
from tests.registry.web.api.site import Site
from tests.registry.web.login.browser import Browser, open_browsers

HERE = "https://registry.example"


@dataclass
class House:
    """A service; ``root`` is its administrator, ``ada`` and ``bob`` are people."""

    site: Site
    free: list[Browser]
    logged_in: dict[str, Browser] = field(default_factory=dict)

    async def browser(self, name: str | None) -> Browser:
        """Return the browser of somebody; ``None``: of somebody who has not logged in."""
        key = name or ""
        if key not in self.logged_in:
            browser = self.free.pop()
            if name is not None:
                reply = await browser.submit("/login", name=name, password=PASSWORD)
                assert reply.status_code == 303, reply.text
            self.logged_in[key] = browser
        return self.logged_in[key]

    async def show(self, name: str | None, path: str, status: int = 200) -> BeautifulSoup:
        """Return a page as somebody sees it."""
        reply = await (await self.browser(name)).get(path)
        assert reply.status_code == status, (reply.status_code, reply.text)
        return BeautifulSoup(reply.text, "html.parser")

    async def submit(self, name: str, path: str, /, **fields: str) -> httpx.Response:
        """Send a form as somebody's browser does."""
        return await (await self.browser(name)).submit(path, **fields)

    async def ask(
        self, name: str | None, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """Ask ``/api/v1`` as somebody does by password; ``bytes`` are sent as they are."""
        browser = await self.browser(None)
        lines = {key.replace("_", "-"): value for key, value in headers.items()}
        if name is not None:
            lines["authorization"] = basic(name)
        content = body if isinstance(body, bytes) else None
        json_body = None if isinstance(body, bytes) else body
        return await browser.http.request(
            method, f"/api/v1{path}", content=content, json=json_body, headers=lines
        )


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Return a database of SQLite.

    Pages ask the API alone, which is tried on both; all of them are in ``every_page`` and in
    ``conformance/pages``, on both.
    """
    return f"sqlite:///{tmp_path}/catalog.db"


@pytest.fixture
def site(tmp_path: Path, database_url: str, settings: dict[str, Any]) -> Site:
    """Return a service that does not run yet."""
    return make_site(tmp_path, database=database_url, **settings)


@pytest.fixture
async def house(site: Site, database_url: str, anyio_backend: str) -> AsyncIterator[House]:
    """Give a running service."""
    async with opened(database_url):
        pass
    configured = site.configured()
    app = create_app(
        lambda: open_services(configured, now=site.clock), access_log=False, clock=still
    )
    async with AsyncExitStack() as stack:
        browsers = await stack.enter_async_context(open_browsers(app, HERE, 8))
        yield House(site, browsers)


@pytest.fixture
def settings() -> dict[str, Any]:
    """Return what is set of the service beside; a test overrides it."""
    return {}
