"""Which encodings of an answer are undone: those that cannot make gigabytes of a few bytes."""

from typing import Final

import httpx

#: What is undone piece by piece, each at most a thousand times as long, before sizes are counted.
_BOUNDED: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


async def refuse_encodings(response: httpx.Response) -> None:
    """Refuse what was not asked for and unpacks without bound: zstd, brotli, several in a row.

    To be called with every answer before its body is read. A piece of 64 KiB of such a body would
    be unpacked to gigabytes at once, whatever its reader accepts.

    Raises:
        httpx.DecodingError: The answer is encoded in such a way.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _BOUNDED:
        await response.aclose()
        raise httpx.DecodingError(
            f"it is encoded as {encoding[:40]!r}, which was not asked for", request=response.request
        )
