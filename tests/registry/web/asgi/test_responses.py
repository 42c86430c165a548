import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from starlette.types import Message, Receive, Scope, Send

from registry.web.asgi.boundary import ErrorBoundary
from registry.web.asgi.responses import StreamResponse
from registry.web.observe import Observe
from tests.registry.fakes import FakeService

pytestmark = pytest.mark.anyio


class Pieces:
    """A body that fails, or goes on for ever."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.error is not None:
            raise self.error
        return b"x"

    async def aclose(self) -> None:
        self.closed = True


class Connection:
    """A connection that refuses what is sent once the client has left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: list[Message] = []
        self.body_began = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.left.is_set():
            raise OSError("connection closed")
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.body_began.set()


def scope(house: FakeService) -> Scope:
    services = {"services": house}
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "state": services}


async def test_a_body_is_closed_when_the_client_leaves(house: FakeService) -> None:
    """As servers of ASGI 2.4 tell it: what is sent then raises OSError."""
    connection, body = Connection(), Pieces()
    sending = asyncio.create_task(
        StreamResponse(200, [], 10**9, body)(scope(house), connection.receive, connection.send)
    )
    await connection.body_began.wait()
    connection.left.set()
    await sending
    assert body.closed


@pytest.mark.parametrize("error", [OSError("disk failed"), EOFError("file ended")])
async def test_a_body_that_fails_is_closed_and_cuts_the_answer(
    house: FakeService, error: Exception
) -> None:
    connection, body = Connection(), Pieces(error)
    answer = StreamResponse(200, [], 5, body)
    app = ErrorBoundary(answer, failure=never)
    with pytest.raises(type(error)):
        await app(scope(house), connection.receive, connection.send)
    assert body.closed
    assert [message["type"] for message in connection.sent] == ["http.response.start"]


async def test_an_error_that_reaches_the_outermost_layer_is_counted_as_500(
    house: FakeService,
) -> None:
    app = Observe(failing(RuntimeError("boom")))
    connection = Connection()
    with pytest.raises(RuntimeError):
        await app(scope(house), connection.receive, connection.send)
    assert b'route="other",status="5xx"} 1.0' in house.metrics.render()


async def test_a_request_of_a_server_that_stops_is_no_error_of_the_server(
    house: FakeService,
) -> None:
    app = Observe(failing(asyncio.CancelledError()))
    connection = Connection()
    with pytest.raises(asyncio.CancelledError):
        await app(scope(house), connection.receive, connection.send)
    assert b'route="other",status="4xx"} 1.0' in house.metrics.render()


def failing(error: BaseException) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app


async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("a second answer was begun")
