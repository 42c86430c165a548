"""Which images are used: noted in the store, since neither S3 nor most disks say when one reads.

``used/<key>.json`` holds ``{"at": seconds}`` for each build. A note is up to :data:`NOTE_SECONDS`
older than the last use, so that an image in constant use costs one small write an hour.
"""

import json
from collections.abc import Callable
from typing import Final

import structlog
from lru import LRU

from builder.errors import StoreUnavailable
from builder.ports import Store
from registry.storage.layout import used_key

#: How long a use is not noted again, in seconds.
NOTE_SECONDS: Final = 3600
#: How long after a store that failed to take a note the next one is tried, in seconds.
_RETRY_SECONDS: Final = 60
#: How many images are remembered; one that is forgotten is merely noted again.
_REMEMBERED: Final = 10_000


async def last_use(store: Store, key: str) -> float | None:
    """Return the noted time of the last use, in seconds since 1970; ``None`` if unreadable."""
    try:
        return float(json.loads(await store.read(used_key(key)) or b"")["at"])
    except (ValueError, KeyError, TypeError):
        return None


async def note_use(store: Store, key: str, at: float) -> None:
    """Note when build ``key`` was used last, in seconds since 1970."""
    await store.write(used_key(key), json.dumps({"at": at}).encode())


class Usage:
    """Notes when images are used; eviction takes those used longest ago first."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        #: Build key → when its next use is to be noted.
        self._due: LRU[str, float] = LRU(_REMEMBERED)

    def is_noted(self, key: str) -> bool:
        """Tell whether :meth:`note` has nothing to write now."""
        due = self._due.get(key)
        return due is not None and self._now() < due

    async def note(self, key: str) -> None:
        """Note that the image of build ``key`` is used now.

        At most one write an hour for each image and process; all other calls return at once, and
        cost as much as a look into a dictionary. Once the call that writes has returned, no
        collector takes the image's layers for unused. A store that fails is logged and nothing is
        raised: a pull never fails by it.
        """
        if self.is_noted(key):
            return
        now = self._now()
        # Before the write: of many pulls at once only one writes.
        self._due[key] = now + NOTE_SECONDS
        try:
            await note_use(self._store, key, now)
        except (StoreUnavailable, OSError) as exc:
            self._due[key] = now + _RETRY_SECONDS
            structlog.get_logger().warning("failed to note a use", key=key, error=str(exc))
