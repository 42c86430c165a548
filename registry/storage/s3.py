"""A store in a bucket of S3, or of a server that speaks its protocol.

Each key is an object, below a prefix; keys are the same as on disk, so that a store can be moved.

What the credentials must be allowed, on the bucket ``B`` and the prefix ``P``:

* ``s3:ListBucket`` and ``s3:ListBucketMultipartUploads`` on ``arn:aws:s3:::B`` (without the first,
  S3 answers 403 instead of 404 for what is not there);
* ``s3:GetObject``, ``s3:PutObject``, ``s3:DeleteObject`` and ``s3:AbortMultipartUpload`` on
  ``arn:aws:s3:::B/P*``.

Nothing else: no public access, no ACL, no right to make buckets.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from botocore.exceptions import ClientError

from builder.concurrency.single_flight import SingleFlight
from builder.errors import StoreUnavailable
from builder.fetch.saving import save_blob
from builder.oci.digest import Digest, algorithm_of, hex_of
from builder.ports import StoreEntry
from builder.system_errors import disk_errors
from registry.storage.content_addressed import digest_of_key
from registry.storage.keys import checked_key, checked_prefix, is_key
from registry.storage.local_copies import LocalCopies
from registry.storage.location import S3Location
from registry.storage.s3_errors import PATIENCE_SECONDS, code_of, is_missing, s3_errors
from registry.storage.s3_reading import read_object
from registry.storage.s3_upload import MultipartWriter, sweep_leftovers

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")

_THREADS: Final = 8
#: How long a bucket that was there is taken to be there.
_BUCKET_SECONDS: Final = 5.0
#: After how many pages in a row with nothing new a listing is given up.
_IDLE_PAGES: Final = 100
#: Adopted files under these keys are read again at once, so that they stay as local copies.
_READ_SOON: Final = "packages/"


class S3Store:
    """Keeps bytes in a bucket; implements :class:`builder.ports.Store`.

    Any number of stores, in any number of processes, may use the same place. What was written is
    seen at once and whole. A request that fails is tried four times in all, with growing pauses;
    a transfer that breaks goes on where it broke. Then, and at any time S3 refuses, every method
    raises :class:`builder.errors.StoreUnavailable`, and nothing is left half written. Any method
    may be cancelled.
    """

    def __init__(self, client: "S3Client", location: S3Location, copies: LocalCopies) -> None:
        """Make the store for an open client; callers use :func:`open_s3_store`."""
        self._client = client
        self._bucket = location.bucket
        self._prefix = location.prefix
        self._copies = copies
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._uploads = MultipartWriter(client, location.bucket, self._threads)
        self._flights: SingleFlight[Path | None] = SingleFlight()
        self._bucket_seen = float("-inf")

    async def close(self) -> None:
        """Cancel running operations and wait for their cleanup; idempotent."""
        await self._flights.close()
        await self._uploads.close()
        self._threads.shutdown()

    async def check_bucket(self) -> None:
        """Return if the bucket is there and may be used.

        Raises:
            StoreUnavailable: It is not.
        """
        now = asyncio.get_running_loop().time()
        if now - self._bucket_seen < _BUCKET_SECONDS:
            return
        async with s3_errors("find bucket", PATIENCE_SECONDS):
            try:
                # Not HEAD, whose answers do not say what is wrong: listing is needed anyway.
                await self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1
                )
            except ClientError as exc:
                if code_of(exc) == "NoSuchBucket":
                    raise StoreUnavailable(
                        f"there is no bucket '{self._bucket}' for the store; its administrator has"
                        " to make it, or to correct PULLFORGE_STORE"
                    ) from exc
                raise
        self._bucket_seen = now

    async def size(self, key: str) -> int | None:
        """Return how many bytes are under ``key``, or ``None`` when there is nothing."""
        name = self._name(key)
        try:
            async with s3_errors("size", PATIENCE_SECONDS):
                found = await self._head(name)
        except KeyError:
            await self.check_bucket()  # to HEAD, S3 answers the same when the bucket is gone
            return None
        return found

    async def read(self, key: str) -> bytes | None:
        """Return all bytes under ``key``, or ``None``."""
        try:
            return b"".join([piece async for piece in self.stream(key)])
        except KeyError:
            return None

    async def stream(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop``; those of the moment it began, even if replaced.

        Raises:
            KeyError: Nothing is under ``key``.
        """
        async for piece in read_object(self._client, self._bucket, self._name(key), start, stop):
            yield piece

    async def write(self, key: str, data: bytes) -> None:
        """Put ``data`` under ``key``, replacing what was there. Idempotent."""
        await self._uploads.put(self._name(key), data)

    async def adopt(self, key: str, path: Path) -> None:
        """Put the file at ``path`` under ``key``, if it was not yet; ``path`` is gone afterwards.

        Raises:
            FileNotFoundError: There is no file at ``path``, and nothing under ``key``.
        """
        name = self._name(key)
        try:
            await self._uploads.put_file(name, path)
        except FileNotFoundError:
            if await self.size(key) is None:
                raise
            return
        await self._run(lambda: self._dispose(key, path))

    async def local_path(self, key: str, scratch: Path) -> Path | None:
        """Return a local copy of what is under ``key``, or ``None``; made once however many ask.

        It stays for an hour at least after it was last asked for. Copies of content-addressed keys
        are used again, and verified when they are made.

        Raises:
            StoreUnavailable: There are other bytes under ``key`` than it says; or as always.
        """
        del scratch  # copies outlive the call, and have a directory of their own
        name, digest = self._name(key), digest_of_key(key)
        kept = await self._run(lambda: self._copies.find(hex_of(digest))) if digest else None
        return kept or await self._flights.run(key, lambda: self._fetch(name, digest))

    async def delete(self, key: str) -> None:
        """Remove ``key`` if it exists."""
        name = self._name(key)
        async with s3_errors("delete", PATIENCE_SECONDS):
            try:
                await self._client.delete_object(Bucket=self._bucket, Key=name)
            except ClientError as exc:
                if not is_missing(exc):
                    raise

    async def entries(self, prefix: str, after: str = "") -> AsyncIterator[StoreEntry]:
        """Yield what there is under keys that start with ``prefix`` and sort after ``after``."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._prefix + checked_prefix(prefix),
            StartAfter=self._prefix + after if after else "",
        )
        pages_left, last, idle = aiter(pages), "", 0
        while True:
            async with s3_errors("list"):
                page = await anext(pages_left, None)
            if page is None:
                return
            names = page.get("Contents", [])
            idle = 0 if names and names[-1]["Key"] != last else idle + 1
            if idle == _IDLE_PAGES:
                raise StoreUnavailable(
                    "the store's lists have no end: its administrator has to look"
                )
            for found in names:
                last = found["Key"]
                key = last.removeprefix(self._prefix)
                # Others may keep things in the bucket too.
                if last.startswith(self._prefix) and is_key(key):
                    yield StoreEntry(key, found["Size"], found["LastModified"].timestamp())

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    async def _head(self, name: str) -> int:
        try:
            return (await self._client.head_object(Bucket=self._bucket, Key=name))["ContentLength"]
        except ClientError as exc:
            if is_missing(exc):
                raise KeyError(name) from exc
            raise

    async def _fetch(self, name: str, digest: Digest | None) -> Path | None:
        """Copy an object into the directory of copies."""
        path = self._copies.new_path()
        try:
            pieces = read_object(self._client, self._bucket, name)
            algorithm = algorithm_of(digest) if digest is not None else "sha256"
            found = await save_blob(pieces, path, self._threads, algorithm)
        except KeyError:
            return None
        if digest is None:
            return path
        if found != digest:
            path.unlink()
            raise StoreUnavailable(
                f"the store has other bytes than those of {digest}: its administrator"
                " has to delete them, so that they are made again"
            )
        return await self._run(lambda: self._copies.keep(hex_of(digest), path))

    def _dispose(self, key: str, path: Path) -> None:
        """Move an adopted file to the copies, or delete it."""
        digest = digest_of_key(key) if key.startswith(_READ_SOON) else None
        if digest is not None:
            try:
                self._copies.keep(hex_of(digest), path)
            except OSError:  # on another disk, for example
                path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)

    async def _run(self, function: Callable[[], T]) -> T:
        with disk_errors():
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)


@asynccontextmanager
async def open_s3_store(
    client: "S3Client", location: S3Location, copies: LocalCopies
) -> AsyncIterator[S3Store]:
    """Give a store; parts that killed processes left are removed in the background meanwhile.

    Raises:
        StoreUnavailable: The bucket does not exist, or cannot be used.
    """
    store = S3Store(client, location, copies)
    try:
        await store.check_bucket()
        sweep = asyncio.create_task(sweep_leftovers(client, location.bucket, location.prefix))
        try:
            yield store
        finally:
            sweep.cancel()
            await asyncio.wait({sweep})
    finally:
        await store.close()
