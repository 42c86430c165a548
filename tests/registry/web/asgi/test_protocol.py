import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.server import ServerState

from registry.web.asgi import protocol
from registry.web.asgi.connections import Connections
from registry.web.asgi.protocol import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URL_BYTES, ShortcutProtocol
from tests.registry.connection import Connection, request

pytestmark = pytest.mark.anyio

BODY = b"from the shortcut"

MAX_UNREAD = 32


class Shortcut:
    """Answers ``/short``, however it is asked for; implements the port."""

    async def ordinary(self, _request: object) -> PlainTextResponse:
        return PlainTextResponse("from the application")

    def answer(
        self, method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[bytes, bytes] | None:
        if url != b"/short":
            return None
        body = b"" if method == b"HEAD" else BODY
        return b"content-length: %d\r\n" % len(BODY), body


def connect() -> Connection:
    shortcut = Shortcut()
    methods = ["GET", "POST"]
    paths = ("/short", "/long")
    app = Starlette(routes=[Route(path, shortcut.ordinary, methods=methods) for path in paths])
    return Connection(ShortcutProtocol, app, {"shortcut": shortcut})


@pytest.fixture
async def connection(anyio_backend: str) -> AsyncIterator[Connection]:
    connection = connect()
    yield connection
    connection.end()


async def test_the_shortcut_answers_before_the_application_is_asked(
    connection: Connection,
) -> None:
    answer = await connection.send(request("GET", "/short"))
    assert answer == (
        b"HTTP/1.1 200 OK\r\ndate: Wed, 25 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\n"
        b"content-length: 17\r\n\r\n" + BODY
    )
    assert connection.server.total_requests == 1


async def test_head_gets_the_same_lines_and_no_body(connection: Connection) -> None:
    whole = await connection.send(request("GET", "/short"))
    assert await connection.send(request("HEAD", "/short")) == whole.removesuffix(BODY)


async def test_what_the_shortcut_does_not_know_goes_to_the_application(
    connection: Connection,
) -> None:
    assert (await connection.send(request("GET", "/long"))).endswith(b"from the application")
    assert (await connection.send(request("GET", "/short"))).endswith(BODY)
    assert (await connection.send(request("GET", "/long"))).endswith(b"from the application")


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/short", "Content-Length: 2") + b"ab",
        request("GET", "/short", "Connection: close"),
        request("GET", "/short", version="1.0"),
        request("GET", "/short", "Connection: Upgrade", "Upgrade: h2c"),
    ],
)
async def test_what_is_out_of_the_ordinary_goes_to_the_application(
    connection: Connection, sent: bytes
) -> None:
    assert b"from the application" in await connection.send(sent)


async def test_requests_that_come_together_are_answered_in_order(connection: Connection) -> None:
    answers = await connection.send(
        request("GET", "/short")
        + request("GET", "/long")
        + request("GET", "/short")
        + request("HEAD", "/short")
    )
    places = [answers.index(b"from the shortcut"), answers.index(b"from the application")]
    assert places == sorted(places)
    # Behind one that the application answers, all wait for it.
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b"from the application") == 2


async def test_a_request_in_pieces_is_answered_when_it_is_whole(connection: Connection) -> None:
    sent = request("GET", "/short")
    for at in range(len(sent) - 1):
        assert await connection.send(sent[at : at + 1]) == b""
    assert (await connection.send(sent[-1:])).endswith(BODY)


async def test_a_client_that_does_not_read_is_waited_for(connection: Connection) -> None:
    connection.protocol.pause_writing()
    connection.protocol.data_received(request("GET", "/short"))
    assert connection.transport.written == b""
    assert connection.busy == 1
    connection.protocol.resume_writing()
    await connection.rest()
    assert connection.transport.written.endswith(b"from the application")


async def test_a_connection_that_rests_after_an_answer_is_closed_in_time(
    connection: Connection,
) -> None:
    await connection.send(request("GET", "/short"))
    timer = connection.protocol.timeout_keep_alive_task
    assert timer is not None
    await connection.send(request("GET", "/short"))
    assert timer.cancelled()
    assert connection.protocol.timeout_keep_alive_task is not None


