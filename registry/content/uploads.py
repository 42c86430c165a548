"""Uploads of blobs, which any server of the store can continue.

::

    uploads/<id>/upload.json       {"repository": …}
    uploads/<id>/parts/<start>     a chunk; its place in the blob, in 20 digits

A chunk is received into a file, and becomes part of the upload when all of it is there. At the end
the parts are joined and the digest is verified; a blob that came at once is verified as it comes.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.fetch.saving import save_blob
from builder.oci.digest import Digest, algorithm_of
from builder.ports import Store, StoreEntry
from builder.system_errors import disk_errors
from registry.content.names import RepositoryName
from registry.content.pushed_blobs import PushedBlobs
from registry.errors import (
    ChunkOutOfOrder,
    DigestMismatch,
    TooLarge,
    UploadInvalid,
    UploadUnknown,
)
from registry.storage.layout import upload_prefix

_ID: Final = re.compile(r"[0-9a-f]{32}")
_THREADS: Final = 4
#: More chunks than a client that means well sends.
MAX_PARTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a request brings for a blob."""

    body: AsyncIterator[bytes]
    #: Where it begins, as the client says; ``None``: where the upload ends.
    start: int | None = None
    #: How long it is, as the client says; ``None``: as long as it comes.
    size_bytes: int | None = None


