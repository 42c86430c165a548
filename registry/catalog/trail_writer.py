"""Writes what was noted of requests into the audit log, a few times a second, all of it together.

While the database does not answer, it waits in memory, as much of it as there is room for; what is
lost is counted, and said in the log.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from registry.auth.trail import Noted, Trail
from registry.catalog.journal import add_events
from registry.catalog.lookup import searchable
from registry.database import Database
from registry.errors import DatabaseUnavailable

#: How often is looked whether there is something, in seconds.
_EVERY_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 2
#: How long the last of it may take when the server ends.
_LAST_SECONDS: Final = 3
#: So many are written in one transaction.
BATCH: Final = 500
_MAX_TEXT: Final = 400
_MAX_ADDRESS: Final = 64
_MAX_NAME: Final = 200


class TrailWriter:
    """Empties a trail into the database.

    Args:
        database: Where events are.
        trail: What was noted.
        is_namespace: Tells whether there is a namespace of a slug.
    """

    def __init__(
        self, database: Database, trail: Trail, is_namespace: Callable[[str], bool]
    ) -> None:
        self._database = database
        self._trail = trail
        self._is_namespace = is_namespace

    async def run(self) -> None:
        """Write until cancelled; then write the rest, if that is soon done."""
        try:
            while True:
                try:
                    written = await self.write()
                except DatabaseUnavailable:
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                except Exception:  # noqa: BLE001 (logged; what is noted later may be written)
                    structlog.get_logger().exception("failed to write the audit log")
                    written = 0
                if written < BATCH:
                    await asyncio.sleep(_EVERY_SECONDS)
        finally:
            await self._write_rest()

    async def write(self) -> int:
        """Write what waits, some of it, and return how many that were.

        Raises:
            DatabaseUnavailable: It does not answer; what was to be written waits again.
        """
        taken = self._trail.take(BATCH)
        if not taken:
            return 0
        events = [one for one in taken if self._is_told(one)]
        try:
            if events:
                async with self._database.writing() as connection:
                    await add_events(connection, [_values(one) for one in events])
        except (DatabaseUnavailable, asyncio.CancelledError):
            self._trail.put_back(taken)
            raise
        except Exception:
            self._trail.lose(taken)
            raise
        return len(taken)

    def _is_told(self, event: Noted) -> bool:
        return not event.needs_namespace or self._is_namespace(event.namespace or "")

    async def _write_rest(self) -> None:
        self._trail.end()
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while await self.write():
                    pass
        left = len(self._trail)
        if left:
            self._trail.lose(self._trail.take(left))


def _values(event: Noted) -> Mapping[str, Any]:
    """Return the columns of an event: what clients send can be as long and odd as they like."""
    # Nothing is looked up of what a slug stands for: so these are in no list but the audit log's.
    return {
        "at": event.at,
        "actor": _short(event.actor, _MAX_NAME),
        "token_id": event.token,
        "address": _short(event.address, _MAX_ADDRESS) or "",
        "via": event.via,
        "action": event.action,
        "namespace": _short(event.namespace, _MAX_NAME),
        "environment": _short(event.environment, _MAX_NAME),
        "detail": _clean(event.detail) or None,
    }


def _short(text: str | None, most: int) -> str | None:
    return None if text is None else searchable(text[:most])


def _clean(value: Any) -> Any:
    """Return what JSON of either database can hold."""
    if isinstance(value, str):
        return _short(value, _MAX_TEXT)
    if isinstance(value, Mapping):
        return {str(name): _clean(one) for name, one in value.items()}
    if isinstance(value, Sequence):
        return [_clean(one) for one in value]
    return value
