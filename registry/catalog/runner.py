"""Makes the versions that are asked for.

::

    queued ─→ claimed for 15 s, and again while it is made ─→ built, unchanged or failed
              a server that ends hands its versions back; those of one that was killed are taken
              up by whoever finds them first when 15 s have passed

Building itself is the request's (:mod:`registry.requests`): it goes on, or is taken up, whoever
waits for it. A version only follows it. No connection to the database is held meanwhile.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.errors import DomainError
from registry.catalog.finishing import Outcome, finish
from registry.catalog.journal import add_change, add_version_event
from registry.catalog.ports import MayPull, PackagesOf, Requests, Settled, settled_nowhere
from registry.catalog.records import SERVICE
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.requests.status import RequestStatus

_LEASE_SECONDS: Final = 15
#: How often a lease is renewed, and a change of the request is waited for.
_BEAT_SECONDS: Final = 4
#: After how long something is tried again that others are in the way of.
_RETRY_SECONDS: Final = 2
#: Among so many of those that wait is chosen who is next: the first ones of everybody who waits.
_LOOK_AHEAD: Final = 200


@dataclass(frozen=True, slots=True)
class _Claim:
    """A version that this server makes."""

    id: int
    #: By which the lease is known; another each time.
    by: str
    environment_id: int
    number: int
    requested_by: str | None
    renew: bool
    data: bytes
    path: str


class VersionRunner:
    """Takes queued versions, has them built, and writes down how far they are.

    Args:
        database: Where they are.
        requests: Makes builds.
        may_pull: What whoever asked may pull.
        packages_of: What is in a lock.
        server: The name of this server.
        settled: Waits until all servers know of a change.
        limit: How many are made at once.
        pins: Whether builds are pinned: all that they consist of stays.
        nudged: Is set when there is something to do.
    """

    def __init__(
        self,
        database: Database,
        requests: Requests,
        may_pull: MayPull,
        packages_of: PackagesOf,
        server: str,
        *,
        settled: Settled = settled_nowhere,
        limit: int = 8,
        pins: bool = True,
        nudged: asyncio.Event | None = None,
    ) -> None:
        self._database = database
        self._requests = requests
        self._may_pull = may_pull
        self._packages_of = packages_of
        self._server = server
        self._settled = settled
        self._limit = limit
        self._pins = pins
        self._running: dict[asyncio.Task[None], _Claim] = {}
        self._nudged = nudged or asyncio.Event()

    def nudge(self) -> None:
        """Have it look for versions at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Make versions for ever. When it is cancelled, what is under way is handed back."""
        try:
            while True:
                self._nudged.clear()
                try:
                    claims = await self._claim(self._limit - len(self._running))
                except DatabaseUnavailable:
                    claims = []
                for claim in claims:
                    self._start(claim)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self._nudged.wait()
        finally:
            await self._hand_back()

    def _start(self, claim: _Claim) -> None:
        task = asyncio.create_task(self._make(claim), name=f"version {claim.path} {claim.number}")
        self._running[task] = claim

        def end(ended: asyncio.Task[None]) -> None:
            self._running.pop(ended, None)
            self.nudge()

        task.add_done_callback(end)

    async def _make(self, claim: _Claim) -> None:
        try:
            outcome = await self._outcome(claim)
        except DatabaseUnavailable:  # by the time it is back, the lease may be another's
            return
        except DomainError as exc:
            if exc.kind in {"busy", "unavailable"}:
                await self._release([claim], _RETRY_SECONDS)
                return
            outcome = Outcome("failed", message=exc.message)
        except Exception:  # noqa: BLE001 (logged; whoever asked is told that it failed)
            structlog.get_logger().exception(
                "failed to make a version", path=claim.path, number=claim.number
            )
            outcome = Outcome(
                "failed", message="the server failed to make this version; its log says why"
            )
        if outcome is not None:
            await self._finish(claim, outcome)

    async def _outcome(self, claim: _Claim) -> Outcome | None:
        """Return what became of a version; ``None``: it is this server's no more."""
        status = await self._requests.ask(
            claim.data,
            may_pull=self._may_pull(claim.requested_by),
            renew=claim.renew,
            pin=self._pins,
        )
        if not await self._beat(claim, status):
            return None
        while not status.has_ended:
            status = await self._requests.next(status, _BEAT_SECONDS)
            if not await self._beat(claim, status):
                return None
        if status.key is None or status.state == "failed":
            said = status.failure.message if status.failure else "it came to nothing"
            return Outcome("failed", message=said)
        return Outcome("built", key=status.key, packages=await self._packages_of(status.key))

    async def _finish(self, claim: _Claim, outcome: Outcome) -> None:
        """Write down what became of a version, as often as it takes."""
        while True:
            try:
                async with self._database.writing() as connection:
                    change = await finish(
                        connection, claim.id, claim.by, outcome, self._database.now()
                    )
                await self._settled(change)
            except DatabaseUnavailable:
                await asyncio.sleep(_RETRY_SECONDS / 4)
            else:
                return

    async def _beat(self, claim: _Claim, status: RequestStatus) -> bool:
        """Keep a version for longer; ``False``: it was cancelled, or is another server's."""
        table = tables.version
        statement = (
            update(table)
            .where(table.c.id == claim.id, table.c.claimed_by == claim.by, tables.OPEN)
            .values(claimed_until=self._database.clock_after(_LEASE_SECONDS), request_id=status.id)
        )
        async with self._database.writing(is_ordered=False) as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def _claim(self, most: int) -> Sequence[_Claim]:
        table, environment = tables.version, tables.environment
        lease = table.c.claimed_until
        is_free = or_(table.c.state == "queued", lease.is_(None), lease < self._database.clock())
        turn = func.row_number().over(partition_by=table.c.requested_by, order_by=table.c.id)
        turns = (
            select(table.c.id, table.c.requested_by, turn.label("turn"))
            .where(tables.OPEN, is_free)
            .subquery()
        )
        waiting = (
            select(turns.c.id, turns.c.requested_by)
            .where(turns.c.turn <= most)
            .order_by(turns.c.turn, turns.c.id)
            .limit(_LOOK_AHEAD)
        )
        if most <= 0:
            return []
        any_one = select(table.c.id).where(tables.OPEN, is_free).limit(1)
        async with self._database.reading() as connection:
            if (await connection.execute(any_one)).first() is None:
                return []
        async with self._database.writing() as connection:
            rows = (await connection.execute(waiting)).all()
            chosen = self._fairly([(row.id, row.requested_by) for row in rows])[:most]
            by = f"{self._server} {secrets.token_hex(6)}"
            described = (
                select(table, environment.c.path, tables.specification.c.data)
                .join(environment, environment.c.id == table.c.environment_id)
                .join(tables.specification)
                .where(table.c.id.in_(chosen))
                .order_by(table.c.id)
            )
            found = (await connection.execute(described)).all()
            now = self._database.now()
            await connection.execute(
                update(table)
                .where(table.c.id.in_(chosen))
                .values(
                    state="building",
                    started_at=func.coalesce(table.c.started_at, now),
                    claimed_by=by,
                    claimed_until=self._database.clock_after(_LEASE_SECONDS),
                )
            )
            for row in found:
                if row.state == "queued":
                    await _say_building(connection, row.path, row.number, now)
        return [
            _Claim(
                row.id,
                by,
                row.environment_id,
                row.number,
                row.requested_by,
                bool(row.renew),
                bytes(row.data),
                row.path,
            )
            for row in found
        ]

    def _fairly(self, waiting: Sequence[tuple[int, str | None]]) -> list[int]:
        """Return what waits in the order in which it is made: each who asks has their turn."""
        turns = Counter(claim.requested_by for claim in self._running.values())
        order: list[tuple[int, int]] = []
        for version, requested_by in waiting:
            order.append((turns[requested_by], version))
            turns[requested_by] += 1
        return [version for _, version in sorted(order)]

    async def _hand_back(self) -> None:
        claims = list(self._running.values())
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(3):
                await self._release(claims, 0)

    async def _release(self, claims: Sequence[_Claim], seconds: float) -> None:
        """Let any server take versions up after ``seconds``."""
        if not claims:
            return
        table = tables.version
        mine = [and_(table.c.id == claim.id, table.c.claimed_by == claim.by) for claim in claims]
        statement = (
            update(table)
            .where(or_(*mine), tables.OPEN)
            .values(claimed_until=self._database.clock_after(seconds))
        )
        with suppress(DatabaseUnavailable):  # the lease runs out by itself
            async with self._database.writing(is_ordered=False) as connection:
                await connection.execute(statement)


async def _say_building(connection: AsyncConnection, path: str, number: int, now: datetime) -> None:
    await add_version_event(connection, SERVICE, now, "version.building", path, number)
    await add_change(connection, "event", path, now)
