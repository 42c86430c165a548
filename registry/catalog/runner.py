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
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Select, and_, case, func, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.errors import DomainError, PolicyRefused, Refusal
from registry.catalog.finishing import Outcome, finish
from registry.catalog.journal import add_change, add_version_event
from registry.catalog.limits import UNLIMITED, Limits, at_once
from registry.catalog.ports import ContentOf, MayPull, Requests, Settled, settled_nowhere
from registry.catalog.records import SERVICE
from registry.catalog.sizes import BlobsOf, no_blobs
from registry.catalog.told import told_policies
from registry.catalog.waiver_rows import told_refusal
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.images.failure import Failure
from registry.images.rules import NoRules, RulesOf
from registry.policy.asking import told_with_asking
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
    #: Whose turn it is; ``None``: the service's, also for what a schedule asks in somebody's name.
    asker: str | None
    renew: bool
    data: bytes
    path: str


class VersionRunner:
    """Takes queued versions, has them built, and writes down how far they are.

    Args:
        database: Where they are.
        requests: Makes builds.
        may_pull: What whoever asked may pull.
        content_of: What is in a lock.
        server: The name of this server.
        settled: Waits until all servers know of a change.
        limit: How many are made at once.
        pins: Whether builds are pinned: all that they consist of stays.
        nudged: Is set when there is something to do.
        limits: Of namespaces that have no quota of their own.
        blobs_of: What the image of a build consists of.
        caught_up: Returns when this server knows what was changed before.
        rules_of: Knows which rules hold for an environment.
    """

    def __init__(
        self,
        database: Database,
        requests: Requests,
        may_pull: MayPull,
        content_of: ContentOf,
        server: str,
        *,
        settled: Settled = settled_nowhere,
        limit: int = 8,
        pins: bool = True,
        nudged: asyncio.Event | None = None,
        limits: Limits = UNLIMITED,
        blobs_of: BlobsOf = no_blobs,
        caught_up: Callable[[], Awaitable[None]] | None = None,
        rules_of: RulesOf | None = None,
    ) -> None:
        self._database = database
        self._requests = requests
        self._may_pull = may_pull
        self._content_of = content_of
        self._server = server
        self._settled = settled
        self._limit = limit
        self._pins = pins
        self._running: dict[asyncio.Task[None], _Claim] = {}
        self._nudged = nudged or asyncio.Event()
        self._limits = limits
        self._caught_up = caught_up or _know_all
        self._blobs_of = blobs_of
        self._rules_of = rules_of or NoRules()

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
            outcome = _failed(
                claim, exc.message, exc.refusal if isinstance(exc, PolicyRefused) else None
            )
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
        # What was let pass before this version was asked for is let pass.
        await self._caught_up()
        status = await self._requests.ask(
            claim.data,
            may_pull=self._may_pull(claim.requested_by),
            renew=claim.renew,
            pin=self._pins,
            rules=self._rules_of.rules(*claim.path.split("/", 1)),
        )
        if not await self._beat(claim, status):
            return None
        while not status.has_ended:
            status = await self._requests.next(status, _BEAT_SECONDS)
            if not await self._beat(claim, status):
                return None
        if status.key is None or status.state == "failed":
            failure = status.failure or Failure("", "it came to nothing")
            return _failed(claim, failure.message, failure.refusal)
        content = await self._content_of(status.key)
        blobs = await self._blobs_of(status.key)
        told = told_policies(status.told)
        return Outcome("built", key=status.key, content=content, blobs=blobs, told=told)

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
        if most <= 0:
            return []
        table, environment = tables.version, tables.environment
        waiting = _waiting(self._database.clock(), self._limits, most)
        async with self._database.reading() as connection:
            if (await connection.execute(waiting.limit(1))).first() is None:
                return []
        async with self._database.writing() as connection:
            rows = (await connection.execute(waiting)).all()
            chosen = self._fairly([(row.id, row.asker) for row in rows])[:most]
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
                None if row.reason == "schedule" else row.requested_by,
                bool(row.renew),
                bytes(row.data),
                row.path,
            )
            for row in found
        ]

    def _fairly(self, waiting: Sequence[tuple[int, str | None]]) -> list[int]:
        """Return what waits in the order in which it is made: each who asks has their turn."""
        turns = Counter(claim.asker for claim in self._running.values())
        order: list[tuple[int, int]] = []
        for version, asker in waiting:
            order.append((turns[asker], version))
            turns[asker] += 1
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


def _waiting(clock: ColumnElement[datetime], limits: Limits, most: int) -> Select[Any]:
    """Return what selects those that wait and may be made, each who asks in turn.

    Of a namespace no more than its quota has room for beside what is being made of it: the others
    wait, and are in nobody's way.
    """
    table, environment, quota = tables.version, tables.environment, tables.quota
    lease = table.c.claimed_until
    is_free = or_(table.c.state == "queued", lease.is_(None), lease < clock)
    namespace = environment.c.namespace_id
    # Whoever has thousands solved by schedules waits for none of them.
    asker = case((table.c.reason == "schedule", None), else_=table.c.requested_by).label("asker")
    number = func.row_number()
    there = table.join(environment, environment.c.id == table.c.environment_id)
    nth = number.over(partition_by=(namespace, asker), order_by=table.c.id).label("nth")
    free = (
        select(table.c.id, asker, namespace, nth)
        .select_from(there)
        .where(tables.OPEN, is_free)
        .subquery()
    )
    in_order = (free.c.nth, free.c.id)
    place = number.over(partition_by=free.c.namespace_id, order_by=in_order).label("place")
    placed = select(free, place).subquery()
    running = (
        select(namespace, func.count().label("number"))
        .select_from(there)
        .where(tables.OPEN, not_(is_free))
        .group_by(namespace)
        .subquery()
    )
    limit = at_once(limits)
    room = limit - func.coalesce(running.c.number, 0)
    turn = number.over(partition_by=placed.c.asker, order_by=placed.c.id).label("turn")
    turns = (
        select(placed.c.id, placed.c.asker, turn)
        .outerjoin(quota, quota.c.namespace_id == placed.c.namespace_id)
        .outerjoin(running, running.c.namespace_id == placed.c.namespace_id)
        .where(or_(limit.is_(None), placed.c.place <= room))
        .subquery()
    )
    return (
        select(turns.c.id, turns.c.asker)
        .where(turns.c.turn <= most)
        .order_by(turns.c.turn, turns.c.id)
        .limit(_LOOK_AHEAD)
    )


def _failed(claim: _Claim, message: str, refusal: Refusal | None) -> Outcome:
    """Return the end of a version that cannot be made."""
    said = told_with_asking(message, refusal, claim.path)
    return Outcome("failed", message=said, told=told_refusal(refusal))


async def _know_all() -> None:
    """Return at once: for where nothing is followed."""


async def _say_building(connection: AsyncConnection, path: str, number: int, now: datetime) -> None:
    await add_version_event(connection, SERVICE, now, "version.building", path, number)
    await add_change(connection, "event", path, now)
