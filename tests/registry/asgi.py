"""A client that calls the application as a server would, with addresses exactly as they are given.

It is strict where servers are: one start, then bodies, as many bytes as were announced.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from starlette.applications import Starlette
from starlette.types import Message, Scope

from registry.content.manifests import Manifest
from registry.web.services import AppState, Services

MAX_REDIRECTS = 9

HeaderPairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    status: int
    #: In lower case; a header that came twice is an error of the application.
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends requests to an application whose lifespan has begun."""

    def __init__(self, app: Starlette, state: Mapping[str, object]) -> None:
        self._app = app
        self._state = state
        #: Where it is.
        self.address = "192.0.2.1"

    @property
    def services(self) -> Services:
        """What the application answers from."""
        return cast("AppState", self._state)["services"]

    async def get(self, url: str, **headers: str) -> Reply:
        return await self.request("GET", url, _pairs(headers))

    async def head(self, url: str, **headers: str) -> Reply:
        return await self.request("HEAD", url, _pairs(headers))

    async def request(
        self, method: str, url: str, headers: HeaderPairs = (), body: bytes | Sequence[bytes] = b""
    ) -> Reply:
        """Send one request; its client waits for the answer as long as it takes."""
        return await self.exchange(method, url, headers, asyncio.Event(), body=body)

    async def post(self, url: str, body: bytes | Sequence[bytes] = b"", **headers: str) -> Reply:
        return await self.request("POST", url, _pairs(headers), body)

    async def put(self, url: str, body: bytes | Sequence[bytes] = b"", **headers: str) -> Reply:
        return await self.request("PUT", url, _pairs(headers), body)

    async def patch(self, url: str, body: bytes | Sequence[bytes] = b"", **headers: str) -> Reply:
        return await self.request("PATCH", url, _pairs(headers), body)

    async def delete(self, url: str, **headers: str) -> Reply:
        return await self.request("DELETE", url, _pairs(headers))

    async def raw(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: HeaderPairs,
        body: bytes,
        *,
        is_cut: bool,
    ) -> Reply:
        """Send a request whose path is not well-formed, or whose client leaves before its end."""
        gone = asyncio.Event()
        if is_cut:
            gone.set()
        url = f"{quote(path, safe='/%:')}?{urlencode(query)}"
        return await self.exchange(method, url, headers, gone, body=[body] if is_cut else body)

    async def follow(self, method: str, url: str, headers: HeaderPairs = ()) -> tuple[Reply, int]:
        """Send a request and follow redirects as engines do; return how many there were."""
        for hops in range(MAX_REDIRECTS + 1):
            reply = await self.request(method, url, headers)
            if reply.status != 307:
                return reply, hops
            assert reply.headers["content-length"] != "0"
            url = urljoin(url, reply.headers["location"])
        raise AssertionError("stopped after 10 redirects")

    async def exchange(
        self,
        method: str,
        url: str,
        headers: HeaderPairs,
        gone: asyncio.Event,
        on_body: Callable[[bytes], None] = lambda _: None,
        body: bytes | Sequence[bytes] = b"",
    ) -> Reply:
        """Send one request whose client leaves when ``gone`` is set.

        A body in pieces never says that it has ended: the client sends them, and then nothing.
        """
        scope = self._scope(method, url, headers)
        sent: list[Message] = []
        is_whole = isinstance(body, bytes)
        requests: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": not is_whole}
            for piece in reversed([body] if isinstance(body, bytes) else body)
        ]

        async def receive() -> Message:
            if requests:
                return requests.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            on_body(message.get("body", b""))

        await self._app(scope, receive, send)
        return _reply(method, sent, is_gone=gone.is_set())

    def _scope(self, method: str, url: str, headers: HeaderPairs) -> Scope:
        parts = urlsplit(url)
        given = {name.lower() for name, _ in headers}
        lines = [*([] if "host" in given else [("host", "registry.test")]), *headers]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in lines],
            "server": ("registry.test", 80),
            "client": (self.address, 1),
            "state": dict(self._state),
        }


@asynccontextmanager
async def open_client(app: Starlette) -> AsyncIterator[Client]:
    async with app.router.lifespan_context(app) as state:
        yield Client(app, state or {})


def assert_oci_error(reply: Reply, status: int, code: str) -> str:
    """Assert that a reply is one error as the specification has it, and return its message."""
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/json"
    assert "content-encoding" not in reply.headers
    document = reply.json()
    assert set(document) == {"errors"}, document
    (error,) = document["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert error["code"] == code, document
    message = error["message"]
    assert isinstance(message, str)
    assert message
    assert "\n" not in message
    return message


def assert_serves(reply: Reply, manifest: Manifest) -> None:
    assert reply.status == 200, reply
    assert reply.body == manifest.data
    assert reply.headers["content-type"] == manifest.media_type
    assert reply.headers["docker-content-digest"] == manifest.digest
    assert reply.headers["content-length"] == str(len(manifest.data))
    assert reply.headers["etag"] == f'"{manifest.digest}"'


def _pairs(headers: Mapping[str, str]) -> HeaderPairs:
    return [(name.replace("_", "-"), value) for name, value in headers.items()]


def _reply(method: str, sent: Sequence[Message], *, is_gone: bool) -> Reply:
    if not sent:
        assert is_gone
        return Reply(0, {}, b"")
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert all(message["type"] == "http.response.body" for message in bodies)
    body = b"".join(message.get("body", b"") for message in bodies)
    lines = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
    headers = dict(lines)
    # RFC 9110, 5.3: this one alone may come twice.
    once = [name for name, _ in lines if name != "set-cookie"]
    assert len(once) == len(set(once)), lines
    if not is_gone:
        assert bodies
        assert not bodies[-1].get("more_body", False)
        if start["status"] == 304 or method == "HEAD":
            assert body == b""
        elif headers.get("content-type") not in {"text/event-stream", "application/x-ndjson"}:
            assert headers["content-length"] == str(len(body))
    return Reply(start["status"], headers, body)
