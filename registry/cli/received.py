"""Answers of servers that may be anybody's: as large as they may be, and no larger.

What an answer takes is counted as it is unpacked, a piece at a time: 32 KB can stand for a
gigabyte, and that is one piece to whoever unpacks it at once.
"""

import zlib
from typing import Final

import httpx

#: What :func:`received` unpacks.
ENCODING: Final = "gzip"
#: Of an answer in memory: far more than any other has than those that say themselves how much.
MAX_BYTES: Final = 64 * 2**20
_PIECE_BYTES: Final = 1024 * 1024
#: The head and the sum of gzip.
_GZIP: Final = zlib.MAX_WBITS | 16


class TooLarge(Exception):
    """An answer is larger than it may be."""


async def received(reply: httpx.Response, max_bytes: int = MAX_BYTES) -> httpx.Response:
    """Return an answer with its content.

    Args:
        reply: A stream of which nothing has been read, or all.
        max_bytes: The most that its content may have.

    Raises:
        TooLarge: It has more.
        HTTPError: It broke off, or is packed in another way than was asked for.
    """
    if reply.is_stream_consumed:
        return reply
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", ENCODING, f"x-{ENCODING}"}:
        raise httpx.DecodingError(f"it is packed as {encoding[:40]}", request=reply.request)
    unpacker = zlib.decompressobj(_GZIP) if ENCODING in encoding else None
    content = bytearray()
    async for chunk in reply.aiter_raw():
        left = chunk
        while left:
            piece, left = (left, b"") if unpacker is None else _unpacked(unpacker, left, reply)
            content += piece
            if len(content) > max_bytes:
                raise TooLarge
    if unpacker is not None and content and not unpacker.eof:
        raise httpx.RemoteProtocolError("it is not whole", request=reply.request)
    # As they came: not all of them are text.
    headers = [line for line in reply.headers.raw if line[0].lower() != b"content-encoding"]
    return httpx.Response(
        reply.status_code,
        headers=headers,
        content=bytes(content),
        request=reply.request,
        history=reply.history,
    )


def _unpacked(
    unpacker: "zlib._Decompress", chunk: bytes, reply: httpx.Response
) -> tuple[bytes, bytes]:
    """Return a piece of what a chunk stands for, and what is left of the chunk."""
    try:
        piece = unpacker.decompress(chunk, _PIECE_BYTES)
    except zlib.error as exc:
        raise httpx.DecodingError(str(exc), request=reply.request) from exc
    return piece, b"" if unpacker.eof else unpacker.unconsumed_tail
