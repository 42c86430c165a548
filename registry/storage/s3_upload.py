"""Writing to S3: objects are complete and have the bytes that were sent.

Each request carries the MD5 of its bytes, and S3 refuses what does not match. Small files go in one
request; large ones in parts, which become an object, all at once, with a last request. A process
that is killed before that leaves parts behind that nobody sees, but that cost money:
:func:`sweep_leftovers` removes them a day later.
"""

import asyncio
import base64
import datetime
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from botocore.exceptions import ClientError

from registry.storage.s3_errors import FAILURES, code_of, is_missing, s3_errors

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")

#: What goes in one request, also the size of parts: at least 5 MiB, as S3 demands.
PART_BYTES: Final = 8 * 1024 * 1024
_MAX_PARTS: Final = 10_000
#: How many parts are in memory at once, of all uploads together.
_PARALLEL: Final = 8
#: How many small files are sent at once. Signing hundreds in a row keeps the loop busy for seconds
#: on a loaded machine, and connections that were begun before would time out meanwhile.
MAX_PUTS: Final = 32
#: How long is waited after each try to abort an upload, in seconds.
_ABORT_PAUSES: Final = (0.1, 0.5, 0.0)
#: Uploads younger than this may still be under way, on another replica.
LEFTOVER_SECONDS: Final = 24 * 3600
#: How many leftovers are removed at one start, at most.
_MAX_LEFTOVERS: Final = 1000
_MEDIA_TYPE: Final = "application/octet-stream"


class MultipartWriter:
    """Puts bytes and files into one bucket; ``threads`` read files and compute checksums."""

    def __init__(self, client: "S3Client", bucket: str, threads: ThreadPoolExecutor) -> None:
        self._client = client
        self._bucket = bucket
        self._threads = threads
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._puts = asyncio.Semaphore(MAX_PUTS)
        self._aborts: set[asyncio.Task[None]] = set()

    async def put(self, name: str, data: bytes) -> None:
        """Put ``data`` under ``name``: all of it, or nothing.

        Raises:
            StoreUnavailable: S3 does not take it, after bounded tries.
        """
        async with self._puts, s3_errors("write"):
            await self._client.put_object(
                Bucket=self._bucket,
                Key=name,
                Body=data,
                ContentMD5=await self._in_thread(lambda: _md5(data)),
                ContentType=_MEDIA_TYPE,
            )

    async def put_file(self, name: str, path: Path) -> None:
        """Put the file at ``path`` under ``name``: all of it, or nothing; the file stays.

        Raises:
            FileNotFoundError: There is no such file.
            StoreUnavailable: S3 does not take it, after bounded tries.
        """
        size = (await self._in_thread(path.stat)).st_size
        if size <= PART_BYTES:
            async with self._slots:
                await self.put(name, await self._in_thread(path.read_bytes))
            return
        async with s3_errors("write"):
            created = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=name, ContentType=_MEDIA_TYPE
            )
            upload = created["UploadId"]
            try:
                parts = await self._put_parts(name, upload, path, size)
                await self._complete(name, upload, parts, size)
            except BaseException:
                await self._abort(name, upload)
                raise

    async def close(self) -> None:
        """Wait until uploads that failed are cleaned up."""
        await asyncio.gather(*self._aborts)

    async def _put_parts(
        self, name: str, upload: str, path: Path, size: int
    ) -> "list[CompletedPartTypeDef]":
        step = max(PART_BYTES, -(-size // _MAX_PARTS))
        tasks = [
            asyncio.create_task(self._put_part(name, upload, number, path, start, step))
            for number, start in enumerate(range(0, size, step), start=1)
        ]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            # A part that arrives after the upload was aborted would stay for ever.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise

    async def _put_part(
        self, name: str, upload: str, number: int, path: Path, start: int, size: int
    ) -> "CompletedPartTypeDef":
        async with self._slots:
            data, md5 = await self._in_thread(lambda: _read_part(path, start, size))
            answer = await self._client.upload_part(
                Bucket=self._bucket,
                Key=name,
                UploadId=upload,
                PartNumber=number,
                Body=data,
                ContentMD5=md5,
            )
        return {"ETag": answer["ETag"], "PartNumber": number}

    async def _complete(
        self, name: str, upload: str, parts: "list[CompletedPartTypeDef]", size: int
    ) -> None:
        try:
            await self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as exc:
            # Said to the second try when the first one's answer was lost.
            if code_of(exc) != "NoSuchUpload" or await self._size(name) != size:
                raise

    async def _size(self, name: str) -> int | None:
        try:
            return (await self._client.head_object(Bucket=self._bucket, Key=name))["ContentLength"]
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise

    async def _abort(self, name: str, upload: str) -> None:
        """Remove the parts; goes on when the caller is cancelled, and fails quietly."""
        task = asyncio.create_task(_abort(self._client, self._bucket, name, upload))
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)
        await asyncio.shield(task)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


async def abort_leftovers(
    client: "S3Client", bucket: str, prefix: str, *, older_than_seconds: float = LEFTOVER_SECONDS
) -> int:
    """Abort a bounded number of old uploads below ``prefix``; return how many."""
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=older_than_seconds)
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"MaxItems": _MAX_LEFTOVERS}
    )
    count = 0
    async for page in pages:
        for upload in page.get("Uploads", []):
            if upload["Initiated"] < before:
                await _abort(client, bucket, upload["Key"], upload["UploadId"])
                count += 1
    return count


async def sweep_leftovers(client: "S3Client", bucket: str, prefix: str) -> None:
    """Abort old uploads if the server can; errors are only logged."""
    log = structlog.get_logger("registry.storage")
    try:
        count = await abort_leftovers(client, bucket, prefix)
    except FAILURES as exc:
        log.warning("failed to look for unfinished uploads", error=str(exc))
    else:
        if count:
            log.info("removed unfinished uploads", count=count)


async def _abort(client: "S3Client", bucket: str, name: str, upload: str) -> None:
    """Abort an upload until it is gone.

    A part whose request was broken off may still be written while the upload is aborted, and stay;
    S3's documentation asks to abort again then.
    """
    for pause in _ABORT_PAUSES:
        try:
            await client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload)
        except FAILURES as exc:
            if code_of(exc) != "NoSuchUpload":
                log = structlog.get_logger("registry.storage")
                log.warning("failed to abort upload", key=name, error=str(exc))
            return
        await asyncio.sleep(pause)


def _read_part(path: Path, start: int, size: int) -> tuple[bytes, str]:
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(size)
    return data, _md5(data)


def _md5(data: bytes) -> str:
    """Return the value of ``Content-MD5`` (against accidents, not against attackers)."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
