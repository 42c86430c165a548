"""Judges what there is whenever that, or what it is judged by, is another: once across servers.

::

    a policy, waiver or advisory, or the day, is another   ─→ all locks of all environments
    a version was built, copied, moved                     ─→ its lock

Whoever judges claims it for a minute at a time; of a server that is killed, another takes it up.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Row, insert, or_, select, update

from builder.rules.model import Rules
from builder.rules.violation import Violation
from registry.catalog.assessing import Assessor
from registry.catalog.findings import (
    Identity,
    Place,
    identity,
    is_same,
    known_findings,
    write_findings,
)
from registry.catalog.judged import Judged, RulesOf, all_judged, in_groups, mark_judged, not_judged
from registry.catalog.ports import Settled, settled_nowhere
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.policy.judging import Held, fingerprint

#: The row of the table.
_ALL: Final = "locks"
_LEASE_SECONDS: Final = 60
#: How often is looked when nothing was heard of, and after another server was found at it.
_QUIET_SECONDS: Final = 60
_RETRY_SECONDS: Final = 1
#: So many environments with findings are written by one transaction.
_PLACES: Final = 100


class Book(Held, Protocol):
    """Knows what holds where; :class:`registry.policy.book.PolicyBook`."""

    @property
    def changes(self) -> int:
        """How often it has changed."""
        ...

    def rules(self, namespace: str | None, environment: str | None = None) -> Rules:
        """Return the rules for a build."""
        ...

    async def changed(self, seen: int, timeout_seconds: float | None = None) -> int:
        """Return :attr:`changes` when it is no longer ``seen``, or in time."""
        ...


class Judging:
    """Keeps findings as the policies are.

    Args:
        database: Where they are.
        book: What holds.
        assessor: Holds locks against rules.
        server: The name of this server.
        changed: Returns when anything may have happened since it was called, or after seconds.
        settled: Waits until all servers know of a change.
    """

    def __init__(
        self,
        database: Database,
        book: Book,
        assessor: Assessor,
        server: str,
        *,
        changed: Callable[[float], Awaitable[None]] = asyncio.sleep,
        settled: Settled = settled_nowhere,
    ) -> None:
        self._database = database
        self._book = book
        self._assessor = assessor
        self._server = server
        self._changed = changed
        self._settled = settled
        #: What this server's book said when it looked last, and its number of changes then.
        self._seen: tuple[int, str] | None = None
        #: Whether that is what was judged by.
        self._is_judged = False

    async def run(self) -> None:
        """Judge for ever, whenever there is something to judge."""
        while True:
            seen, is_done = self._book.changes, False
            try:
                is_done = await self.look()
            except DatabaseUnavailable:
                pass
            except Exception:  # noqa: BLE001 (logged; the next look may succeed)
                structlog.get_logger().exception("failed to judge what there is")
            await self._wait(seen, _QUIET_SECONDS if is_done else _RETRY_SECONDS)

    async def look(self) -> bool:
        """Judge what has to be, and return whether all is judged now; if not, another server is.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        digest = await self._digest()
        last = await self._last()
        # Other servers may have other files for a while: what they judged by is no reason to judge.
        if not self._is_judged or last == "":
            if last == digest:
                self._is_judged = True
            elif not (await self._claim() and await self._everything(digest)):
                return False
        while (judged := await not_judged(self._database)) is not None:
            if not await self._claim():
                return False
            await self._judge(judged, is_everything=False)
            await self._release(None)
        return True

    async def assess(
        self, rules_of: RulesOf, judged: Judged
    ) -> Mapping[int, Sequence[tuple[str, Violation]]]:
        """Return what the locks of environments break, by environment; each with its lock's key.

        Args:
            rules_of: What holds where.
            judged: The environments and their locks.
        """
        found: dict[int, list[tuple[str, Violation]]] = {}
        lifted = {(one.namespace, one.environment) for one in self._book.waivers()}
        for rules, numbers in await in_groups(judged, rules_of, lifted):
            broken = await self._assessor.assess(rules, judged.all_keys(numbers))
            for number in numbers:
                some = [
                    (key, one) for key in sorted(judged.keys[number]) for one in broken.get(key, ())
                ]
                if some:
                    found[number] = some
        return found

    async def _wait(self, seen: int, seconds: float) -> None:
        """Return when the book or the catalog has changed, or in time."""
        waiting = [
            asyncio.ensure_future(self._book.changed(seen, seconds)),
            asyncio.ensure_future(self._changed(seconds)),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _digest(self) -> str:
        """Return what stands for all that is judged by; the day is another each day."""
        today = self._database.now().date()
        self._book.rules(None)  # notices what has expired
        changes = self._book.changes
        if self._seen is None or self._seen[0] != changes:
            digest = await asyncio.to_thread(fingerprint, self._book, today)
            if self._seen is None or digest != self._seen[1]:
                self._is_judged = False
            self._seen = (changes, digest)
        return self._seen[1]

    async def _last(self) -> str | None:
        table = tables.judging
        async with self._database.reading() as connection:
            return (
                await connection.execute(select(table.c.digest).where(table.c.name == _ALL))
            ).scalar()

    async def _claim(self) -> bool:
        """Have this server judge for a minute; ``False``: another one does."""
        table, now = tables.judging, self._database.clock()
        values = {
            "claimed_by": self._server,
            "claimed_until": self._database.clock_after(_LEASE_SECONDS),
        }
        is_free = or_(
            table.c.claimed_by.is_(None),
            table.c.claimed_by == self._server,
            table.c.claimed_until < now,
        )
        async with self._database.writing() as connection:
            there = select(table.c.name).where(table.c.name == _ALL)
            if (await connection.execute(there)).first() is None:
                await connection.execute(insert(table).values(name=_ALL, digest="", **values))
                return True
            claimed = await connection.execute(
                update(table).where(table.c.name == _ALL, is_free).values(**values)
            )
            return bool(claimed.rowcount)

    async def _release(self, digest: str | None) -> None:
        """Let others judge; ``digest`` stands for what was judged by, if that was all."""
        table = tables.judging
        values: dict[str, Any] = {"claimed_by": None, "claimed_until": None}
        if digest is not None:
            values |= {"digest": digest, "at": self._database.now()}
        async with self._database.writing() as connection:
            await connection.execute(
                update(table)
                .where(table.c.name == _ALL, table.c.claimed_by == self._server)
                .values(**values)
            )

    async def _everything(self, digest: str) -> bool:
        """Judge all there is, and return whether it is done; if not, another server is at it."""
        judged = await all_judged(self._database)
        if not await self._judge(judged, is_everything=True):
            return False
        await self._release(digest)
        self._is_judged = self._seen is not None and self._seen[1] == digest
        structlog.get_logger().info(
            "judged what there is", environments=len(judged.places), versions=len(judged.versions)
        )
        return True

    async def _judge(self, judged: Judged, *, is_everything: bool) -> bool:
        """Judge, and return whether it is done; if not, another server is at it by now."""
        found = await self.assess(self._book.rules, judged)
        known = await self._known(judged, is_everything=is_everything)
        new: dict[int, list[tuple[str, Violation]]] = defaultdict(list)
        still = set()
        for count, (number, some) in enumerate(found.items()):
            if count % _PLACES == 0:  # others are served in between
                await asyncio.sleep(0)
            for key, one in some:
                name = identity(number, key, one)
                row = known.get(name)
                if row is not None and is_same(row, one):
                    still.add(name)
                else:
                    new[number].append((key, one))
        gone: dict[int, list[Row[Any]]] = defaultdict(list)
        for name, row in known.items():
            if name not in still:
                gone[row.environment_id].append(row)
        numbers = sorted({*new, *gone})
        change = 0
        for start in range(0, len(numbers), _PLACES):
            part = numbers[start : start + _PLACES]
            if not await self._claim():  # it took so long that another server is at it
                return False
            async with self._database.writing() as connection:
                places = [judged.places.get(number, Place(number)) for number in part]
                now = self._database.now()
                change = await write_findings(connection, places, new, gone, now) or change
        await mark_judged(self._database, judged.versions)
        await self._settled(change)
        return True

    async def _known(self, judged: Judged, *, is_everything: bool) -> Mapping[Identity, Row[Any]]:
        if is_everything:
            return await known_findings(self._database)
        some = await known_findings(
            self._database, sorted(judged.places), sorted(judged.all_keys())
        )
        return {name: row for name, row in some.items() if row.key in judged.keys[name[0]]}
