"""Who gets a slot when more is wanted than can be done at once.

Work has the highest priority of those who want it: what one wants with much else of its own rises
when another joins it (:class:`.single_flight.SingleFlight`), wherever it waits.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

#: How much less urgent, to the machine (:func:`os.nice`), processes are that solve and build than
#: what answers requests.
NICENESS: Final = 10


class Priority:
    """A priority that can only rise; 0 is the highest."""

    def __init__(self, level: int = 0) -> None:
        self.level = level
        self._followers: set[Callable[[int], None]] = set()

    def raise_to(self, level: int) -> None:
        """Raise the priority to ``level`` if it is lower, and call all followers."""
        if level < self.level:
            self.level = level
            for follow in tuple(self._followers):
                follow(level)

    @contextmanager
    def followed(self, follow: Callable[[int], None]) -> Iterator[None]:
        """Call ``follow`` with the level now and at each rise, inside the context."""
        self._followers.add(follow)
        try:
            follow(self.level)
            yield
        finally:
            self._followers.discard(follow)


_UTMOST: Final = Priority()

#: How urgent what is done now is; inherited by every task that is begun for it.
current_priority: ContextVar[Priority] = ContextVar("current_priority", default=_UTMOST)


class PrioritySemaphore:
    """A semaphore that wakes waiters by priority, then in the order of arrival."""

    def __init__(self, count: int) -> None:
        """Make a semaphore of ``count`` slots."""
        self._free = count
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it inside the context."""
        if self._free:
            self._free -= 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._give_on()

    async def _wait(self) -> None:
        number, comes = next(self._numbers), asyncio.get_running_loop().create_future()
        with current_priority.get().followed(
            # Who rises waits twice; the second time counts for nothing.
            lambda level: heapq.heappush(self._waiting, (level, number, comes))
        ):
            try:
                await comes
            except asyncio.CancelledError:
                if not comes.cancelled():  # it came just before
                    self._give_on()
                raise

    def _give_on(self) -> None:
        while self._waiting:
            _, _, comes = heapq.heappop(self._waiting)
            if not comes.done():
                comes.set_result(None)
                return
        self._free += 1
