"""The databases that tests of the catalog run over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conformance.postgres import PostgresServer
from registry.database import Database, open_database

#: What a test is parametrised by that runs over both; PostgreSQL's carries the marker.
BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.engine("postgresql")),
]


class Postgres:
    """One server for all tests of a process, started when the first needs it."""

    def __init__(self) -> None:
        self._server: PostgresServer | None = None

    @property
    def server(self) -> PostgresServer:
        """Return the server."""
        if self._server is None:
            server = PostgresServer()
            self._server = server.__enter__()
        return self._server

    def close(self) -> None:
        """Stop it, if it was started."""
        if self._server is not None:
            self._server.__exit__()


def new_url(kind: str, postgres: Postgres, directory: Path) -> str:
    """Return the address of an empty database of a kind."""
    if kind == "postgresql":
        return postgres.server.database()
    return f"sqlite:///{directory}/database/pullforge.db"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Give a database with all tables."""
    async with open_database(url) as database:
        await database.upgrade()
        yield database
