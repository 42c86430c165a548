import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Receive, Scope, Send

from registry.web.asgi.event_stream import EventStreamResponse
from registry.web.asgi.protocol import ShortcutProtocol
from tests.registry.connection import Connection, request

pytestmark = pytest.mark.anyio

LAST_CHUNK = b"0\r\n\r\n"


class Events:
    """Something happens once, and then nothing for ever, or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.waiting = asyncio.Event()
        self.closed = False
        self._error = error

    async def follow(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: one\n\n"
            self.waiting.set()
            if self._error is not None:
                raise self._error
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await EventStreamResponse(self.follow())(scope, receive, send)


async def test_a_stream_ends_at_once_when_its_client_leaves(anyio_backend: str) -> None:
    events, before = Events(), asyncio.all_tasks()
    connection = Connection(ShortcutProtocol, events, {"stopping": asyncio.Event()})
    connection.protocol.data_received(request("GET", "/"))
    await events.waiting.wait()
    assert b"data: one" in connection.transport.written
    connection.end()
    async with asyncio.timeout(5):
        await connection.rest()
    assert events.closed
    assert asyncio.all_tasks() == before


async def test_a_stream_ends_whole_when_the_server_stops(anyio_backend: str) -> None:
    events = Events()
    connection = Connection(ShortcutProtocol, events, {"stopping": asyncio.Event()})
    connection.protocol.data_received(request("GET", "/"))
    await events.waiting.wait()
    connection.protocol.shutdown()
    async with asyncio.timeout(5):
        await connection.rest()
        await connection.transport.until_closed()
    assert connection.transport.written.endswith(LAST_CHUNK)
    assert events.closed
    connection.end()


async def test_a_stream_that_begins_when_the_server_stops_ends(anyio_backend: str) -> None:
    stopping = asyncio.Event()
    stopping.set()
    connection = Connection(ShortcutProtocol, Events(), {"stopping": stopping})
    assert (await connection.send(request("GET", "/"))).endswith(LAST_CHUNK)
    connection.end()


async def test_a_server_that_does_not_tell_when_it_stops_streams_too(anyio_backend: str) -> None:
    events = Events()
    connection = Connection(ShortcutProtocol, events, {})
    connection.protocol.data_received(request("GET", "/"))
    await events.waiting.wait()
    connection.protocol.shutdown()
    assert not events.closed
    connection.end()
    await connection.rest()
    assert events.closed


async def test_head_begins_no_events(anyio_backend: str) -> None:
    events = Events()
    connection = Connection(ShortcutProtocol, events, {})
    answer = await connection.send(request("HEAD", "/"))
    assert b"content-type: text/event-stream" in answer
    assert not events.waiting.is_set()
    connection.end()


async def test_events_that_fail_cut_the_answer(anyio_backend: str) -> None:
    events, left = Events(RuntimeError("boom")), asyncio.Event()
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="boom"):
        await events({"type": "http", "method": "GET"}, receive, send)
    assert len(sent) == 2
    assert events.closed


async def test_a_server_that_raises_for_a_client_that_has_gone_is_understood(
    anyio_backend: str,
) -> None:
    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        if message.get("more_body"):
            raise OSError("connection closed")

    events = Events()
    async with asyncio.timeout(5):
        await events({"type": "http", "method": "GET"}, receive, send)  # type: ignore[arg-type]  # (any message)
    assert events.closed
