from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from registry.web.protocol import ShortcutProtocol
from tests.registry.connection import Connection, request

pytestmark = pytest.mark.anyio

BODY = b"from the shortcut"


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


@pytest.fixture
async def connection(anyio_backend: str) -> AsyncIterator[Connection]:
    shortcut = Shortcut()
    methods = ["GET", "POST"]
    paths = ("/short", "/long")
    app = Starlette(routes=[Route(path, shortcut.ordinary, methods=methods) for path in paths])
    connection = Connection(ShortcutProtocol, app, {"shortcut": shortcut})
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
