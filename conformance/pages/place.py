"""A real server with something on every page, and people with browsers."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal, Self

import httpx
from playwright.sync_api import Browser, BrowserContext, Page

from conformance.channel.server import ChannelServer
from conformance.clients.engines.program import run
from conformance.clients.server import Server, command
from conformance.pages.furniture import PEOPLE, SLOW, block, filled, furnish, write_channel
from tests.registry.accounts import PASSWORD
from tests.registry.web.api.catalog import write_users
from tests.registry.web.api.site import Site

#: Of a desk, and of a phone.
WIDE, NARROW = 1280, 390
#: Where readers are: not where the server is.
ZONE: Final = "America/New_York"
Scheme = Literal["light", "dark"]


class Place:
    """A server; a context manager."""

    def __init__(self, database: str | None = None, channel_url: str | None = None) -> None:
        """Prepare it.

        Args:
            database: Where its catalog is; ``None``: in SQLite beside the store.
            channel_url: Of a second channel, which it calls ``conda-forge``.
        """
        self._database = database
        self._channels = {"conda-forge": channel_url} if channel_url else {}
        self._stack = ExitStack()
        self._states: dict[str, Any] = {}
        self.fields: dict[str, str] = {}
        self.server: Server

    def __enter__(self) -> Self:
        """Start it, and fill it."""
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-pages-")))
            # This one's event loop may be Playwright's.
            thread = stack.enter_context(ThreadPoolExecutor(1))
            site = thread.submit(_write, home).result()
            channel = stack.enter_context(ChannelServer(home / "odd-channel"))
            channel.slow(f"{SLOW}-*", 3600)
            settings: dict[str, object] = {
                "channels": {"main": channel.url, **self._channels},
                "default_channels": ["main", *self._channels],
                "workers": 4,
                "sandbox": "none",
                "auth_file": site.root / "auth.toml",
                # Receivers are here.
                "webhook_networks": ["127.0.0.0/8"],
                **({"database": self._database} if self._database else {}),
            }
            self.server = Server(home / "store", channel.url, home / "base", settings)
            if self._database:  # servers make the tables of their own alone
                upgraded = run(command("database", "upgrade"), env=self.server.environment)
                assert upgraded.returncode == 0, upgraded.output
            stack.enter_context(self.server)
            self.fields = thread.submit(lambda: asyncio.run(_fill(self.server.url))).result()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._stack.close()

    def log_end(self) -> str:
        """Return the end of what the server logged."""
        return self.server.log_end()

    def url(self, template: str, **more: str) -> str:
        """Return the address of a page that there is."""
        return self.server.url + filled(template, {**self.fields, **more})

    def open(
        self,
        browser: Browser,
        name: str | None,
        *,
        width: int = WIDE,
        scheme: Scheme = "light",
        has_scripts: bool = True,
    ) -> BrowserContext:
        """Return a window of somebody's who has logged in; ``None``: of a stranger.

        It has nothing in its cache; whoever takes it closes it.
        """
        if name is not None and name not in self._states:
            self._states[name] = self._log_in(browser, name)
        return browser.new_context(
            base_url=self.server.url,
            storage_state=self._states[name] if name else None,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=has_scripts,
            timezone_id=ZONE,
            locale="en-GB",
            reduced_motion="reduce",
        )

    def _log_in(self, browser: Browser, name: str) -> Any:
        with browser.new_context(base_url=self.server.url) as context:
            page = context.new_page()
            log_in(page, name)
            return context.storage_state()


def _write(home: Path) -> Site:
    """Write what the server is made of."""
    site = Site.make(home)
    write_users(site, *PEOPLE)
    write_channel(home / "odd-channel")
    return site


def log_in(page: Page, name: str) -> None:
    """Log somebody in on the page that asks for it."""
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("button", name=name).wait_for()


async def _fill(url: str) -> dict[str, str]:
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=90) as http:

        async def ask(
            name: str | None, method: str, path: str, body: Any = None, **headers: str
        ) -> httpx.Response:
            is_file = isinstance(body, bytes)
            return await http.request(
                method,
                path,
                auth=httpx.BasicAuth(name, PASSWORD) if name else None,
                content=body if is_file else None,
                json=None if is_file else body,
                headers=headers,
            )

        fields = await furnish(ask)
        await block(ask, fields["key"])
        return fields
