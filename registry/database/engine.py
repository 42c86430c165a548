"""The connection to the database: transactions, timeouts, errors.

Writers come one after the other, on either kind of database: what counts up (versions, events,
changes) is then seen in the order in which it counts, and nobody misses a number that is committed
late. Writing takes milliseconds, and nothing else is waited for meanwhile.

::

    SQLite      WAL: readers and the writer do not wait for each other. BEGIN IMMEDIATE, and a lock
                of the process before it, so that its own tasks do not poll for the file's.
    PostgreSQL  pg_advisory_xact_lock at the beginning of each writing transaction. Only some of a
                process's writers wait for it at a time: each has a connection while it does.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import (
    ColumnElement,
    Connection,
    Interval,
    Table,
    event,
    func,
    literal,
    or_,
    text,
    type_coerce,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import DataError as SqlDataError
from sqlalchemy.exc import ProgrammingError as SqlProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from registry.database.migrations import revision_of, upgrade
from registry.database.migrations.versions import HEAD
from registry.database.outage import Outage
from registry.database.types import UtcDateTime
from registry.errors import DatabaseOutdated, DatabaseUnavailable

#: How long a writer waits for the one before, in seconds; SQLite's own unit is milliseconds.
_BUSY_SECONDS: Final = 8
#: How long a statement may take, in seconds.
_STATEMENT_SECONDS: Final = 15
#: How long a connection may take, in seconds.
_CONNECT_SECONDS: Final = 4
#: How many writers of this process wait for their turn with a connection each, of the twelve that
#: there are: those that read have the others.
_WAITING_WRITERS: Final = 6
#: Any number that nobody else takes in the same database.
_ADVISORY_LOCK: Final = 0x70_66_6F_72_67_65


class Database:
    """A database that may be down for a while.

    Both ways in raise :class:`DatabaseUnavailable` when it does not answer in time, and
    :class:`DatabaseOutdated` when its tables are of another version of the program. Other errors
    of statements are SQLAlchemy's, such as ``IntegrityError``.

    Args:
        engine: Whose connections it uses.
        now: The time, with its zone.
    """

    def __init__(
        self, engine: AsyncEngine, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.now = now
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writing = asyncio.Semaphore(1 if self._is_sqlite else _WAITING_WRITERS)
        self._is_checked = False
        self._outage = Outage()

    @property
    def is_shared(self) -> bool:
        """Whether servers on several machines can use it at once."""
        return not self._is_sqlite

    def clock(self) -> ColumnElement[datetime]:
        """Return the time by one clock for all servers, to compare leases and signs of life by."""
        if self._is_sqlite:
            return literal(self.now(), UtcDateTime)
        return func.clock_timestamp(type_=UtcDateTime)

    def clock_after(self, seconds: float) -> ColumnElement[datetime]:
        """Return the time by that clock in ``seconds``, which may be less than nothing."""
        if self._is_sqlite:
            return literal(self.now() + timedelta(seconds=seconds), UtcDateTime)
        moment = func.clock_timestamp() + literal(timedelta(seconds=seconds), Interval)
        return type_coerce(moment, UtcDateTime)

    def is_free(self, table: Table) -> ColumnElement[bool]:
        """Return whether nobody holds a row, by the lease in its ``claimed_until``."""
        until = table.c.claimed_until
        return or_(until.is_(None), until < self.clock())

    @asynccontextmanager
    async def reading(self, *, is_snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """Give a connection for a few statements that change nothing; wait for nothing else in it.

        Args:
            is_snapshot: Whether all statements see the same. With SQLite they always do.
        """
        await self.check()
        with self._noting(is_writing=False):
            async with self._engine.connect() as connection:
                if is_snapshot and not self._is_sqlite:
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def writing(self, *, is_ordered: bool = True) -> AsyncIterator[AsyncConnection]:
        """Give a connection whose changes are all there when the block ends well, or none is.

        Args:
            is_ordered: Whether it comes after every other writer; what only notes something about
                itself need not.
        """
        await self.check()
        async with self._transaction(is_ordered=is_ordered) as connection:
            yield connection

    async def check(self) -> None:
        """Return if the database can be used; what is checked once is not checked again.

        An SQLite database that is empty gets its tables.

        Raises:
            DatabaseOutdated: It has the tables of another version, or none.
            DatabaseUnavailable: It does not answer.
        """
        if self._is_checked:
            return
        with self._noting(is_writing=False):
            async with self._engine.connect() as connection:
                found = await connection.run_sync(revision_of)
        if found is None and self._is_sqlite:
            found = await self.upgrade()
        if found != HEAD:
            raise DatabaseOutdated(found or "no", HEAD)
        self._is_checked = True

    async def upgrade(self) -> str:
        """Bring the tables to this program's version, in one transaction, and return it."""
        async with self._transaction(is_ordered=True) as connection:
            if not self._is_sqlite:
                await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.run_sync(upgrade)
        return HEAD

    async def revision(self) -> str | None:
        """Return the revision of the tables; ``None`` if there are none."""
        with self._noting(is_writing=False):
            async with self._engine.connect() as connection:
                return await connection.run_sync(revision_of)

    @asynccontextmanager
    async def _transaction(self, *, is_ordered: bool) -> AsyncIterator[AsyncConnection]:
        with self._noting(is_writing=True):
            async with self._turn(is_ordered=is_ordered), self._engine.connect() as raw:
                connection = await raw.execution_options(pullforge_writes=True)
                async with connection.begin():
                    if is_ordered and not self._is_sqlite:
                        await connection.execute(
                            text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK}
                        )
                    yield connection

    @contextmanager
    def _noting(self, *, is_writing: bool) -> Iterator[None]:
        """Raise as :func:`_database_errors`, and have the log tell of it."""
        try:
            with _database_errors():
                yield
        except DatabaseUnavailable as error:
            cause = error.__cause__
            if cause is not None:
                self._outage.failed(cause, _reason(cause), is_writing=is_writing)
            raise
        self._outage.succeeded(is_writing=is_writing)

    @asynccontextmanager
    async def _turn(self, *, is_ordered: bool) -> AsyncIterator[None]:
        if not (is_ordered or self._is_sqlite):
            yield
            return
        async with asyncio.timeout(_BUSY_SECONDS):
            await self._writing.acquire()
        try:
            yield
        finally:
            self._writing.release()


