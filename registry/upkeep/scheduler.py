"""Carrying out schedules on this server, beside all others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from registry.errors import DatabaseUnavailable

#: How often is looked for what is due, in seconds.
_DUE_SECONDS: Final = 5
#: How often is looked for new advisories, in seconds.
_ADVISORIES_SECONDS: Final = 30
#: How often times are put right that a wrong clock has put off, in seconds.
_RIGHT_SECONDS: Final = 3600


class Due(Protocol):
    """Knows what is due; :class:`registry.catalog.due_schedules.DueSchedules`."""

    async def carry_out(self) -> int:
        """Carry out some of what is due, and return how many; 0: nothing is left."""
        ...

    async def heed_advisories(self) -> int:
        """Have those due at once that an advisory concerns."""
        ...

    async def put_right(self) -> int:
        """Bring forward what is due later than it should be."""
        ...


class Scheduler:
    """Carries out schedules again and again.

    Args:
        due: Knows them.
        clock: Seconds that only go forward: whatever the time of day does, looks go on.
        pause: Waits for a number of seconds.
    """

    def __init__(
        self,
        due: Due,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._due = due
        self._clock = clock
        self._pause = pause
        #: When each is to be done next, by the clock.
        self._heed_at = self._right_at = float("-inf")

    async def run(self) -> None:
        """Look until cancelled; a transaction that has begun is given up as a whole."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailable:
                pass
            except Exception:  # noqa: BLE001 (logged; what is due stays so)
                structlog.get_logger().exception("failed to carry out schedules")
            await self._pause(_DUE_SECONDS)

    async def look(self) -> None:
        """Carry out all that is due, and now and then look for more that should be.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        now = self._clock()
        if now >= self._right_at:
            await self._due.put_right()
            self._right_at = now + _RIGHT_SECONDS
        if now >= self._heed_at:
            await self._due.heed_advisories()
            self._heed_at = now + _ADVISORIES_SECONDS
        while await self._due.carry_out():
            pass
