"""Token buckets for any number of keys, in a fixed amount of memory.

A map of buckets has to forget some when it is full, and whoever comes from enough addresses then
gets a full bucket each time. Here nothing is forgotten: a key has one place in each of two rows, by
a hash that only this process can compute. What is taken is taken from both places; only a key whose
places are both empty is refused. So a key never has more than its own, and one that did nothing is
refused only if both of its places belong to others that took all they had: of 1,000 such others,
once in 1,000 times.

A place holds one number, the time at which its bucket will be full again (the generic cell rate
algorithm, ITU-T I.371).
"""

import hashlib
import secrets
import time
from array import array
from collections.abc import Callable
from typing import Final

#: Places in a row: half a MiB for each set of buckets.
_PLACES: Final = 32_768
_ROWS: Final = 2
#: Times are sums of many steps.
_TOLERANCE_SECONDS: Final = 1e-6


class TokenBuckets:
    """Gives ``burst`` tokens to each key, and ``per_minute`` back; ``clock`` gives seconds."""

    def __init__(
        self, burst: int, per_minute: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds_each = 60 / per_minute
        self._seconds_all = burst * self._seconds_each
        self._clock = clock
        self._hash_key = secrets.token_bytes(32)
        self._full_at = array("d", bytes(8 * _PLACES * _ROWS))

    def take(self, key: bytes, tokens: int = 1) -> float:
        """Take at most ``burst`` tokens and return 0, or none and return the seconds to wait."""
        now = self._clock()
        places = self._places(key)
        full_at = [max(self._full_at[place], now) + tokens * self._seconds_each for place in places]
        wait = min(full_at) - (now + self._seconds_all)
        if wait > _TOLERANCE_SECONDS:
            return wait
        for place, at in zip(places, full_at, strict=True):
            self._full_at[place] = at
        return 0.0

    def give_back(self, key: bytes, tokens: int = 1) -> None:
        """Put back tokens that :meth:`take` has given."""
        for place in self._places(key):
            self._full_at[place] -= tokens * self._seconds_each

    def _places(self, key: bytes) -> tuple[int, int]:
        digest = hashlib.blake2b(key, key=self._hash_key, digest_size=8).digest()
        first, second = int.from_bytes(digest[:4]), int.from_bytes(digest[4:])
        return first % _PLACES, _PLACES + second % _PLACES