async def test_the_date_is_that_of_the_moment(connection: Connection) -> None:
    await connection.send(request("GET", "/short"))
    connection.server.default_headers = [(b"date", b"later")]
    assert b"\r\ndate: later\r\n" in await connection.send(request("GET", "/short"))


async def test_an_application_without_a_shortcut_answers_everything(anyio_backend: str) -> None:
    app = Starlette(routes=[Route("/short", Shortcut().ordinary)])
    connection = Connection(ShortcutProtocol, app, {})
    assert (await connection.send(request("GET", "/short"))).endswith(b"from the application")
    connection.end()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"x" * MAX_URL_BYTES + b" HTTP/1.1\r\n", 414),
        (b"GET /long HTTP/1.1\r\nA: " + b"x" * MAX_HEAD_BYTES, 431),
        (b"GET /long HTTP/1.1\r\n" + b"A: x\r\n" * (MAX_HEADERS + 2), 431),
        (b"GET /long HTTP/1.1\r\n" + b"A: %s\r\n" % (b"x" * 1000) * 70, 431),
        (b"\r\n" * MAX_HEAD_BYTES, 431),
    ],
    ids=["address", "header", "headers", "all", "nothing"],
)
@pytest.mark.parametrize("piece", [7, 10**9])
async def test_a_head_that_is_too_long_is_refused_before_it_is_whole(
    head: bytes, status: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.01)
    connection = connect()
    answer = b""
    for at in range(0, len(head), piece):
        answer += await connection.send(head[at : at + piece])
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert answer.count(b"HTTP/1.1") == 1
    assert connection.transport.has_ended
    assert not connection.busy
    await connection.transport.until_closed()


async def test_a_client_that_still_sends_when_it_is_refused_gets_the_sentence(
    anyio_backend: str,
) -> None:
    """A connection closed with bytes unread is reset, and what was sent to it may be lost."""
    loop = asyncio.get_running_loop()
    state = ServerState()
    config = Config(Starlette(), log_config=None, access_log=False)
    server = await loop.create_server(lambda: ShortcutProtocol(config, state, {}), "127.0.0.1", 0)
    async with server, asyncio.timeout(30):
        for _ in range(50):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET /long HTTP/1.1\r\n" + b"A: x\r\n" * 200_000)
            await writer.drain()
            assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
            writer.close()
            await writer.wait_closed()


async def test_what_is_no_request_is_refused_after_the_answers_before_it(
    anyio_backend: str,
) -> None:
    """The last part of an answer may be empty, and come when a client has long gone on."""
    goes_on = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data", "more_body": True})
        await goes_on.wait()
        await send({"type": "http.response.body"})

    connection = Connection(ShortcutProtocol, app, {})
    connection.protocol.data_received(request("GET", "/"))
    connection.protocol.data_received(request("GET", "/") + b"no request\r\n\r\n")
    goes_on.set()
    await connection.rest()
    answers = re.findall(rb"HTTP/1.1 (\d+)", connection.transport.written)
    assert answers == [b"200", b"200", b"400"]
    assert connection.transport.has_ended
    connection.end()


async def test_an_answer_that_is_half_written_is_cut_when_its_client_is_refused(
    anyio_backend: str,
) -> None:
    begun = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.Event().wait()

    connection = Connection(ShortcutProtocol, app, {})
    connection.protocol.data_received(CHUNKED)
    await begun.wait()
    connection.protocol.data_received(b"no size\r\n")
    assert connection.transport.is_closed
    assert connection.transport.written.count(b"HTTP/1.1") == 1
    for task in connection.server.tasks:
        task.cancel()
    connection.end()
    await connection.rest()


