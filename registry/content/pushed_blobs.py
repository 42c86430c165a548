"""Blobs that were pushed to repositories, or mounted there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.ports import Store
from registry.content.names import RepositoryName
from registry.content.sweeping import wait_until_swept
from registry.errors import BlobInUse, BlobUnknown
from registry.storage.layout import holders_prefix, loose_key, pushed_key, repository_in


class PushedBlobs:
    """Says which repository has which blobs; :class:`registry.content.blobs.Blobs` reads them.

    A blob that no manifest has got an hour after it came is taken out again, unless it is asked for
    by HEAD, as clients do that are about to push a manifest with it.
    Every method raises :class:`builder.errors.StoreUnavailable` when the store cannot be used.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def has(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a blob may be read through a repository."""
        return await self._store.size(pushed_key(digest, repository)) is not None

    async def want(self, repository: RepositoryName, digest: Digest) -> None:
        """Keep a blob that may be read through a repository for another hour."""
        note = loose_key(digest, repository)
        if await self._store.size(note) is not None:
            await self._store.write(note, b"")

    async def holders(self, digest: Digest) -> AsyncIterator[RepositoryName]:
        """Yield the repositories through which a blob may be read."""
        prefix = holders_prefix(digest)
        async for entry in self._store.entries(prefix):
            segment, _, what = entry.key.removeprefix(prefix).partition("/")
            if what == "pushed":
                yield RepositoryName(repository_in(segment))

    async def mount(self, repository: RepositoryName, digest: Digest) -> bool:
        """Add a blob that the caller may read to a repository; false if it is gone."""
        had = await self.has(repository, digest)
        await self._claim(repository, digest)
        if await self._store.size(blob_key(digest)) is not None:
            return True
        if not had:
            await self._store.delete(pushed_key(digest, repository))
        return False

    async def keep(self, repository: RepositoryName, digest: Digest, path: Path) -> None:
        """Move the verified file at ``path`` into the store for a repository; idempotent."""
        await self._claim(repository, digest)
        size = (await asyncio.to_thread(path.stat)).st_size
        if await self._store.size(blob_key(digest)) == size:
            await asyncio.to_thread(path.unlink)
        else:
            await self._store.adopt(blob_key(digest), path)

    async def delete(self, repository: RepositoryName, digest: Digest) -> None:
        """Take a blob out of a repository; its bytes go when nobody needs them.

        Raises:
            BlobUnknown: The repository does not have it.
            BlobInUse: A manifest of the repository has it.
        """
        if not await self.has(repository, digest):
            raise BlobUnknown(f"'{repository}' has no blob {digest}")
        async for entry in self._store.entries(holders_prefix(digest, repository)):
            if entry.key != pushed_key(digest, repository):
                raise BlobInUse(
                    f"a manifest of '{repository}' has the blob {digest}: delete that first"
                )
        await self._store.write(loose_key(digest, repository), b"")
        await self._store.delete(pushed_key(digest, repository))

    async def _claim(self, repository: RepositoryName, digest: Digest) -> None:
        """Write down that a repository has a blob; no collector takes it from now on."""
        await self._store.write(loose_key(digest, repository), b"")
        await self._store.write(pushed_key(digest, repository), b"")
        await wait_until_swept(self._store, digest)
