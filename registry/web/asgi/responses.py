"""Answers: a body in memory, or one that comes in pieces.

Both send what they are, and nothing else: no compression, no header that was not asked for. To HEAD
they send the headers of the GET and no body.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.types import Message, Receive, Scope, Send

from registry.web.asgi.disconnect import ClientGone, wait_until_gone

#: Header lines, as ASGI has them: names in lower case.
RawHeaders = list[tuple[bytes, bytes]]

_JSON: Final = "application/json"

#: What a value may be: visible ASCII, with blanks inside. Servers write a value as it is, and one
#: with a line break in it would be two headers, or two answers.
_VALUE: Final = re.compile("[!-~](?:[ -~]*[!-~])?")


def header(name: str, value: str) -> tuple[bytes, bytes]:
    """Return a header line: the one way by which text gets into an answer's headers.

    What a request says is checked by whoever reads it, against a grammar that has no character
    with a meaning here. This is the last look.

    >>> header("etag", '"abc"')
    (b'etag', b'"abc"')

    Raises:
        ValueError: The value is none, and is not sent.

    Source: RFC 9110, 5.5.
    """
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{value[:100]!r} cannot be the value of the header {name!r}")
    return name.encode("ascii"), value.encode("ascii")


def quoted(text: str) -> str:
    r"""Return a parameter's value so that it cannot be anything else (RFC 9110, 5.6.4).

    >>> print(quoted('a",realm="b'))
    "a\",realm=\"b"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Body(Protocol):
    """The pieces of a body; whoever has one closes it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""
        ...

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        ...

    async def aclose(self) -> None:
        """Give up what it holds, e.g. an open file; harmless at any time, and twice."""
        ...


@dataclass(frozen=True, slots=True)
class BytesResponse:
    """A complete answer; an ASGI application. ``Content-Length`` is added."""

    status: int
    headers: RawHeaders
    body: bytes = b""

    @property
    def lines(self) -> RawHeaders:
        """All header lines, with that of the length."""
        if self.status == 304:  # RFC 9110, 8.6: there it would be the length of the 200
            return self.headers
        return [*self.headers, (b"content-length", b"%d" % len(self.body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.lines})
        body = b"" if scope["method"] == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})


def json_answer(
    status: int, content: object, headers: RawHeaders | None = None, *, media_type: str = _JSON
) -> BytesResponse:
    """Return an answer whose body is ``content`` as JSON."""
    # ASCII, so that whatever a name was made of can be encoded.
    body = json.dumps(content, separators=(",", ":")).encode("ascii")
    return BytesResponse(status, [header("content-type", media_type), *(headers or [])], body)


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """An answer whose body comes in pieces; an ASGI application.

    The caller has found out that the body exists: once the status is sent, an error can only cut
    the connection.
    """

    status: int
    headers: RawHeaders
    size_bytes: int
    #: ``None`` to send the headers alone, for HEAD.
    body: Body | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; stop reading when the client has gone."""
        headers = [*self.headers, (b"content-length", b"%d" % self.size_bytes)]
        start: Message = {
            "type": "http.response.start",
            "status": self.status,
            "headers": headers,
        }
        if self.body is None:
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        # Most servers swallow what is sent to a client that has gone: without this watcher,
        # 10 GB would be read for nobody.
        gone = asyncio.create_task(wait_until_gone(receive))
        try:
            async with aclosing(self.body) as pieces:
                with suppress(ClientGone):
                    await _send_pieces(start, pieces, send, gone)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


async def _send_pieces(start: Message, pieces: Body, send: Send, gone: asyncio.Task[None]) -> None:
    """Send a whole answer.

    Raises:
        ClientGone: Its reader left; what reading raises comes through as it is.
    """

    async def deliver(message: Message) -> None:
        try:
            await send(message)
        except OSError as exc:  # other servers tell by this that the client has gone (ASGI 2.4)
            raise ClientGone from exc

    await deliver(start)
    async for piece in pieces:
        if gone.done():
            raise ClientGone
        await deliver({"type": "http.response.body", "body": piece, "more_body": True})
        # With a fast client and a file in memory nothing above waits: others would.
        await asyncio.sleep(0)
    await deliver({"type": "http.response.body", "body": b""})