async def test_an_address_and_headers_of_the_largest_size_are_taken(
    connection: Connection,
) -> None:
    url = b"/long?" + b"x" * (MAX_URL_BYTES - 6)
    headers = b"".join(b"A%d: %s\r\n" % (n, b"x" * 500) for n in range(MAX_HEADERS - 1))
    head = b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (url, headers)
    assert (await connection.send(head)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("data", [b"", b"GET /long HT"])
async def test_a_client_whose_request_does_not_come_is_left(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.01)
    connection = connect()
    if data:
        await connection.send(data)
    await connection.transport.until_closed()


async def test_a_client_that_sends_the_next_request_by_halves_is_left(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.01)
    await connection.send(request("GET", "/short"))
    await connection.send(b"GET /short HT")
    await connection.transport.until_closed()


async def test_a_client_that_reads_nothing_is_left(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "READ_SECONDS", 0.01)
    connection.protocol.pause_writing()
    await connection.transport.until_closed()


async def test_an_address_with_too_many_connections_gets_no_more(anyio_backend: str) -> None:
    app = Starlette()
    state = {"connections": Connections(2, 100)}
    first, second, third = (Connection(ShortcutProtocol, app, state) for _ in range(3))
    assert third.transport.written.startswith(b"HTTP/1.1 503 ")
    assert not first.transport.is_closed
    second.end()
    assert not Connection(ShortcutProtocol, app, state).transport.is_closed


def test_proxies_have_as_many_connections_as_there_may_be_in_all() -> None:
    connections = Connections(1, 5, unbounded=["10.0.0.0/8"])
    assert [connections.open(("192.0.2.1", 1)) for _ in range(2)] == [True, False]
    assert [connections.open(("10.1.2.3", 1)) for _ in range(5)] == [True] * 4 + [False]


async def test_an_address_leaves_so_many_answers_unread_and_then_loses_the_oldest(
    anyio_backend: str,
) -> None:
    app = Starlette()
    state = {"connections": Connections(1000, 1000, MAX_UNREAD)}
    slow = [Connection(ShortcutProtocol, app, state) for _ in range(MAX_UNREAD + 5)]
    for connection in slow:
        connection.protocol.pause_writing()
    assert [connection.transport.is_closed for connection in slow] == [True] * 5 + [
        False
    ] * MAX_UNREAD
    slow[5].protocol.resume_writing()
    last = Connection(ShortcutProtocol, app, state)
    last.protocol.pause_writing()
    assert not any(connection.transport.is_closed for connection in slow[5:])
    for connection in [*slow, last]:
        connection.end()


def test_all_addresses_of_a_network_of_ipv6_have_the_connections_of_one() -> None:
    connections = Connections(2, 100)
    clients = [(f"2001:db8::{number}", 1) for number in range(3)]
    assert [connections.open(client) for client in clients] == [True, True, False]
    for client in clients[:2]:
        connections.close(client)
    assert [connections.open(client) for client in clients] == [True, True, False]


CHUNKED = b"POST /long HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "after",
    [
        b"0\r\nX-T: " + b"a" * 2 * MAX_HEAD_BYTES,
        b"0\r\n" + b"X-T: %s\r\n" % (b"a" * 1000) * 100,
        b"5;" + b"a" * 2 * MAX_HEAD_BYTES,
    ],
    ids=["trailer", "trailers", "extension"],
)
async def test_what_comes_after_a_body_is_bounded_as_a_head_is(
    connection: Connection, after: bytes
) -> None:
    await connection.send(CHUNKED)
    for at in range(0, len(after), 1000):
        await connection.send(after[at : at + 1000])
    assert connection.transport.has_ended


@pytest.mark.parametrize(
    "half", [b"5\r\nhe", b"0\r\nX-T"], ids=["of a body", "of what comes after it"]
)
async def test_a_client_that_goes_on_by_halves_after_its_answer_is_left(
    connection: Connection, half: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.01)
    assert (await connection.send(CHUNKED)).startswith(b"HTTP/1.1 200")
    await connection.send(half)
    await connection.transport.until_closed()
