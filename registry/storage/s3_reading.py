"""Reading an object in large pieces, going on where a connection broke."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError, IncompleteReadError

from registry.storage.s3_errors import FAILURES, is_missing, s3_errors, status_of, store_error

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

CHUNK_BYTES: Final = 1024 * 1024
#: How often in a row a transfer may break without giving a single piece.
_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.1


async def read_object(
    client: "S3Client", bucket: str, name: str, start: int = 0, stop: int | None = None
) -> AsyncIterator[bytes]:
    """Yield the bytes ``start`` to ``stop`` (exclusive) of an object, about 1 MiB at a time.

    All of them are of one version of the object: one that is replaced while it is read is read to
    its end, or the reading fails.

    Raises:
        KeyError: There is no such object (raised before the first piece).
        StoreUnavailable: S3 does not answer, after bounded tries.
    """
    is_empty = stop is not None and stop <= start
    # Something is asked for in any case, to find out whether the object is there.
    response = await _get(client, bucket, name, start, start + 1 if is_empty else stop)
    if response is None:
        return
    tag, position = response["ETag"], start
    end = start if is_empty else start + response["ContentLength"]
    failures = 0
    while True:
        try:
            async with response["Body"] as body:
                while position < end:
                    piece = await _read_piece(body, min(CHUNK_BYTES, end - position))
                    position, failures = position + len(piece), 0
                    yield piece
                return
        except FAILURES as exc:
            failures += 1
            if failures == _TRIES:
                raise store_error("read", exc) from exc
        await asyncio.sleep(_PAUSE_SECONDS * 2**failures)
        response = await _get(client, bucket, name, position, end, tag)
        assert response is not None, "the version that was being read has these bytes"


async def _get(
    client: "S3Client", bucket: str, name: str, start: int, stop: int | None, tag: str = ""
) -> "GetObjectOutputTypeDef | None":
    """Return the response for a range, or ``None`` if the object ends before it."""
    last = "" if stop is None else str(stop - 1)
    async with s3_errors("read"):
        try:
            if tag:
                return await client.get_object(
                    Bucket=bucket, Key=name, Range=f"bytes={start}-{last}", IfMatch=tag
                )
            if start == 0 and stop is None:  # the only request that an empty object satisfies
                return await client.get_object(Bucket=bucket, Key=name)
            return await client.get_object(Bucket=bucket, Key=name, Range=f"bytes={start}-{last}")
        except ClientError as exc:
            if is_missing(exc):
                raise KeyError(name) from exc
            if status_of(exc) == 416 and not tag:
                return None
            raise


async def _read_piece(body: "StreamingBody", size_bytes: int) -> bytes:
    """Return exactly so many bytes; the connection gives them in pieces of its own."""
    piece = bytearray()
    while len(piece) < size_bytes:
        received = await body.read(size_bytes - len(piece))
        if not received:
            raise IncompleteReadError(actual_bytes=len(piece), expected_bytes=size_bytes)
        piece += received
    return bytes(piece)
