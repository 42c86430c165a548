"""What locks say that is in no row, remembered: they never change."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lru import LRU

from builder.lock import Lock

_REMEMBERED: Final = 5000


@dataclass(frozen=True, slots=True)
class LockFacts:
    """What a lock says beside its packages."""

    #: Variables of the image's environment.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The base with its digest; ``None``: there is none.
    base: str | None = None


class KnownLockFacts:
    """Reads what locks say beside their packages.

    Args:
        lock: Returns a lock by its key, or raises what is then raised here.
    """

    def __init__(self, lock: Callable[[str], Awaitable[Lock]]) -> None:
        self._lock = lock
        self._known: LRU[str, LockFacts] = LRU(_REMEMBERED)

    async def of(self, key: str) -> LockFacts:
        """Return what a lock says.

        Raises:
            BuildUnknown: There is none.
            BuildBlocked: Nobody may have its build.
        """
        known = self._known.get(key)
        if known is not None:
            return known
        lock = await self._lock(key)
        base = f"{lock.base.name}@{lock.base.digest}" if lock.base is not None else None
        self._known[key] = LockFacts(lock.variables, base)
        return self._known[key]
