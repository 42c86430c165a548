"""A service that answers under several names, as the real ones do, between `with` and its end.

By itself each of its hosts has a port of the loopback interface, without TLS: that needs no rights,
and to a client they are different hosts. With a `Placement` they have their real names and TLS.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import uvicorn
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that was answered."""

    host: str
    method: str
    #: With its query.
    path: str
    headers: Headers
    status: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where hosts that keep their real names listen, on port 443."""

    #: Host → address of the loopback interface, e.g. `127.0.1.1`.
    addresses: Mapping[str, str]
    #: The certificate of all hosts with its key, in PEM.
    certificate: Path


class LookAlike:
    """A server that behaves as a real one is known to; subclasses say how.

    Args:
        placement: Where the hosts listen; `None` for free ports without TLS.
    """

    #: The hosts by their real names; the first is the one that clients are told.
    HOSTS: ClassVar[tuple[str, ...]]

    def __init__(self, placement: Placement | None = None) -> None:
        self._placement = placement
        self._hosts: dict[tuple[str, int], str] = {}
        self._listeners: list[socket.socket] = []
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        #: Every request since the start, oldest first.
        self.seen: list[Seen] = []

    async def answer(self, host: str, request: Request) -> Response:
        """Return the answer of one of the hosts."""
        raise NotImplementedError

    def address(self, host: str) -> str:
        """Return the address of a host, e.g. `https://files.pythonhosted.org`, without a slash."""
        if self._placement is not None:
            return f"https://{host}"
        ip, port = next(place for place, name in self._hosts.items() if name == host)
        return f"http://{ip}:{port}"

    def asked(self, host: str) -> list[str]:
        """Return method and path of all requests to a host, e.g. `GET /simple/six/`."""
        return [f"{seen.method} {seen.path}" for seen in self.seen if seen.host == host]

    def __enter__(self) -> Self:
        placement = self._placement
        for host in self.HOSTS:
            place = (placement.addresses[host], 443) if placement else ("127.0.0.1", 0)
            listener = socket.create_server(place, backlog=1024)
            self._listeners.append(listener)
            self._hosts[listener.getsockname()] = host
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            backlog=1024,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_keep_alive=60,
            ssl_certfile=placement.certificate if placement else None,
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": self._listeners}, name=self.HOSTS[0], daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError(f"the look-alike of {self.HOSTS[0]} did not start")
            time.sleep(0.001)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
        for listener in self._listeners:
            listener.close()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        host = self._hosts[tuple(scope["server"])]
        if "user-agent" in request.headers:
            response = await self.answer(host, request)
        else:
            # Cloudflare and the mirror of Tsinghua refuse these (tuna/issues#2267).
            response = Response("error code: 1010", 403)
        query = f"?{request.url.query}" if request.url.query else ""
        path = scope["raw_path"].decode() + query
        self.seen.append(Seen(host, request.method, path, request.headers, response.status_code))
        await response(scope, receive, send)
