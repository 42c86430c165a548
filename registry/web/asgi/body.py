"""Reading the body of a request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Receive

from registry.errors import BodyTooSlow, TooLarge
from registry.web.asgi.disconnect import ClientGone

#: How long a client may send nothing.
PATIENCE_SECONDS: Final = 60.0
#: What a client has to send in a second, after that.
LEAST_BYTES_PER_SECOND: Final = 1024
#: Servers hand bodies over in pieces of 64 KiB: writing each by itself costs more than the writing.
_PIECE_BYTES: Final = 1024 * 1024


async def body_pieces(
    receive: Receive, *, patience_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[bytes]:
    """Yield the body in pieces of about 1 MiB.

    Raises:
        ClientGone: The client left before all of it had come.
        BodyTooSlow: It sent nothing, or very little, for too long.
    """
    clock = asyncio.get_running_loop().time
    waiting = bytearray()
    waited, seen = 0.0, 0
    more = True
    while more:
        if waited > patience_seconds + seen / LEAST_BYTES_PER_SECOND:
            raise BodyTooSlow(patience_seconds)
        began = clock()
        try:
            async with asyncio.timeout(patience_seconds):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow(patience_seconds) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        # What the server takes to keep a piece does not count.
        waited += clock() - began
        seen += len(message.get("body", b""))
        waiting += message.get("body", b"")
        more = message.get("more_body", False)
        if len(waiting) >= _PIECE_BYTES or (waiting and not more):
            yield bytes(waiting)
            waiting.clear()


async def read_body(receive: Receive, what: str, limit_bytes: int) -> bytes:
    """Return the whole body, at most ``limit_bytes`` of it in memory; ``what`` is for errors.

    Raises:
        TooLarge: There is more.
        ClientGone: As in :func:`body_pieces`, and so for the other errors.
    """
    data = bytearray()
    async for piece in body_pieces(receive):
        data += piece
        if len(data) > limit_bytes:
            raise TooLarge(what, limit_bytes)
    return bytes(data)
