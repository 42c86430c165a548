"""Blobs by digest."""

from collections.abc import AsyncIterator
from typing import Final

from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.ports import Store
from registry.content.files import OpenFile, StoredFiles, StoreLinks
from registry.errors import BlobUnknown

__all__ = ["LINKED_BYTES", "Blobs"]

#: Blobs that are no larger are read through this server: a few packets take the client less time
#: than another connection.
LINKED_BYTES: Final = 4096


class Blobs:
    """Reads blobs of a store, which were verified when they were written.

    Every method raises :class:`builder.errors.StoreUnavailable` when the store cannot be used.
    """

    def __init__(self, store: Store, links: StoreLinks | None = None) -> None:
        self._files = StoredFiles(store, links)

    async def size(self, digest: Digest) -> int:
        """Return how many bytes the blob has.

        Raises:
            BlobUnknown: It is not in the store.
        """
        size = await self._files.size(blob_key(digest))
        if size is None:
            raise _unknown(digest)
        return size

    async def link(self, digest: Digest, size_bytes: int) -> str | None:
        """Return an address of the existing blob; ``None`` if the caller has to read it."""
        if size_bytes <= LINKED_BYTES:
            return None
        return await self._files.link(blob_key(digest))

    def stream(
        self, digest: Digest, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (exclusive) in pieces of about 1 MiB.

        Raises:
            KeyError: It is not in the store (raised before the first piece).
        """
        return self._files.stream(blob_key(digest), start, stop)

    async def open(self, digest: Digest, start: int = 0, stop: int | None = None) -> OpenFile:
        """Return the same bytes, once it is certain that there are any: errors come now.

        Raises:
            BlobUnknown: It is not in the store, for example since a moment ago.
        """
        try:
            return await self._files.open(blob_key(digest), start, stop)
        except KeyError as exc:
            raise _unknown(digest) from exc


def _unknown(digest: Digest) -> BlobUnknown:
    return BlobUnknown(f"there is no blob {digest} here")
