"""What leaves the cache: a pure decision over what is there and when it was used.

What was used longest ago goes first: everything older than the budget's age, and of the rest as
much as the cache is too large. A package archive goes before a layer that was used at the same
moment, since a pull needs the layer and only an assembly needs the archive; and a form of a build
(an archive of it, an SBOM) before both, since no pull needs it. What was used or
written within the grace stays, even if the cache is too large then: a pull or a build may be at it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Self

from registry.images.usage import NOTE_SECONDS

#: What the cache consists of; also the order in which things of the same age go.
Kind = Literal["form", "package", "layer"]
KINDS: Final[tuple[Kind, ...]] = ("form", "package", "layer")

#: How long a thing is left alone, in seconds: an hour after it was used or written. The second
#: hour is since notes of a use may be so much older than the use.
GRACE_SECONDS: Final = 3600 + NOTE_SECONDS

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Budget:
    """How much the cache may keep; ``None`` is no bound."""

    #: What layers, forms and archives of packages that are not pinned may take together.
    size_bytes: int | None = None
    #: How long something unused stays, in seconds.
    age_seconds: float | None = None

    @classmethod
    def of(cls, size_bytes: int | None, days: float | None) -> Self:
        """Return the budget that an administrator writes in days."""
        return cls(size_bytes, None if days is None else days * DAY_SECONDS)

    def __bool__(self) -> bool:
        """Tell whether there is any bound."""
        return self.size_bytes is not None or self.age_seconds is not None


@dataclass(frozen=True, slots=True)
class CacheItem:
    """One thing that can be made again from locks."""

    kind: Kind
    #: Where it is in the store.
    key: str
    size_bytes: int
    #: When it was put there, in seconds since 1970.
    modified: float
    #: When an image that has it was used last; when it was put there, if there is no such image.
    used: float

    @property
    def name(self) -> str:
        """What uses are looked up by: the digits of a layer or archive, the build of a form."""
        parts = self.key.split("/")
        return parts[1] if self.kind == "form" else parts[-1]


@dataclass(frozen=True, slots=True)
class Amount:
    """How many things, and how large they are together."""

    number: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class EvictionPlan:
    """What is to go, and from how much."""

    #: In the order in which they go.
    items: tuple[CacheItem, ...]
    #: The whole cache before, by kind.
    cache: dict[Kind, Amount]
    #: What is above the budget even when all items are gone: it was used too lately.
    over_bytes: int

    @property
    def going(self) -> dict[Kind, Amount]:
        """What goes, by kind."""
        return amounts(self.items)


def plan_eviction(items: Iterable[CacheItem], budget: Budget, now: float) -> EvictionPlan:
    """Return what has to go so that the rest keeps to ``budget``.

    >>> old = CacheItem("layer", "blobs/sha256/aa/aa", 70, modified=0, used=10)
    >>> new = CacheItem("layer", "blobs/sha256/bb/bb", 70, modified=0, used=20)
    >>> plan = plan_eviction([new, old], Budget(size_bytes=100), now=1_000_000)
    >>> [item.key for item in plan.items], plan.over_bytes
    (['blobs/sha256/aa/aa'], 0)

    Args:
        items: The whole cache, in any order; the same items give the same plan.
        budget: What may stay.
        now: The time in seconds since 1970.
    """
    ordered = sorted(items, key=lambda item: (item.used, KINDS.index(item.kind), item.key))
    left_bytes = sum(item.size_bytes for item in ordered)
    limit = left_bytes if budget.size_bytes is None else budget.size_bytes
    is_old_before = now - budget.age_seconds if budget.age_seconds is not None else float("-inf")
    is_left_alone_from = now - GRACE_SECONDS
    going: list[CacheItem] = []
    for item in ordered:
        if item.used >= is_old_before and left_bytes <= limit:
            break
        if max(item.used, item.modified) < is_left_alone_from:
            going.append(item)
            left_bytes -= item.size_bytes
    return EvictionPlan(tuple(going), amounts(ordered), max(0, left_bytes - limit))


def amounts(items: Iterable[CacheItem]) -> dict[Kind, Amount]:
    """Return how much there is of each kind; every kind is in it."""
    numbers: Counter[Kind] = Counter()
    sizes: Counter[Kind] = Counter()
    for item in items:
        numbers[item.kind] += 1
        sizes[item.kind] += item.size_bytes
    return {kind: Amount(numbers[kind], sizes[kind]) for kind in KINDS}
