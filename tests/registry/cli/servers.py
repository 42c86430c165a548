"""Servers that commands are run against: real ones, and ones that answer anything."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from registry.app import create_app
from registry.cli import app
from registry.settings import Settings
from registry.web.asgi.protocol import ShortcutProtocol
from registry.wiring.services import open_services
from tests.registry.accounts import PASSWORD


@dataclass
class Served:
    """A running server."""

    host: str
    #: Method and path of each request, as they came.
    requests: list[str] = field(default_factory=list)


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Run a real server in a thread."""
    service = create_app(lambda: open_services(settings), access_log=False)
    served = Served("")

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            served.requests.append(f"{scope['method']} {scope['path']}")
        await service(scope, receive, send)

    # What the server logs would be written among what the command writes.
    with capture_logs(), running(noting) as port:
        served.host = f"127.0.0.1:{port}"
        yield served


@contextmanager
def running(service: ASGIApp, lifespan: Literal["on", "off"] = "on") -> Iterator[int]:
    config = uvicorn.Config(
        service,
        port=0,
        http=ShortcutProtocol,
        log_config=None,
        lifespan=lifespan,
        timeout_graceful_shutdown=60,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def answering(status: int, body: bytes, content_type: str = "application/json") -> Iterator[str]:
    """Run a server that answers every request alike; give its host."""
    headers = [(b"content-type", content_type.encode()), (b"location", b"/elsewhere")]

    async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with running(answer, lifespan="off") as port:
        yield f"127.0.0.1:{port}"


@dataclass
class Person:
    """Somebody at a machine of their own."""

    name: str
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
        }

    def __call__(self, *args: str, code: int | None = 0, given: str | None = None) -> Result:
        """Run a command, which ends with ``code`` if that is said, and never with a traceback."""
        result = CliRunner().invoke(app, args, env=self.environ, input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert code in {None, result.exit_code}, (result.stdout, result.stderr)
        return result

    def log_in(self, host: str) -> "Person":
        self("login", host, "--user", self.name, "--password-stdin", given=f"{PASSWORD}\n")
        return self


#: Gives somebody by name, logged in to the server of the test.
MakePerson = Callable[[str], Person]
