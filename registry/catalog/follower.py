"""What every server knows of the catalog in memory, and how it learns of changes.

Each transaction that changes something adds rows to ``change``. A server looks every quarter of a
second whether there are new ones, and reads again what they name; it writes down how far it is. So
whoever has changed something can wait until all servers that are alive know of it
(:meth:`Follower.settled`), and what is answered then holds everywhere.
"""

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete, func, insert, select, update

from builder.errors import StoreUnavailable
from registry.catalog.loading import Loading
from registry.catalog.ports import Blocks, Directory, Documents, Entitlements, HeldBook
from registry.database import Database, tables
from registry.errors import DatabaseOutdated, DatabaseUnavailable
from registry.policy.book import PolicyBook
from registry.sources.directory import Pointer

_POLL_SECONDS: Final = 0.25
#: How often a server says that it is alive when there is nothing else to say, in seconds. Servers
#: of one SQLite are on one machine, where processes are seen otherwise: its disk can sleep.
_BEAT_SECONDS: Final = 1
_QUIET_BEAT_SECONDS: Final = 30
#: A server is alive that was heard of within so many beats.
_ALIVE_BEATS: Final = 3
#: How long others are waited for at most, in seconds.
_SETTLE_SECONDS: Final = 2
#: So many changes are read at once.
_BATCH: Final = 1000
#: Tells this process from those that had its number before.
_PROCESS: Final = secrets.token_hex(4)
#: How long changes are kept for servers that follow, in seconds.
_KEPT_SECONDS: Final = 3600


