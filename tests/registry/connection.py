"""One connection to the application through uvicorn's protocol, without a network."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

SERVER_LINES = [(b"date", b"Wed, 25 Nov 2026 12:00:00 GMT"), (b"server", b"uvicorn")]


class FakeTransport(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 80)})
        self.written = b""
        #: Whether the server has said that it writes no more.
        self.has_ended = False
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        """Whether the server has left."""
        return self._closed.is_set()

    async def until_closed(self) -> None:
        """Return when the server has left."""
        async with asyncio.timeout(10):
            await self._closed.wait()

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self._closed.set()

    def abort(self) -> None:
        self._closed.set()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Connection:
    """Sends bytes and shows what comes back."""

    def __init__(
        self, kind: type[HttpToolsProtocol], app: ASGIApp, state: Mapping[str, object]
    ) -> None:
        self.server = ServerState()
        self.server.default_headers = SERVER_LINES
        config = Config(app, log_config=None, access_log=False)
        self.protocol = kind(config, self.server, cast("dict[str, Any]", dict(state)))
        self.transport = FakeTransport()
        self.protocol.connection_made(self.transport)

    @property
    def busy(self) -> int:
        """How many requests the application is answering."""
        return len(self.server.tasks)

    async def send(self, data: bytes) -> bytes:
        """Send ``data``; return what was answered when nothing is being answered any more."""
        before = len(self.transport.written)
        self.protocol.data_received(data)
        await self.rest()
        return self.transport.written[before:]

    async def rest(self) -> None:
        """Return when the application answers nothing any more."""
        while self.server.tasks:
            await asyncio.wait(set(self.server.tasks))

    def end(self) -> None:
        """Let the client leave."""
        if not self.transport.is_closed:
            self.transport.close()
        self.protocol.connection_lost(None)


def request(method: str, path: str, *lines: str, version: str = "1.1") -> bytes:
    """Return a request as it is sent, with a host and the id ``r1``."""
    return "\r\n".join(
        [
            f"{method} {path} HTTP/{version}",
            "Host: registry.test",
            "X-Request-Id: r1",
            *lines,
            "",
            "",
        ]
    ).encode("latin-1")
