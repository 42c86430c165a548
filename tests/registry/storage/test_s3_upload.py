import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from types_aiobotocore_s3 import S3Client

from registry.storage.s3_upload import MAX_PUTS, MultipartWriter


class CountingClient:
    """An S3 that takes a while for each request, and counts those that it has at once."""

    def __init__(self) -> None:
        self.current = self.most = self.all = 0

    async def put_object(self, **_: object) -> None:
        self.all += 1
        self.current += 1
        self.most = max(self.most, self.current)
        await asyncio.sleep(0)
        self.current -= 1


@pytest.mark.anyio
async def test_of_hundreds_of_writes_only_some_are_begun_at_once() -> None:
    client = CountingClient()
    with ThreadPoolExecutor(8) as threads:
        uploads = MultipartWriter(cast("S3Client", client), "bucket", threads)
        await asyncio.gather(*(uploads.put(f"many/{number}", b"") for number in range(500)))
    assert client.all == 500
    assert client.most <= MAX_PUTS
