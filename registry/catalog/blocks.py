"""Builds that administrators keep from everybody, until they are let go again."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_change, add_event, queue_documents
from registry.catalog.lookup import MAX_PAGE, checked_text, cursor, page_after, searchable
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Page
from registry.database import Database, tables
from registry.database.types import Identity, UtcDateTime
from registry.errors import (
    BlockUnknown,
    BuildBlocked,
    BuildUnknown,
)

_KEY: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Block:
    """A build that nobody gets."""

    key: str
    reason: str
    blocked_by: str | None
    at: datetime


async def require_clear(connection: AsyncConnection, key: str) -> None:
    """Return if no administrator keeps a build from everybody; variants of it are not looked at.

    Raises:
        BuildBlocked: One does.
    """
    table = tables.block
    statement = select(table.c.reason).where(table.c.key == key)
    reason = (await connection.execute(statement)).scalar()
    if reason is not None:
        raise BuildBlocked(key, reason)


class Blocks:
    """Blocks builds, and lets them go.

    All methods raise :class:`~registry.errors.DatabaseUnavailable` when it does not answer.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
    """

    def __init__(self, database: Database, settled: Settled = settled_nowhere) -> None:
        self._database = database
        self._settled = settled

    async def block(self, actor: Actor, key: str, reason: str) -> Block:
        """Keep a build from everybody, on every server from now on; another reason replaces one.

        Raises:
            BuildUnknown: That is no key.
            CatalogTextInvalid: The reason cannot be kept.
        """
        _require_key(key)
        reason = checked_text("reason", reason)
        table = tables.block
        async with self._database.writing() as connection:
            now = self._database.now()
            before = (await connection.execute(select(table).where(table.c.key == key))).first()
            if before is not None and before.reason == reason:
                return _block(before)
            await connection.execute(delete(table).where(table.c.key == key))
            values = {"key": key, "reason": reason, "blocked_by": actor.name, "at": now}
            row = (await connection.execute(insert(table).values(**values).returning(table))).one()
            detail = {"key": key, "before": _told(before), "after": {"reason": reason}}
            await _tell(connection, actor, now, "build.blocked", key, detail)
            change = await _publish(connection, key, now)
        await self._settled(change)
        return _block(row)

    async def unblock(self, actor: Actor, key: str) -> None:
        """Let a build be had again, on every server from now on.

        Raises:
            BlockUnknown: It is not blocked.
        """
        table = tables.block
        async with self._database.writing() as connection:
            now = self._database.now()
            statement = delete(table).where(table.c.key == searchable(key)).returning(table)
            row = (await connection.execute(statement)).first()
            if row is None:
                raise BlockUnknown(key)
            detail = {"key": key, "before": _told(row), "after": {}}
            await _tell(connection, actor, now, "build.unblocked", key, detail)
            change = await _publish(connection, key, now)
        await self._settled(change)

    async def get(self, key: str) -> Block:
        """Return why a build is blocked.

        Raises:
            BlockUnknown: It is not.
        """
        table = tables.block
        async with self._database.reading() as connection:
            statement = select(table).where(table.c.key == searchable(key))
            row = (await connection.execute(statement)).first()
        if row is None:
            raise BlockUnknown(key)
        return _block(row)

    async def list(self, *, after: str | None = None, limit: int = 50) -> Page[Block]:
        """Return what is blocked, by key.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        limit = max(1, min(limit, MAX_PAGE))
        table = tables.block
        statement = select(table).where(table.c.key > page_after(after)).order_by(table.c.key)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement.limit(limit + 1))).all()
        more = cursor(rows[limit - 1].key) if len(rows) > limit else None
        return Page([_block(row) for row in rows[:limit]], more)


def _require_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise BuildUnknown(key)


def _block(row: Row[Any]) -> Block:
    return Block(row.key, row.reason, row.blocked_by, row.at)


def _told(row: Row[Any] | None) -> dict[str, Any]:
    return {} if row is None else {"reason": row.reason, "blocked_by": row.blocked_by}


async def _publish(connection: AsyncConnection, key: str, now: datetime) -> int:
    await queue_documents(connection, [f"blocked:{key}"], now)
    return await add_change(connection, "block", key, now)


async def _tell(
    connection: AsyncConnection,
    actor: Actor,
    now: datetime,
    action: str,
    key: str,
    detail: dict[str, Any],
) -> None:
    """Write an event for administrators, and one for each environment that has the build."""
    await add_event(connection, actor, now, action, detail=detail)
    version, environment, event = tables.version, tables.environment, tables.event
    space = tables.namespace
    moment = literal(now, UtcDateTime)
    has_it = (
        select(
            moment,
            literal(actor.name),
            literal(actor.token, Identity),
            literal(actor.address),
            literal(actor.via),
            literal(action),
            space.c.slug,
            environment.c.slug,
            literal(detail, event.c.detail.type),
            space.c.id,
            environment.c.id,
        )
        .join(space, space.c.id == environment.c.namespace_id)
        .where(
            environment.c.deleted_at.is_(None),
            environment.c.id.in_(select(version.c.environment_id).where(version.c.key == key)),
        )
    )
    await connection.execute(
        insert(event).from_select(
            [
                *("at", "actor", "token_id", "address", "via", "action", "namespace"),
                *("environment", "detail", "namespace_id", "environment_id"),
            ],
            has_it,
        )
    )
