"""Reading an object in large pieces, going on where a connection broke."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from registry.storage.s3_errors import FAILURES, is_missing, s3_errors, status_of

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

CHUNK_BYTES: Final = 1024 * 1024
#: How often in a row a transfer may break without giving a single piece.
_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.1


class _Body(Protocol):
    async def read(self, amt: int, /) -> bytes: ...


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
    if stop is not None and stop <= start:
        stop = start + 1  # asks for something, to find out whether the object is there
        wanted = 0
    else:
        wanted = -1
    position, end, tag, failures = start, None, "", 0
    while end is None or position < end:
        async with s3_errors("read"):
            response = await _get(client, bucket, name, _range(position, stop), tag)
        if response is None or wanted == 0:
            return
        tag = response["ETag"]
        if end is None:
            stop = end = position + response["ContentLength"]
        try:
            async with response["Body"] as body:
                while position < end:
                    piece = await _read_piece(body, min(CHUNK_BYTES, end - position))
                    position, failures = position + len(piece), 0
                    yield piece
        except FAILURES as exc:
            failures += 1
            if failures == _TRIES:
                async with s3_errors("read"):
                    raise exc
            await asyncio.sleep(_PAUSE_SECONDS * 2**failures)
