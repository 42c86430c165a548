"""Events on their way out: which webhook is due, who sends for it, and how far it is.

A webhook is a cursor over the events. One server at a time has its lease, sends the next event that
is wanted, and moves on when it was taken or given up. So each comes in order and at least once, and
what a server had sent when it was killed comes once more, by the next one, with the same number::

    look ──→ nothing is wanted: moved on to the newest, all such webhooks in one statement
         └─→ due ──→ claimed for half a minute ──→ sent ──→ noted: how far it is, and the delivery

Deliveries that somebody wants once more are sent by whoever has the lease, before all else; they
are tried once, and move nothing.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.roles import glob_matches
from registry.auth.trail import AUDIT_ONLY
from registry.catalog.events import event_of
from registry.catalog.follower import has_ended
from registry.catalog.journal import newest_event
from registry.catalog.records import SERVICE, Event
from registry.catalog.webhook_addresses import host_of_address
from registry.catalog.webhook_records import WebhookFormat, WebhookKind
from registry.catalog.webhooks import tell_of_webhook
from registry.database import Database, tables
from registry.errors import WebhookUnknown

#: For how long a server has a webhook; longer than sending takes.
LEASE_SECONDS: Final = 30
#: After how long without success a webhook is stopped.
PATIENCE: Final = timedelta(days=3)
#: What no webhook gets in its turn: what is for the audit log, and what was sent to one alone.
NEVER_SENT: Final = AUDIT_ONLY | {"webhook.tested", "webhook.resent"}
#: So many webhooks are looked at at once, and so many events after the last of each.
_BATCH: Final = 500
_WINDOW: Final = 1_000
_MAX_ANSWER: Final = 1024

#: ``taken``; ``failed``: it is tried again; ``refused``: this event is given up, others may be
#: taken; ``gone``: nothing is taken any more.
Result = Literal["taken", "failed", "refused", "gone"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sending an event."""

    result: Result
    #: Of the answer; ``None``: there was none.
    status: int | None = None
    #: One sentence on why it was not taken, without what is secret.
    message: str = ""
    #: The beginning of the answer.
    answer: str = ""
    #: When whoever answered wants to be asked again; ``None``: they did not say.
    retry_seconds: float | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A webhook for which there is something to send."""

    id: int
    attempts: int
    #: Who had it last.
    claimed_by: str | None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A webhook for which this server sends, with its secrets."""

    id: int
    kind: WebhookKind
    address: str = field(repr=False)
    format: WebhookFormat
    #: By which what is sent is signed, the newest first; empty of mail.
    secrets: tuple[str, ...] = field(repr=False)
    attempts: int
    row: Row[Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A delivery that somebody wants once more."""

    id: int
    #: ``None``: it is purged.
    event: Event | None


@dataclass(frozen=True, slots=True)
class Health:
    """How webhooks are doing."""

    failing: int
    #: When the event happened that has waited longest, of those that fail; ``None``: none does.
    since: datetime | None


class OutgoingWebhooks:
    """Knows what is to be sent, and keeps what came of it.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        server: The name of this server.
    """

    def __init__(self, database: Database, server: str) -> None:
        #: Is set when something is to be sent at once.
        self.nudged = asyncio.Event()
        self._database = database
        self._server = server

    async def look(self, busy: Collection[int]) -> Sequence[Due]:
        """Return what is due and nobody sends for; move on where nothing is wanted.

        Args:
            busy: Those for which this server sends already.
        """
        table, waits = tables.webhook, _waits()
        async with self._database.reading() as connection:
            newest = await newest_event(connection)
        is_free = self._database.is_free(table)
        is_due = and_(
            table.c.is_enabled == 1,
            table.c.event_id < newest,
            self._is_due(),
        )
        statement = (
            select(table, is_free.label("is_free"), waits.label("waits"))
            .where(table.c.deleted_at.is_(None), or_(is_due, waits))
            .order_by(table.c.id)
            .limit(_BATCH)
        )
        found: list[Due] = []
        last = 0
        while True:
            async with self._database.reading() as connection:
                rows = (await connection.execute(statement.where(table.c.id > last))).all()
                free = [
                    row
                    for row in rows
                    if row.id not in busy and (row.is_free or has_ended(row.claimed_by))
                ]
                following = await _following(connection, free, newest)
            found += [
                Due(row.id, row.attempts, row.claimed_by)
                for row in free
                if row.waits or following[row.id] is not None
            ]
            await self._skip([row for row in free if following[row.id] is None], newest)
            if len(rows) < _BATCH:
                return found
            last = rows[-1].id

    async def claim(self, due: Due) -> Outgoing | None:
        """Return a webhook for which this server sends from now on; ``None``: another one does."""
        table = tables.webhook
        is_free = or_(table.c.claimed_by == self._server, self._database.is_free(table))
        if due.claimed_by is not None and has_ended(due.claimed_by):
            is_free = or_(is_free, table.c.claimed_by == due.claimed_by)
        claim = {
            "claimed_by": self._server,
            "claimed_until": self._database.clock_after(LEASE_SECONDS),
        }
        async with self._database.writing(is_ordered=False) as connection:
            row = await self._changed(connection, due.id, is_free, claim)
        return None if row is None else self._outgoing(row)

    async def again(self, outgoing: Outgoing) -> Outgoing | None:
        """Return a webhook as it is by now, for another turn; ``None``: another server has it."""
        return await self.claim(Due(outgoing.id, 0, None))

    async def release(self, outgoing: Outgoing) -> None:
        """Let any server send for a webhook."""
        table = tables.webhook
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                update(table).where(self._is_mine(outgoing)).values(claimed_until=None)
            )

    async def wanted(self, outgoing: Outgoing) -> Wanted | None:
        """Return the oldest delivery that somebody wants once more; ``None``: nobody does."""
        table, event = tables.delivery, tables.event
        statement = (
            select(table.c.id.label("delivery_id"), event)
            .outerjoin(event, event.c.id == table.c.event_id)
            .where(table.c.webhook_id == outgoing.id, tables.WANTED)
            .order_by(table.c.id)
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        return Wanted(row.delivery_id, event_of(row) if row.id is not None else None)

    async def following(self, outgoing: Outgoing) -> Event | None:
        """Return the next event that a webhook is to get in its turn; ``None``: there is none."""
        row = outgoing.row
        if not (row.is_enabled and row.is_due):
            return None
        async with self._database.reading() as connection:
            newest = await newest_event(connection)
            number = (await _following(connection, [row], newest))[row.id]
            if number is None:
                return None
            found = select(tables.event).where(tables.event.c.id == number)
            return event_of((await connection.execute(found)).one())

    async def note(
        self, outgoing: Outgoing, event: Event, attempt: Attempt, delay_seconds: float
    ) -> Outgoing | None:
        """Keep what came of an event, and return the webhook for the next; ``None``: there is none.

        Args:
            outgoing: To which it was sent.
            event: Which.
            attempt: What came of it.
            delay_seconds: After how long it is tried again, if it failed.
        """
        now, row = self._database.now(), outgoing.row
        problem = _problem(outgoing, event, attempt, now)
        values: dict[str, Any] = {"claimed_until": None}
        if attempt.result in {"taken", "refused"}:
            values["claimed_until"] = self._database.clock_after(LEASE_SECONDS)
            values |= {"event_id": event.id, "attempts": 0, "next_at": None, "failing_since": None}
        else:
            since = row.failing_since or now
            again = self._database.clock_after(delay_seconds)
            values |= {"attempts": row.attempts + 1, "next_at": again, "failing_since": since}
        if problem:
            values |= {"is_enabled": 0, "problem": problem, "next_at": None}
        delivery = _sent(outgoing, event, attempt, now) | {"attempt": row.attempts + 1}
        async with self._database.writing(is_ordered=bool(problem)) as connection:
            changed = await self._changed(connection, outgoing.id, self._is_same(outgoing), values)
            if changed is None:
                return None
            await connection.execute(insert(tables.delivery).values(**delivery))
            if problem:
                await _tell_of_end(connection, outgoing, event, problem, now)
        # What failed waits, and what was stopped does so for good.
        return self._outgoing(changed) if attempt.result in {"taken", "refused"} else None

    async def note_wanted(
        self, outgoing: Outgoing, wanted: Wanted, attempt: Attempt
    ) -> Outgoing | None:
        """Keep what came of a delivery; what fails there is tried at once if this was taken."""
        table, now = tables.delivery, self._database.now()
        values: dict[str, Any] = {"claimed_until": self._database.clock_after(LEASE_SECONDS)}
        if attempt.result == "taken":
            values["next_at"] = None
        sent = _told(attempt, now)
        async with self._database.writing(is_ordered=False) as connection:
            changed = await self._changed(connection, outgoing.id, self._is_mine(outgoing), values)
            if changed is not None:
                await connection.execute(
                    update(table).where(table.c.id == wanted.id).values(**sent)
                )
        return None if changed is None else self._outgoing(changed)

    async def health(self) -> Health:
        """Return how webhooks are doing."""
        table = tables.webhook
        statement = select(func.count(), func.min(table.c.failing_since)).where(
            table.c.deleted_at.is_(None), table.c.is_enabled == 1, table.c.attempts > 0
        )
        async with self._database.reading() as connection:
            failing, since = (await connection.execute(statement)).one()
        return Health(failing, since)

    async def _skip(self, rows: Sequence[Row[Any]], newest: int) -> None:
        """Move on where nothing is wanted, unless somebody has done that meanwhile."""
        table = tables.webhook
        idle: dict[int, list[int]] = {}
        for row in rows:
            if row.is_enabled and row.event_id < newest:
                idle.setdefault(row.event_id, []).append(row.id)
        for event_id, numbers in idle.items():
            until = min(newest, event_id + _WINDOW)
            if until < newest:
                self.nudged.set()
            # A failing one waits for an event: if none is wanted, its filter was changed.
            values = {"event_id": until, "attempts": 0, "next_at": None, "failing_since": None}
            async with self._database.writing(is_ordered=False) as connection:
                await connection.execute(
                    update(table)
                    .where(table.c.id.in_(numbers), table.c.event_id == event_id)
                    .values(**values)
                )

    async def _changed(
        self,
        connection: AsyncConnection,
        number: int,
        condition: ColumnElement[bool],
        values: Mapping[str, Any],
    ) -> Row[Any] | None:
        """Change a webhook if a condition holds, and return its row; ``None``: it does not."""
        table = tables.webhook
        changed = await connection.execute(
            update(table)
            .where(table.c.id == number, table.c.deleted_at.is_(None), condition)
            .values(**values)
        )
        if not changed.rowcount:
            return None
        # Not by RETURNING: SQLite 3.40 takes no column in an expression there for NULL.
        statement = select(table, self._is_due().label("is_due")).where(table.c.id == number)
        return (await connection.execute(statement)).one()

    def _is_due(self) -> ColumnElement[bool]:
        """Return whether the next event is to be tried by now."""
        next_at = tables.webhook.c.next_at
        return or_(next_at.is_(None), next_at <= self._database.clock())

    def _is_mine(self, outgoing: Outgoing) -> ColumnElement[bool]:
        table = tables.webhook
        return and_(table.c.id == outgoing.id, table.c.claimed_by == self._server)

    def _is_same(self, outgoing: Outgoing) -> ColumnElement[bool]:
        """Return whether a webhook is this server's, and as it was when this was sent."""
        table, row = tables.webhook, outgoing.row
        return and_(
            self._is_mine(outgoing),
            table.c.event_id == row.event_id,
            table.c.is_enabled == 1,
            # What came of it is of another address, perhaps.
            table.c.url == row.url,
        )

    def _outgoing(self, row: Row[Any]) -> Outgoing:
        until = row.old_secret_until
        is_old_good = until is not None and until > self._database.now()
        secrets = tuple(filter(None, (row.secret, row.old_secret if is_old_good else None)))
        return Outgoing(row.id, row.kind, row.url, row.format, secrets, row.attempts, row)


def _waits() -> ColumnElement[bool]:
    """Return whether somebody wants a delivery of a webhook once more."""
    table = tables.delivery
    return (
        select(table.c.id)
        .where(table.c.webhook_id == tables.webhook.c.id, tables.WANTED)
        .correlate(tables.webhook)
        .exists()
    )


async def _following(
    connection: AsyncConnection, rows: Sequence[Row[Any]], newest: int
) -> Mapping[int, int | None]:
    """Return the next event of each webhook; ``None``: there is none, as far as is looked.

    Most have got everything: what is new since is read once for all of them.
    """
    event = tables.event
    found: dict[int, int | None] = {}
    for start in {row.event_id for row in rows}:
        statement = (
            select(event.c.id, event.c.namespace_id, event.c.environment, event.c.action)
            .where(event.c.id > start, event.c.id <= min(newest, start + _WINDOW))
            .order_by(event.c.id)
        )
        by_namespace: dict[int | None, list[Row[Any]]] = {None: []}
        for one in (await connection.execute(statement)).all():
            if one.action not in NEVER_SENT:
                by_namespace[None].append(one)
                if one.namespace_id is not None:
                    by_namespace.setdefault(one.namespace_id, []).append(one)
        known: dict[object, int | None] = {}
        for row in rows:
            if row.event_id != start:
                continue
            filter_ = (row.namespace_id, row.environment_glob, tuple(row.actions or ("*",)))
            if filter_ not in known:
                new = by_namespace.get(row.namespace_id, ())
                known[filter_] = _first_wanted(row, new)
                # Whoever manages namespaces says how many filters there are: others take turns.
                await asyncio.sleep(0)
            found[row.id] = known[filter_]
    return found


def _first_wanted(webhook: Row[Any], events: Sequence[Row[Any]]) -> int | None:
    """Return the first of the events of its namespace that a webhook is to get; ``None``: none."""
    glob, actions = webhook.environment_glob, webhook.actions
    # There are few actions, and perhaps many events and globs.
    wanted: dict[str, bool] = {}
    for event in events:
        action = event.action
        if action not in wanted:
            wanted[action] = actions is None or any(glob_matches(one, action) for one in actions)
        if wanted[action] and (glob == "*" or glob_matches(glob, event.environment or "")):
            return int(event.id)
    return None


def _problem(outgoing: Outgoing, event: Event, attempt: Attempt, now: datetime) -> str:
    """Return why a webhook is stopped; empty: it is not."""
    if attempt.result == "gone":
        return f"it takes nothing any more: {attempt.message}"
    since = outgoing.row.failing_since
    if attempt.result == "failed" and since is not None and now - since >= PATIENCE:
        days = PATIENCE.days
        return f"it has not taken event {event.id} for {days} days, at last: {attempt.message}"
    return ""


async def _tell_of_end(
    connection: AsyncConnection, outgoing: Outgoing, event: Event, problem: str, now: datetime
) -> None:
    to = host_of_address(outgoing.kind, outgoing.address)
    detail = {"to": to, "event": event.id, "problem": problem}
    try:
        await tell_of_webhook(connection, SERVICE, outgoing.id, "webhook.stopped", now, detail)
    except WebhookUnknown:  # its namespace is deleted
        return


def _sent(outgoing: Outgoing, event: Event, attempt: Attempt, now: datetime) -> dict[str, Any]:
    began = now - timedelta(milliseconds=attempt.duration_ms)
    return {
        "webhook_id": outgoing.id,
        "event_id": event.id,
        "created_at": began,
        **_told(attempt, now),
    }


def _told(attempt: Attempt, now: datetime) -> dict[str, Any]:
    return {
        "state": "delivered" if attempt.result == "taken" else "failed",
        "status": attempt.status,
        "message": attempt.message,
        "answer": attempt.answer[:_MAX_ANSWER],
        "duration_ms": attempt.duration_ms,
        "ended_at": now,
    }