class Follower:
    """Keeps memory as the database is, a quarter of a second behind at most.

    While the database does not answer, what was known last holds.

    Args:
        database: What is followed.
        directory: Where environments lead to.
        entitlements: Who may do what.
        server: The name of this server; no other one has it.
        documents: What the store has: it holds when the database does not answer at the start.
        book: What holds for builds; ``None``: nobody asks.
        blocks: Which builds are blocked; ``None``: nobody asks.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        entitlements: Entitlements,
        server: str,
        documents: Documents | None = None,
        book: HeldBook | None = None,
        blocks: Blocks | None = None,
    ) -> None:
        self._database = database
        self._entitlements = entitlements
        self._loading = Loading(directory, entitlements, book or PolicyBook(), blocks)
        self._server = server
        self._documents = documents
        #: The last change that memory has; ``None``: memory has to be loaded as a whole.
        self._seen: int | None = None
        self._is_loading = False
        #: Whether memory was ever as the database is; if not, the store is asked what holds.
        self.has_loaded = False
        self._beat_seconds = _BEAT_SECONDS if database.is_shared else _QUIET_BEAT_SECONDS
        self._said: tuple[int, float] = (-1, 0)
        self._looking = asyncio.Lock()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Load everything: from the database, or where environments lead to from the store.

        If neither answers, nothing is known until one does.

        Raises:
            DatabaseOutdated: It has the tables of another version of the program.
        """
        try:
            await self._look()
        except DatabaseOutdated:
            raise
        except DatabaseUnavailable:
            if self.has_loaded:
                return
            self._entitlements.set_known(False)
            structlog.get_logger().error(
                "the database does not answer: environments are pulled as the store has them"
            )
            await self._read_documents()

    def learn(self, path: str, pointer: Pointer | None) -> None:
        """Know where an environment leads to, as the store has it; the database knows better."""
        if not self.has_loaded and not self._is_loading:
            self._loading.learn(path, pointer)

    def learn_namespace(self, slug: str) -> None:
        """Know a namespace, as the store has it; the database knows better."""
        if not self.has_loaded and not self._is_loading:
            self._loading.learn_namespace(slug)

    async def run(self) -> None:
        """Follow changes until cancelled; then this server is waited for no more."""
        try:
            while True:
                try:
                    await self._look()
                except DatabaseUnavailable:
                    pass
                except Exception:  # noqa: BLE001 (logged; the next look may succeed)
                    structlog.get_logger().exception("failed to follow the database")
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            await self._leave()

    async def settled(self, change: int) -> None:
        """Return once every server that is alive has seen a change, or after two seconds.

        What was changed is there already: a server that does not answer holds nobody up for longer,
        and nothing is raised.
        """
        if not change:
            return
        with suppress(TimeoutError, DatabaseUnavailable):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._look()
                pause = 0.01
                while await self._is_awaited(change):
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 0.1)

    async def catch_up(self) -> None:
        """Return once memory has all that was changed before this was called.

        Raises:
            DatabaseUnavailable: It does not answer: what holds by now is not known.
        """
        await self._look()

    async def changed(self, timeout_seconds: float) -> None:
        """Return when a change was seen after this was called, or in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()

    async def _read_documents(self) -> None:
        if self._documents is None:
            return
        try:
            # First: what is private is not seen without it.
            async for slug in self._documents.namespaces():
                self.learn_namespace(slug)
            async for pointer in self._documents.pointers():
                self.learn(f"{pointer.namespace}/{pointer.environment}", pointer)
        except StoreUnavailable as exc:
            structlog.get_logger().error("failed to read pointers", error=exc.message)

    async def _look(self) -> None:
        async with self._looking:
            if self._seen is None:
                await self._load()
            else:
                await self._follow(self._seen)
            await self._say()

    async def _load(self) -> None:
        """Read everything. What changes meanwhile is read once more, by its change."""
        async with self._database.reading() as connection:
            newest = (await connection.execute(select(func.max(tables.change.c.id)))).scalar() or 0
        self._is_loading = True
        try:
            await self._loading.everything(self._database)
        finally:
            self._is_loading = False
        self.has_loaded = True
        self._entitlements.set_known(True)
        self._seen = newest
        self._tell()

    async def _follow(self, seen: int) -> None:
        table = tables.change
        after = select(table).where(table.c.id > seen).order_by(table.c.id).limit(_BATCH)
        while True:
            async with self._database.reading() as connection:
                rows = (await connection.execute(after)).all()
                if not rows:
                    return
                if rows[0].id > seen + 1 and await self._has_missed(seen):
                    self._seen = None
                    break
                named = [(row.kind, row.subject) for row in rows]
                await self._loading.again(connection, named)
            await self._loading.policies_again(self._database, named)
            seen = self._seen = rows[-1].id
            self._tell()
            after = select(table).where(table.c.id > seen).order_by(table.c.id).limit(_BATCH)
        await self._load()

    async def _has_missed(self, seen: int) -> bool:
        """Tell whether changes that were not seen may have been thrown away since."""
        table = tables.change
        async with self._database.reading() as connection:
            statement = select(table.c.id).where(table.c.id <= seen).limit(1)
            return (await connection.execute(statement)).first() is None and seen > 0

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _say(self) -> None:
        """Write down how far this server is, if that is news."""
        now = asyncio.get_running_loop().time()
        seen = self._seen or 0
        if self._said[0] == seen and now < self._said[1] + self._beat_seconds:
            return
        table = tables.server
        values = {"seen_change": seen, "at": self._database.clock()}
        async with self._database.writing(is_ordered=False) as connection:
            known = await connection.execute(
                update(table).where(table.c.name == self._server).values(values)
            )
            if not known.rowcount:
                await connection.execute(insert(table).values(name=self._server, **values))
        self._said = (seen, now)

    async def _is_awaited(self, change: int) -> bool:
        table = tables.server
        behind = select(table.c.name).where(
            table.c.at > self._database.clock_after(-_ALIVE_BEATS * self._beat_seconds),
            table.c.seen_change < change,
            table.c.name != self._server,
        )
        async with self._database.reading() as connection:
            names = (await connection.execute(behind)).scalars().all()
        return not all(has_ended(name) for name in names)

    async def _leave(self) -> None:
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(2), self._database.writing(is_ordered=False) as connection:
                await connection.execute(
                    delete(tables.server).where(tables.server.c.name == self._server)
                )


def server_name() -> str:
    """Return a name that no other server has; on one machine, it tells the process."""
    return f"{_host()} {os.getpid()} {_PROCESS} {secrets.token_hex(4)}"


def has_ended(server: str) -> bool:
    """Tell whether a server is known to have ended: its process was one of this machine."""
    parts = server.split(" ")
    if len(parts) != 4 or parts[0] != _host():
        return False
    if parts[1] == str(os.getpid()):  # in a container, the one before had the same number
        return parts[2] != _PROCESS
    try:
        os.kill(int(parts[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, ValueError):
        return False
    return False


def _host() -> str:
    return socket.gethostname()[:60].replace(" ", "-")


async def forget_old(database: Database) -> None:
    """Throw away what no server needs any more to follow: changes, and servers that are gone.

    Raises:
        DatabaseUnavailable: It does not answer.
    """
    change, server = tables.change, tables.server
    before = database.now() - timedelta(seconds=_KEPT_SECONDS)
    async with database.writing() as connection:
        newest = (await connection.execute(select(func.max(change.c.id)))).scalar() or 0
        # The newest stays: by it a server sees that it has missed nothing.
        await connection.execute(delete(change).where(change.c.at < before, change.c.id < newest))
        await connection.execute(delete(server).where(server.c.at < database.clock_after(-86_400)))
