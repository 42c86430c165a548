import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive

from registry.errors import BodyTooSlow, TooLarge
from registry.web.asgi.body import body_pieces, read_body
from registry.web.asgi.disconnect import ClientGone

pytestmark = pytest.mark.anyio


def receiving(pieces: Sequence[bytes | None]) -> Receive:
    """Return what gives these pieces; after ``None`` nothing comes any more."""
    waiting = list(pieces)

    async def receive() -> Message:
        if not waiting:
            return {"type": "http.disconnect"}
        piece = waiting.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": piece != b"end"}

    return receive


async def test_small_pieces_come_together() -> None:
    pieces = [b"x" * 65_536] * 40 + [b"end"]
    found = [piece async for piece in body_pieces(receiving(pieces))]
    assert b"".join(found) == b"".join(pieces)
    assert [len(piece) for piece in found] == [2**20, 2**20, 8 * 65_536 + 3]


async def test_a_body_that_breaks_off_is_no_body() -> None:
    with pytest.raises(ClientGone):
        await read_body(receiving([b"half"]), "a manifest", 100)


async def test_a_client_that_sends_nothing_is_not_waited_for() -> None:
    with pytest.raises(BodyTooSlow, match=r"0\.01 s"):
        [p async for p in body_pieces(receiving([b"half", None]), patience_seconds=0.01)]


async def test_a_body_larger_than_allowed_is_not_read_to_its_end() -> None:
    with pytest.raises(TooLarge):
        await read_body(receiving([b"x" * 2**20, b"x" * 2**20, None]), "a manifest", 2**20)
    assert await read_body(receiving([b"x" * 97, b"end"]), "a manifest", 100) == b"x" * 97 + b"end"