class Uploads:
    """Receives blobs of at most ``max_blob_bytes``; those under way are in ``scratch``.

    Every method raises :class:`builder.errors.StoreUnavailable` when the store cannot be used; the
    upload is unchanged then, and the request can be repeated.
    """

    def __init__(
        self, store: Store, blobs: PushedBlobs, scratch: Path, *, max_blob_bytes: int
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._scratch = scratch
        self._max_bytes = max_blob_bytes
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="upload")

    def close(self) -> None:
        """Wait for running writes of files."""
        self._threads.shutdown()

    async def start(self, repository: RepositoryName) -> str:
        """Return the id of a new, empty upload."""
        upload = secrets.token_hex(16)
        state = json.dumps({"repository": repository}).encode()
        await self._store.write(_state_key(upload), state)
        return upload

    async def size(self, repository: RepositoryName, upload: str) -> int:
        """Return how many bytes an upload has.

        Raises:
            UploadUnknown: The repository has none with that id.
        """
        return _end_of(await self._parts(repository, upload))

    async def append(self, repository: RepositoryName, upload: str, chunk: Chunk) -> int:
        """Add a chunk at the end and return how many bytes the upload has now.

        All of the chunk is added, or nothing.

        Raises:
            UploadUnknown: The repository has none with that id.
            ChunkOutOfOrder: It does not begin where the upload ends.
            UploadInvalid: It is not as long as the client said.
            TooLarge: The blob has become too large.
        """
        parts = await self._parts(repository, upload)
        start = _end_of(parts)
        self._require_fit(parts, chunk)
        async with self._received(chunk, start) as (path, size_bytes, _):
            await self._add(upload, start, path, size_bytes)
        return start + size_bytes

    async def finish(
        self, repository: RepositoryName, upload: str, digest: Digest, chunk: Chunk
    ) -> None:
        """Make a blob of the upload and one last chunk, which may be empty.

        Raises:
            DigestMismatch: It has another digest; the upload is gone then.
            UploadUnknown: As in :meth:`append`, and so for the other errors.
        """
        parts = await self._parts(repository, upload)
        start = _end_of(parts)
        self._require_fit(parts, chunk)
        async with self._received(chunk, start, digest) as (path, size_bytes, found):
            if start == 0:
                await self._keep(repository, digest, found, path, upload)
                return
            if size_bytes:
                await self._add(upload, start, path, size_bytes)
        async with self._joined(await self._parts(repository, upload), digest) as (path, found):
            await self._keep(repository, digest, found, path, upload)

    async def put(self, repository: RepositoryName, digest: Digest, chunk: Chunk) -> None:
        """Take a whole blob at once.

        Raises:
            DigestMismatch: It has another digest.
            UploadInvalid: It is not as long as the client said.
            TooLarge: It is too large.
        """
        self._require_fit([], chunk)
        async with self._received(chunk, 0, digest) as (path, _, found):
            await self._keep(repository, digest, found, path)

    async def cancel(self, repository: RepositoryName, upload: str) -> None:
        """Forget an upload.

        Raises:
            UploadUnknown: The repository has none with that id.
        """
        await self._parts(repository, upload)
        await self._remove(upload)

    async def _parts(self, repository: RepositoryName, upload: str) -> list[StoreEntry]:
        """Return the chunks of an upload, in order."""
        data = await self._store.read(_state_key(upload)) if _ID.fullmatch(upload) else None
        if data is None or json.loads(data)["repository"] != repository:
            raise UploadUnknown(f"'{repository}' has no upload of that id: begin a new one")
        return [entry async for entry in self._store.entries(_parts_prefix(upload))]

    def _require_fit(self, parts: list[StoreEntry], chunk: Chunk) -> None:
        start = _end_of(parts)
        if chunk.start is not None and chunk.start != start:
            raise ChunkOutOfOrder(start)
        if len(parts) >= MAX_PARTS:
            raise UploadInvalid(f"an upload has at most {MAX_PARTS} chunks: send larger ones")
        if chunk.size_bytes is not None and start + chunk.size_bytes > self._max_bytes:
            raise TooLarge("a blob", self._max_bytes)

    @asynccontextmanager
    async def _received(
        self, chunk: Chunk, start: int, digest: Digest | None = None
    ) -> AsyncIterator[tuple[Path, int, Digest]]:
        """Give the file that a chunk was received into, its size and its digest."""
        path = self._scratch / f"upload-{secrets.token_hex(8)}"
        size_bytes = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size_bytes
            async for piece in chunk.body:
                size_bytes += len(piece)
                if start + size_bytes > self._max_bytes:
                    raise TooLarge("a blob", self._max_bytes)
                yield piece

        try:
            algorithm = algorithm_of(digest) if digest else "sha256"
            found = await save_blob(counted(), path, self._threads, algorithm)
            if chunk.size_bytes not in {None, size_bytes}:
                raise UploadInvalid(
                    f"{size_bytes} bytes came instead of {chunk.size_bytes}: send it again"
                )
            yield path, size_bytes, found
        finally:
            path.unlink(missing_ok=True)

    async def _add(self, upload: str, start: int, path: Path, size_bytes: int) -> None:
        if size_bytes:
            await self._store.adopt(f"{_parts_prefix(upload)}{start:020}", path)

    @asynccontextmanager
    async def _joined(
        self, parts: list[StoreEntry], digest: Digest
    ) -> AsyncIterator[tuple[Path, Digest]]:
        """Give a file with all parts, and its digest."""
        path = self._scratch / f"upload-{secrets.token_hex(8)}"

        async def pieces() -> AsyncIterator[bytes]:
            for part in parts:
                async for piece in self._store.stream(part.key):
                    yield piece

        try:
            with disk_errors():
                found = await save_blob(pieces(), path, self._threads, algorithm_of(digest))
            yield path, found
        except KeyError as exc:  # cancelled, or finished by another request
            raise UploadUnknown("the upload is gone: begin a new one") from exc
        finally:
            path.unlink(missing_ok=True)

    async def _keep(
        self,
        repository: RepositoryName,
        digest: Digest,
        found: Digest,
        path: Path,
        upload: str | None = None,
    ) -> None:
        """Keep a file if its digest is right; the upload is over in any case."""
        if found == digest:
            await self._blobs.keep(repository, digest, path)
        if upload is not None:
            await self._remove(upload)
        if found != digest:
            raise DigestMismatch(digest, found)

    async def _remove(self, upload: str) -> None:
        # The state goes last: what is interrupted can be repeated.
        async for entry in self._store.entries(_parts_prefix(upload)):
            await self._store.delete(entry.key)
        await self._store.delete(_state_key(upload))


def _state_key(upload: str) -> str:
    return f"{upload_prefix(upload)}upload.json"


def _parts_prefix(upload: str) -> str:
    return f"{upload_prefix(upload)}parts/"


def _end_of(parts: list[StoreEntry]) -> int:
    """Return where the last of the parts ends."""
    return sum(part.size_bytes for part in parts)
