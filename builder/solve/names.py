"""The names of all packages of channels, kept in memory: what every name is read with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from builder.errors import ChannelUnavailable
from builder.platforms import Subdir
from builder.spec import Channel


@dataclass(frozen=True, slots=True)
class _Names:
    names: frozenset[str]
    #: When they are to be asked for again, by the clock.
    stale_at: float


class ChannelNames:
    """Keeps names for the time-to-live; many may ask at once.

    Args:
        fetch: Asks the channel.
        ttl_seconds: How long names are kept.
        retry_seconds: How long, where the channel is down and there are older ones.
        clock: Tells the seconds.
    """

    def __init__(
        self,
        fetch: Callable[[Channel, Subdir], Awaitable[frozenset[str]]],
        *,
        ttl_seconds: float,
        retry_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._ttl_seconds = ttl_seconds
        self._retry_seconds = min(retry_seconds, ttl_seconds)
        self._clock = clock
        self._known: dict[tuple[str, Subdir], _Names] = {}
        self._locks: dict[tuple[str, Subdir], asyncio.Lock] = {}

    async def of(self, channel: Channel, platform: Subdir) -> frozenset[str]:
        """Return the names of all packages that ``channel`` has for ``platform``, with noarch.

        While the channel is down, the last names that were seen are returned.

        Raises:
            ChannelUnavailable: It does not answer, and never has.
        """
        key = (channel.url, platform)
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known.get(key)
            if known and self._clock() < known.stale_at:
                return known.names
            try:
                names, ttl_seconds = await self._fetch(channel, platform), self._ttl_seconds
            except ChannelUnavailable:
                if known is None:
                    raise
                names, ttl_seconds = known.names, self._retry_seconds
            self._known[key] = _Names(names, self._clock() + ttl_seconds)
            return names
