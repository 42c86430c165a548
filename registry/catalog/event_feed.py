"""New events, read once for all who follow them on this server.

::

    a change is seen ─→ one query ─→ the last events, in memory ─→ those who wait for one of them

Each who follows waits for what concerns the place that they follow: whatever happens elsewhere
wakes nobody else, and nobody asks the database about it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from registry.catalog.records import Event
from registry.errors import DatabaseUnavailable, TooManyStreams

#: How many somebody may follow at once, on one server.
MAX_STREAMS: Final = 50
#: So many events are read at once, and so many of the last are kept for those who are behind.
BATCH: Final = 200
_KEPT: Final = 1000
#: After how long is looked for events of which no change told.
_LOOK_SECONDS: Final = 5

#: Namespace and environment; ``None``: any.
Place = tuple[str | None, str | None]


class ReadEvents(Protocol):
    """Reads events from the database."""

    async def after(self, number: int, limit: int) -> Sequence[Event]:
        """Return the first events after that of a number."""
        ...

    async def newest(self) -> int:
        """Return the number of the newest event; 0: there is none."""
        ...


class EventFeed:
    """Reads events as long as anybody follows, and wakes whom they concern.

    Args:
        events: Where they are.
        changed: Returns when anything may have happened since it was called, or after seconds.
    """

    def __init__(self, events: ReadEvents, changed: Callable[[float], Awaitable[None]]) -> None:
        self._events = events
        self._changed = changed
        self._kept: deque[Event] = deque()
        #: All events between the two numbers are kept; ``None``: nothing was read yet.
        self._forgotten = 0
        self._last: int | None = None
        self._waiting: dict[Place, set[asyncio.Event]] = {}
        self._following: Counter[str] = Counter()
        self._reader: asyncio.Task[None] | None = None

    @property
    def last(self) -> int:
        """The number of the last event that was read; 0: none was yet."""
        return self._last or 0

    def require_room(self, who: str) -> None:
        """Return if somebody may follow once more.

        Raises:
            TooManyStreams: They may not.
        """
        if self._following[who] >= MAX_STREAMS:
            raise TooManyStreams(MAX_STREAMS)

    @asynccontextmanager
    async def following(self, who: str, place: Place) -> AsyncIterator[asyncio.Event]:
        """Give what is set when there is something new at a place.

        Raises:
            TooManyStreams: Whoever it is follows too many already.
        """
        self.require_room(who)
        woken = asyncio.Event()
        self._following[who] += 1
        self._waiting.setdefault(place, set()).add(woken)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="events")
        try:
            yield woken
        finally:
            self._leave(who, place, woken)

    def after(self, number: int, place: Place) -> Sequence[Event] | None:
        """Return the events at a place after that of a number; ``None``: not all are kept."""
        if self._last is None or number < self._forgotten:
            return None
        found: list[Event] = []
        for event in reversed(self._kept):
            if event.id <= number:
                break
            if place in _places_of(event):
                found.append(event)
        return found[::-1]

    def _leave(self, who: str, place: Place, woken: asyncio.Event) -> None:
        self._waiting[place].discard(woken)
        if not self._waiting[place]:
            del self._waiting[place]
        self._following[who] -= 1
        if not self._following[who]:
            del self._following[who]
        if not self._following and self._reader is not None:
            self._reader.cancel()
            self._reader = self._last = None
            self._kept.clear()

    async def _read(self) -> None:
        while True:
            # Waited for from before the query: what happens during it is not missed.
            changed = asyncio.ensure_future(self._changed(_LOOK_SECONDS))
            try:
                is_behind = await self._read_once()
                if not is_behind:
                    await changed
            except DatabaseUnavailable:
                await changed
            except Exception:  # noqa: BLE001 (logged; the next query may succeed)
                structlog.get_logger().exception("failed to read events")
                await changed
            finally:
                changed.cancel()
                await asyncio.gather(changed, return_exceptions=True)

    async def _read_once(self) -> bool:
        """Read what is new, and tell whether there is more."""
        if self._last is None:
            self._forgotten = self._last = await self._events.newest()
            for place in list(self._waiting):
                self._wake(place)
            return False
        found = await self._events.after(self._last, BATCH)
        if not found:
            return False
        self._kept.extend(found)
        while len(self._kept) > _KEPT:
            self._forgotten = self._kept.popleft().id
        self._last = found[-1].id
        for place in {place for event in found for place in _places_of(event)}:
            self._wake(place)
        return len(found) == BATCH

    def _wake(self, place: Place) -> None:
        for woken in self._waiting.get(place, ()):
            woken.set()


def _places_of(event: Event) -> tuple[Place, ...]:
    """Return the places of which an event is told to those who follow."""
    return (None, None), (event.namespace, None), (event.namespace, event.environment)
