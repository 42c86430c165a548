"""What is in the store, as it is handed to clients: by its key, in pieces, or as an address."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol, Self

from builder.ports import Store

__all__ = ["OpenFile", "StoreLinks", "StoredFiles"]


class StoreLinks(Protocol):
    """Gives addresses under which clients can read a store without this server."""

    async def link(self, key: str, file_name: str | None = None) -> str:
        """Return an absolute address that answers GET with what is under ``key``, for a while.

        Browsers save it under ``file_name``.

        Raises:
            StoreUnavailable: None can be given now.
        """
        ...


class StoredFiles:
    """Reads a store for clients, or gives them ``links`` to read it themselves.

    Every method raises :class:`builder.errors.StoreUnavailable` when the store cannot be used.
    """

    def __init__(self, store: Store, links: StoreLinks | None = None) -> None:
        self._store = store
        self._links = links

    async def size(self, key: str) -> int | None:
        """Return how many bytes are under ``key``, or ``None`` when there is nothing."""
        return await self._store.size(key)

    async def link(self, key: str, file_name: str | None = None) -> str | None:
        """Return an address of the existing file; ``None`` if the caller has to read it."""
        return await self._links.link(key, file_name) if self._links is not None else None

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (exclusive) in pieces of about 1 MiB.

        Raises:
            KeyError: Nothing is under ``key`` (raised before the first piece).
        """
        return self._store.stream(key, start, stop)

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> "OpenFile":
        """Return the same bytes, once it is certain that there are any: errors come now.

        Raises:
            KeyError: Nothing is under ``key``, for example since a moment ago.
        """
        stream = self.stream(key, start, stop)
        return OpenFile(await anext(stream, b""), stream)


class OpenFile:
    """The pieces of a file whose first was read already; :meth:`aclose` closes the file."""

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
