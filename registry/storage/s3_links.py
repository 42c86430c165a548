"""Addresses under which clients get blobs from S3 themselves, for a while."""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lru import LRU

from registry.storage.keys import checked_key
from registry.storage.location import S3Location
from registry.storage.s3_errors import s3_errors

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

#: What stands between quotes in a header without ending them, or it.
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9._+-]{1,200}")
#: How many addresses are remembered; each takes about half a kilobyte.
_REMEMBERED: Final = 10_000


class S3Links:
    """Signs addresses; implements :class:`registry.content.files.StoreLinks`.

    An address is valid for at least half its lifetime when it is given out. Until then everyone
    gets the same one, so that a cache in front of S3 can answer the second client.

    Args:
        client: One whose endpoint is what clients can reach: its host is part of what is
            signed. No request is made with it.
        location: Bucket and prefix.
        lifetime_seconds: How long an address works after it was signed.
        now: Any clock that does not jump.
    """

    def __init__(
        self,
        client: "S3Client",
        location: S3Location,
        *,
        lifetime_seconds: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._location = location
        self._lifetime_seconds = lifetime_seconds
        self._now = now
        self._signed: LRU[tuple[str, str | None], tuple[float, str]] = LRU(_REMEMBERED)

    async def link(self, key: str, file_name: str | None = None) -> str:
        """Return an address for GET, whether or not ``key`` exists; it is saved as ``file_name``.

        Raises:
            StoreUnavailable: There are no credentials to sign with.
        """
        now = self._now()
        known = self._signed.get((key, file_name))
        if known is not None and now - known[0] < self._lifetime_seconds / 2:
            return known[1]
        named = {}
        if file_name is not None:
            if not _FILE_NAME.fullmatch(file_name):
                raise ValueError(f"{file_name[:200]!r} is not a safe name of a file")
            named["ResponseContentDisposition"] = f'attachment; filename="{file_name}"'
        async with s3_errors("sign"):
            address = await self._client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._location.bucket,
                    "Key": self._location.prefix + checked_key(key),
                    **named,
                },
                ExpiresIn=self._lifetime_seconds,
            )
        self._signed[(key, file_name)] = (now, address)
        return address
