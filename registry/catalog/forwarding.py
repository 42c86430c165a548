"""Events as log lines, for whoever collects logs: each at least once, whichever server writes it.

One server does it at a time, under a lease, and writes down how far it is after it has written the
lines. So none is left out; those that it had written when it was killed are written once more, by
the next one, with the same ``id``.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from registry.catalog.events import Events
from registry.catalog.journal import newest_event
from registry.catalog.records import Event
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable

#: The row of the table that says how far the log is.
_NAME: Final = "log"
_BATCH: Final = 200
_LEASE_SECONDS: Final = 30
_LOOK_SECONDS: Final = 1

#: Writes one event.
WriteLine = Callable[[Event], None]


def log_event(event: Event) -> None:
    """Write an event as a log line."""
    structlog.get_logger("registry.audit").info(
        "audit event",
        id=event.id,
        at=event.at.isoformat(),
        action=event.action,
        actor=event.actor,
        token=event.token,
        address=event.address,
        via=event.via,
        namespace=event.namespace,
        environment=event.environment,
        version=event.number,
        detail=dict(event.detail),
    )


class Forwarder:
    """Writes events as log lines, those from now on.

    Args:
        database: Where they are, and how far the log is.
        events: Reads them.
        write: Writes a line.
        wait: Returns when something may have happened, or after a number of seconds.
    """

    def __init__(
        self,
        database: Database,
        events: Events,
        write: WriteLine = log_event,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._events = events
        self._write = write
        self._wait = wait
        self._by = secrets.token_hex(8)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            try:
                written = await self.forward()
            except DatabaseUnavailable:
                written = 0
            except Exception:  # noqa: BLE001 (logged; what was not written comes again)
                structlog.get_logger().exception("failed to forward the audit log")
                written = 0
            if written < _BATCH:
                await self._wait(_LOOK_SECONDS)

    async def forward(self) -> int:
        """Write what is new, some of it, if no other server does; return how many that were.

        Raises:
            DatabaseUnavailable: It does not answer; what was written may be written again.
        """
        last = await self._claimed()
        if last is None:
            return 0
        events: Sequence[Event] = await self._events.after(last, _BATCH)
        for event in events:
            self._write(event)
        if events:
            await self._note(events[-1].id)
        return len(events)

    async def _claimed(self) -> int | None:
        """Return the last event that was written; ``None``: another server writes now."""
        table = tables.forwarded
        async with self._database.reading() as connection:
            row = (await connection.execute(select(table).where(table.c.name == _NAME))).first()
            newest = await newest_event(connection)
        if row is not None and row.event_id >= newest:
            return None
        mine = or_(table.c.claimed_by == self._by, self._database.is_free(table))
        until = self._database.clock_after(_LEASE_SECONDS)
        try:
            async with self._database.writing(is_ordered=False) as connection:
                if row is None:
                    await connection.execute(
                        insert(table).values(
                            name=_NAME, event_id=newest, claimed_by=self._by, claimed_until=until
                        )
                    )
                    return newest
                claimed = await connection.execute(
                    update(table)
                    .where(table.c.name == _NAME, mine)
                    .values(claimed_by=self._by, claimed_until=until)
                    .returning(table.c.event_id)
                )
                found = claimed.scalar()
                return int(found) if found is not None else None
        except IntegrityError:  # another server was the first
            return None

    async def _note(self, number: int) -> None:
        table = tables.forwarded
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                update(table)
                .where(table.c.name == _NAME, table.c.claimed_by == self._by)
                .values(event_id=number, claimed_until=self._database.clock_after(_LEASE_SECONDS))
            )
