"""The connection to the database: transactions, timeouts, errors."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection


class Database:
    """A database that may be down for a while."""

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection that sees one state of everything, and changes nothing."""
        raise NotImplementedError

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection whose changes are there when the block ends well, or not at all."""
        raise NotImplementedError


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Give the database at ``url``, ``postgresql://…`` or ``sqlite:///…``, until the exit."""
    raise NotImplementedError
    yield Database()
