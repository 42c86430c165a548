"""A browser: keeps cookies, says from which page it sends forms, and follows nothing by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send


class Page(HTMLParser):
    """What a page has: the fields of its forms, its links, and whether it runs what is not ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.links: list[str] = []
        self.refresh: str | None = None
        self.has_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        is_ours = tag == "script" and found.get("src", "").startswith("/static/")
        self.has_script |= (tag == "script" and not is_ours) or any(
            name.startswith(("on", "hx-on")) for name in found
        )
        if tag == "input" and "name" in found:
            self.fields[found["name"]] = found.get("value", "")
        if tag == "a":
            self.links.append(found["href"])
        if tag == "meta" and found.get("http-equiv") == "refresh":
            self.refresh = found["content"].partition("url=")[2]


class Browser:
    """Sends what a browser sends."""

    def __init__(self, http: httpx.AsyncClient, origin: str) -> None:
        self.http = http
        self.origin = origin

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def submit(self, path: str, /, **fields: str) -> httpx.Response:
        return await self.http.post(path, data=fields, headers={"origin": self.origin})

    def cookie(self, name: str) -> str | None:
        return next((one.value for one in self.http.cookies.jar if one.name == name), None)


@asynccontextmanager
async def open_browsers(
    app: Starlette, origin: str, count: int = 1
) -> AsyncIterator[list[Browser]]:
    """Give browsers of several people, at the address ``origin``."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        browsers: list[Browser] = []
        for number in range(count):
            transport: Any = httpx.ASGITransport(with_state, client=(f"192.0.2.{number + 1}", 1))
            http = httpx.AsyncClient(transport=transport, base_url=origin)
            browsers.append(Browser(http, origin))
        yield browsers
        for browser in browsers:
            await browser.http.aclose()
