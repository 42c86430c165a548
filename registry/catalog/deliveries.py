"""Deliveries: what was sent to a webhook, what it answered, and sending it once more."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.lookup import MAX_NUMBER, MAX_PAGE, page_of
from registry.catalog.records import Actor, Page
from registry.catalog.webhook_records import DeliveryRecord, DeliveryState, delivery_of
from registry.catalog.webhooks import tell_of_webhook
from registry.database import Database, tables
from registry.errors import DeliveryForgotten, DeliveryUnknown, WebhookInvalid

#: For how long it is known what was sent, and how many of one webhook.
KEPT: Final = timedelta(days=30)
MAX_KEPT: Final = 5_000
#: So many of a webhook wait at most: each is sent within seconds.
_MAX_WAITING: Final = 20
#: How many rows one statement deletes.
_BATCH: Final = 1_000


class Deliveries:
    """Tells what was sent, and has it sent again; who may is decided by the caller.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        nudge: Has this server look for what is to be sent.
    """

    def __init__(self, database: Database, nudge: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._nudge = nudge

    async def list(
        self,
        webhook: int,
        *,
        state: DeliveryState | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page[DeliveryRecord]:
        """Return what was sent to a webhook, the newest first.

        Args:
            webhook: Its number.
            state: Only those in it.
            before: The number with which the page before ended.
            limit: The most to return.
        """
        table = tables.delivery
        limit = max(1, min(limit, MAX_PAGE))
        statement = _deliveries().where(
            table.c.webhook_id == webhook,
            table.c.id < (MAX_NUMBER if before is None else min(before, MAX_NUMBER)),
        )
        if state is not None:
            statement = statement.where(table.c.state == state)
        async with self._database.reading() as connection:
            rows = await connection.execute(statement.order_by(table.c.id.desc()).limit(limit + 1))
            return page_of(rows.all(), delivery_of, limit)

    async def get(self, webhook: int, number: int) -> DeliveryRecord:
        """Return a delivery of a webhook.

        Raises:
            DeliveryUnknown: There is none.
        """
        async with self._database.reading() as connection:
            return await _delivery(connection, webhook, number)

    async def resend(self, actor: Actor, webhook: int, number: int) -> DeliveryRecord:
        """Return a new delivery of what was sent, which waits; whether the first came or not.

        Raises:
            WebhookUnknown: There is no such webhook.
            DeliveryUnknown: It has no such delivery.
            DeliveryForgotten: Its event is purged.
            WebhookInvalid: As many wait as may.
        """
        async with self._database.writing() as connection:
            found = await _delivery(connection, webhook, number)
            if found.action is None:
                raise DeliveryForgotten(found.event)
            now = self._database.now()
            detail = {"event": found.event}
            await tell_of_webhook(connection, actor, webhook, "webhook.resent", now, detail)
            wanted = await self._wanted(connection, webhook, found.event)
        self._nudge()
        return wanted

    async def ping(self, actor: Actor, webhook: int) -> DeliveryRecord:
        """Return the delivery of an event that means nothing, which waits.

        Raises:
            WebhookUnknown: There is no such webhook.
            WebhookInvalid: As many wait as may.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            event = await tell_of_webhook(connection, actor, webhook, "webhook.tested", now, {})
            wanted = await self._wanted(connection, webhook, event)
        self._nudge()
        return wanted

    async def purge(self) -> None:
        """Forget what is too old, or too much.

        Raises:
            DatabaseUnavailable: The database does not answer; the rest stays until the next time.
        """
        table, webhook = tables.delivery, tables.webhook
        before = self._database.now() - KEPT
        gone = select(webhook.c.id).where(webhook.c.deleted_at.is_not(None))
        await self._delete(table.c.created_at < before)
        await self._delete(table.c.webhook_id.in_(gone))
        async with self._database.reading() as connection:
            counted = select(table.c.webhook_id).group_by(table.c.webhook_id)
            much = counted.having(func.count() > MAX_KEPT)
            numbers = (await connection.execute(much)).scalars().all()
        for number in numbers:
            newest = (
                select(table.c.id)
                .where(table.c.webhook_id == number)
                .order_by(table.c.id.desc())
                .offset(MAX_KEPT)
                .limit(1)
            )
            async with self._database.reading() as connection:
                last = (await connection.execute(newest)).scalar() or 0
            await self._delete((table.c.webhook_id == number) & (table.c.id <= last))
        is_used = select(table.c.id).where(table.c.webhook_id == webhook.c.id).exists()
        async with self._database.writing(is_ordered=False) as connection:
            await connection.execute(
                delete(webhook).where(webhook.c.deleted_at.is_not(None), ~is_used)
            )

    async def _delete(self, condition: ColumnElement[bool]) -> None:
        table = tables.delivery
        while True:
            some = select(table.c.id).where(condition).limit(_BATCH)
            async with self._database.writing(is_ordered=False) as connection:
                done = await connection.execute(delete(table).where(table.c.id.in_(some)))
            if done.rowcount < _BATCH:
                return

    async def _wanted(
        self, connection: AsyncConnection, webhook: int, event: int
    ) -> DeliveryRecord:
        """Have an event sent to a webhook once more."""
        table = tables.delivery
        waiting = select(func.count()).where(table.c.webhook_id == webhook, tables.WANTED)
        if (await connection.execute(waiting.select_from(table))).scalar_one() >= _MAX_WAITING:
            raise WebhookInvalid(
                f"{_MAX_WAITING} deliveries wait to be sent there, which is the most: try again"
                " when they are"
            )
        added = await connection.execute(
            insert(table)
            .values(
                webhook_id=webhook,
                event_id=event,
                state="waiting",
                attempt=0,
                created_at=self._database.now(),
            )
            .returning(table.c.id)
        )
        return await _delivery(connection, webhook, int(added.scalar_one()))


def _deliveries() -> Select[Any]:
    table, event = tables.delivery, tables.event
    return select(table, event.c.action.label("action")).outerjoin(
        event, event.c.id == table.c.event_id
    )


async def _delivery(connection: AsyncConnection, webhook: int, number: int) -> DeliveryRecord:
    table = tables.delivery
    statement = _deliveries().where(table.c.id == number, table.c.webhook_id == webhook)
    row = (await connection.execute(statement)).first()
    if row is None:
        raise DeliveryUnknown(webhook, number)
    return delivery_of(row)
