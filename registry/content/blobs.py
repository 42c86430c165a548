"""Blobs by digest."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Protocol, Self

from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.ports import Store
from registry.errors import BlobUnknown

__all__ = ["LINKED_BYTES", "BlobLinks", "Blobs"]

#: Blobs that are no larger are read through this server: a few packets take the client less time
#: than another connection.
LINKED_BYTES: Final = 4096


class BlobLinks(Protocol):
    """Gives addresses under which clients can read a store without this server."""

    async def link(self, key: str) -> str:
        """Return an absolute address that answers GET with what is under ``key``, for a while.

        Raises:
            StoreUnavailable: None can be given now.
        """
        ...


class Blobs:
    """Reads blobs of a store. They were verified when they were written, and are not again.

    Every method raises :class:`builder.errors.StoreUnavailable` when the store cannot be used.
    """

    def __init__(self, store: Store, links: BlobLinks | None = None) -> None:
        """Read from ``store``.

        Args:
            store: Where blobs are.
            links: Where clients can get them themselves, if they can.
        """
        self._store = store
        self._links = links

    async def size(self, digest: Digest) -> int:
        """Return how many bytes the blob has.

        Raises:
            BlobUnknown: It is not in the store.
        """
        size = await self._store.size(blob_key(digest))
        if size is None:
            raise _unknown(digest)
        return size

    async def link(self, digest: Digest, size_bytes: int) -> str | None:
        """Return where a client gets the blob itself, or ``None`` if it has to read it here.

        The caller knows that it is there, and how large it is.
        """
        if self._links is None or size_bytes <= LINKED_BYTES:
            return None
        return await self._links.link(blob_key(digest))

    def stream(
        self, digest: Digest, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (exclusive) in pieces of about 1 MiB.

        Raises:
            KeyError: It is not in the store (raised before the first piece).
        """
        return self._store.stream(blob_key(digest), start, stop)

    async def open(self, digest: Digest, start: int = 0, stop: int | None = None) -> "OpenBlob":
        """Return the same bytes, once it is certain that there are any: errors come now.

        Raises:
            BlobUnknown: It is not in the store, for example since a moment ago.
        """
        stream = self.stream(digest, start, stop)
        try:
            first = await anext(stream, b"")
        except KeyError as exc:
            raise _unknown(digest) from exc
        return OpenBlob(first, stream)


class OpenBlob:
    """The pieces of a blob whose first was read already; :meth:`aclose` closes the file."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        if self._first:
            piece, self._first = self._first, b""
            return piece
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Close what is read from; harmless twice."""
        # A generator that is only dropped keeps its file until the garbage collector comes.
        if isinstance(self._rest, AsyncGenerator):
            await self._rest.aclose()


def _unknown(digest: Digest) -> BlobUnknown:
    return BlobUnknown(f"there is no blob {digest} here")
