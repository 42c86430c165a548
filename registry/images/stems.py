"""What a lock has in common with its variants: images of the same packages.

A variant is another image of a lock, without its base or for another user, and has a lock and key
of its own (:mod:`registry.sources.variants`). Whether one lock is a variant of another is seen by
their stems, which are small and kept for ever, and not by the locks, which are large.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Final

from lru import LRU

from builder.keys import lock_key
from builder.lock import Lock, from_yaml
from builder.ports import Store, Workers
from registry.storage.layout import stem_key

#: So many are remembered.
_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Stem:
    """What decides of which locks a lock can be a variant."""

    #: The key of the lock without base and user.
    packages: str
    #: Name and digest of the base; ``""`` for none.
    base: str

    def has_variant(self, other: "Stem") -> bool:
        """Tell whether a lock of ``other`` is the same one, or a variant of it.

        >>> whole, bare = Stem("a1", "debian@sha256:e3"), Stem("a1", "")
        >>> whole.has_variant(bare), bare.has_variant(whole)
        (True, False)
        """
        return self.packages == other.packages and other.base in {"", self.base}


def stem_of(lock: Lock) -> Stem:
    """Return the stem of a lock; some milliseconds of computation."""
    base = f"{lock.base.name}@{lock.base.digest}" if lock.base is not None else ""
    return Stem(replace(lock, base=None, user="").key, base)


class Stems:
    """Reads stems; what is not written yet is computed of the lock."""

    def __init__(self, store: Store, workers: Workers) -> None:
        self._store = store
        self._workers = workers
        #: By key; they never change.
        self._known: LRU[str, Stem] = LRU(_REMEMBERED)

    async def of_key(self, key: str) -> Stem | None:
        """Return the stem of a kept lock; ``None``: there is no such lock.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if key in self._known:
            return self._known[key]
        stem = await self._of_key(key)
        if stem is not None:
            self._known[key] = stem
        return stem

    async def _of_key(self, key: str) -> Stem | None:
        data = await self._store.read(stem_key(key))
        if data is not None:
            return Stem(**json.loads(data))
        lock = await self._store.read(lock_key(key))
        if lock is None:
            return None
        stem = await self._workers.run(_stem_in, lock)
        await self._store.write(stem_key(key), json.dumps(asdict(stem)).encode())
        return stem

    async def of_lock(self, lock: Lock) -> Stem:
        """Return the stem of a lock, whether or not it is kept."""
        return await self._workers.run(stem_of, lock)


def _stem_in(data: bytes) -> Stem:
    return stem_of(from_yaml(data))
