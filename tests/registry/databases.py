"""The databases that tests of the catalog run over."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from conformance.postgres import PostgresServer
from registry.database import Database, open_database

#: What a test is parametrised by that runs over both; PostgreSQL's carries the marker.
BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.engine("postgresql")),
]


_directory = tempfile.TemporaryDirectory(prefix="pullforge-tables-")


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
    """Give a database with all tables; an empty one of SQLite becomes a copy of one made before.

    Making the tables takes longer than most tests do.
    """
    file = Path(make_url(url).database or "")
    if url.startswith("sqlite") and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(await _with_tables(), file)
    async with open_database(url) as database:
        await database.upgrade()
        yield database


async def _with_tables() -> Path:
    """Return an SQLite database with all tables and nothing in them, made once for a process."""
    file = Path(_directory.name) / "tables.db"
    if not file.exists():
        async with open_database(f"sqlite:///{file}") as database:
            await database.upgrade()
    return file
