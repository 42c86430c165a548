"""Has every source of the catalog looked at by one server.

A server claims the sources that no other one has, looks at them as long as it renews its claims,
and lets them go when it ends. One that was killed loses them by time, to whoever comes first; what
was not handed over by then is found by that one's first look, since state is compared and nothing
is remembered.

A directory may be there on some servers alone. One that has it not leaves it to those that have;
only if none looks at it for a while, it says so.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import structlog

from registry.catalog.source_files import SourceFiles
from registry.catalog.source_records import SourceRecord
from registry.catalog.sources import LEASE_SECONDS, Sources
from registry.errors import DatabaseUnavailable
from registry.watcher.source_task import SourceTask, Watched

_log = structlog.get_logger("registry.watcher")

#: How often claims are renewed, and tried anew that others have.
_CLAIM_SECONDS: Final = LEASE_SECONDS / 3
#: The sources are read again at most so often, and at least when claims are renewed.
_ROUND_SECONDS: Final = 0.5
_END_SECONDS: Final = 5
#: After so long without a look, or after somebody has asked for one, a source is left by all.
_LEFT: Final = timedelta(seconds=3 * LEASE_SECONDS)
_ANSWER: Final = timedelta(seconds=LEASE_SECONDS / 2)


class Watcher:
    """Looks at the sources that this server has claimed.

    Args:
        sources: All of them.
        files: Their files.
        watched_as: How a source is looked at.
        server: The name of this server.
        now: The time as the database writes it.
        changed: Returns when something in the catalog has changed, or after some seconds.
    """

    def __init__(
        self,
        sources: Sources,
        files: SourceFiles,
        watched_as: Callable[[SourceRecord], Watched],
        server: str,
        now: Callable[[], datetime],
        changed: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sources = sources
        self._files = files
        self._watched_as = watched_as
        self._by = f"{server} {secrets.token_hex(4)}"
        self._now = now
        self._changed = changed
        self._tasks: dict[int, tuple[SourceTask, asyncio.Task[None]]] = {}
        #: When each source was claimed, or tried to be.
        self._tried: dict[int, float] = {}

    async def run(self) -> None:
        """Look until cancelled; the claims are given up then."""
        changed: asyncio.Future[None] | None = None
        try:
            while True:
                # From before they are read: what changes meanwhile is seen by the next round.
                changed = asyncio.ensure_future(self._changed(_CLAIM_SECONDS / 2))
                try:
                    await self._round()
                except DatabaseUnavailable:
                    pass
                except Exception:  # noqa: BLE001 (logged; it is tried again)
                    _log.exception("failed to look for sources")
                await changed
                await asyncio.sleep(_ROUND_SECONDS)
        finally:
            if changed is not None:
                changed.cancel()
            await self._end()

    async def _round(self) -> None:
        """Claim what is free, renew what is had, and end what is gone or has changed."""
        found = {source.id: source for source in await self._sources.watched()}
        for number in self._tasks.keys() - found.keys():
            await self._stop(number)
        self._tried = {one: at for one, at in self._tried.items() if one in found}
        clock = asyncio.get_running_loop().time
        for number, source in found.items():
            running = self._tasks.get(number)
            is_new = True
            if running is not None:
                task, looking = running
                task.ask(source.asked_at)
                is_new = looking.done() or task.source.revision != source.revision
            last = self._tried.get(number)
            if last is not None and clock() - last < _CLAIM_SECONDS and not (running and is_new):
                continue
            self._tried[number] = clock()
            if running is not None and is_new:
                await self._stop(number)
            await self._claim(source)

    async def _claim(self, source: SourceRecord) -> None:
        """Have a source looked at by this server, if no other one does or is to."""
        running = self._tasks.get(source.id)
        watched = running[0].watched if running is not None else self._watched_as(source)
        is_there = watched.is_there is None or await watched.is_there()
        if running is not None:
            is_kept = is_there or not running[0].has_failed
            if not is_kept or await self._sources.claim(source.id, self._by) is None:
                await self._stop(source.id)
                await self._sources.release(source.id, self._by)
            return
        if not is_there and not self._is_left(source):
            return
        claimed = await self._sources.claim(source.id, self._by)
        if claimed is None:
            return
        if claimed.revision != source.revision:
            watched = self._watched_as(claimed)
        task = SourceTask(claimed, watched, self._sources, self._files, self._by, self._now)
        self._tasks[source.id] = (task, asyncio.create_task(task.run()))

    def _is_left(self, source: SourceRecord) -> bool:
        """Tell whether no server looks at a source, though there was time to."""
        now = self._now()
        if source.asked_at is not None and now - source.asked_at > _ANSWER:
            return True
        if source.looked_at is None:
            return now - source.updated_at > _ANSWER
        return now - source.looked_at > _LEFT

    async def _stop(self, number: int) -> None:
        _, looking = self._tasks.pop(number)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    async def _end(self) -> None:
        numbers = list(self._tasks)
        for number in numbers:
            await self._stop(number)
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                for number in numbers:
                    await self._sources.release(number, self._by)