@contextmanager
def _database_errors() -> Iterator[None]:
    """Raise what drivers say of a database that does not work as :class:`DatabaseUnavailable`.

    What is wrong with a statement, or with a value in it, stays what it is.
    """
    try:
        yield
    except (IntegrityError, SqlProgrammingError, SqlDataError):
        raise
    except InterfaceError as exc:
        # asyncpg calls values so, too, that a column cannot have: those are the program's mistakes.
        if "DataError" in type(exc.orig.__cause__ if exc.orig else None).__name__:
            raise
        raise _unavailable(exc) from exc
    except (
        DBAPIError,
        PoolTimeout,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        sqlite3.Error,
        OSError,
        TimeoutError,
    ) as exc:
        raise _unavailable(exc) from exc


def _reason(exc: BaseException) -> str:
    return str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]


def _unavailable(exc: BaseException) -> DatabaseUnavailable:
    if "full" in _reason(exc):
        return DatabaseUnavailable("the database is full: the administrator has to make room")
    return DatabaseUnavailable()


@asynccontextmanager
async def open_database(
    url: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[Database]:
    """Give the database at ``url`` until the exit; nothing is connected to before it is used.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST/NAME`` or ``sqlite:////DIRECTORY/FILE``.
        now: The time, with its zone: what happens is written down with it.

    Raises:
        ValueError: It is neither.
    """
    engine = _engine(parse_url(url))
    try:
        yield Database(engine, now)
    finally:
        await engine.dispose()


def parse_url(url: str) -> URL:
    """Return ``url`` with the driver that it is used by.

    >>> parse_url("postgresql://ada@db/pullforge?sslmode=require").render_as_string()
    'postgresql+asyncpg://ada@db/pullforge?ssl=require'

    Raises:
        ValueError: It is no address of a database that can be used; the message has no password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = URL.create("none")
    kind = parsed.drivername.partition("+")[0]
    if kind in {"postgresql", "postgres"} and parsed.database:
        query = dict(parsed.query)
        if "sslmode" in query:
            query["ssl"] = query.pop("sslmode")
        return parsed.set(drivername="postgresql+asyncpg", query=query)
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+aiosqlite")
    raise ValueError(
        "the database is postgresql://USER:PASSWORD@HOST/NAME or sqlite:////DIRECTORY/FILE"
    )


def _engine(url: URL) -> AsyncEngine:
    if url.drivername.startswith("sqlite"):
        # A directory that cannot be made is told when the file cannot be opened.
        engine = create_async_engine(
            url,
            pool_size=8,
            # A server that starts looks for work in twenty places at once, before it is asked.
            max_overflow=16,
            pool_timeout=_CONNECT_SECONDS,
            connect_args={"timeout": _BUSY_SECONDS},
        )
        event.listen(engine.sync_engine, "do_connect", _make_directory)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    settings = {
        "application_name": "pullforge",
        "statement_timeout": str(_STATEMENT_SECONDS * 1000),
        "lock_timeout": str(_BUSY_SECONDS * 1000),
        "idle_in_transaction_session_timeout": str(2 * _STATEMENT_SECONDS * 1000),
        "timezone": "UTC",
        # Plans of a few rows of the catalog cost more compiled than carried out.
        "jit": "off",
    }
    return create_async_engine(
        url,
        pool_size=8,
        max_overflow=4,
        pool_timeout=_CONNECT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _STATEMENT_SECONDS + 5,
            "server_settings": settings,
        },
    )


def _make_directory(_dialect: Any, _record: Any, args: Any, _parameters: Any) -> None:
    # Not those above it: a store whose directory is lost must not come back as an empty one.
    Path(args[0]).parent.mkdir(exist_ok=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy's begin is sent by _begin_sqlite: sqlite3 itself would begin later, and otherwise.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA cache_size = -16384")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("pullforge_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
