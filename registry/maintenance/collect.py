"""Evicting what was planned, and collecting what was pushed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog

from builder.concurrency.single_flight import together
from builder.keys import FORMS
from builder.oci.digest import Digest
from builder.ports import Store
from registry.content.sweeping import delete_unheld
from registry.images.rules import forget_rules
from registry.maintenance.collect_pushed import collect_pushed
from registry.maintenance.eviction import (
    Amount,
    Budget,
    CacheItem,
    EvictionPlan,
    Kind,
    amounts,
    plan_eviction,
)
from registry.maintenance.inventory import Marks, take_inventory
from registry.storage.layout import PACKAGES, SHA256_BLOBS

#: After how many deletions it is looked anew which images were used.
_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Eviction:
    """What was evicted, and what was left after all."""

    gone: dict[Kind, Amount]
    #: Used, built, pinned or replaced since it was planned.
    spared: int = 0


async def evict(store: Store, plan: EvictionPlan, marks: Marks) -> Eviction:
    """Delete what is planned, in its order, except what was used since.

    It is looked again right before the deletions, batch by batch. Idempotent, and may be cancelled:
    what was not deleted then stays. A pull that gets in between still succeeds, since what it finds
    missing is made again.

    Args:
        store: The cache.
        plan: What is to go.
        marks: Of the inventory that was planned from.

    Raises:
        StoreUnavailable: The store does not answer; what was deleted before is gone.
    """
    gone: list[CacheItem] = []
    waiting = iter(plan.items)
    while batch := list(islice(waiting, _BATCH)):
        held = await marks.held_since(store)
        free = [item for item in batch if item.name not in held]
        deleted = await together(_delete(store, item) for item in free)
        gone.extend(item for item, is_gone in zip(free, deleted, strict=True) if is_gone)
    return Eviction(amounts(gone), len(plan.items) - len(gone))


async def collect(store: Store, budget: Budget, now: float) -> tuple[EvictionPlan, Eviction]:
    """Bring the cache below ``budget`` as far as nothing is touched that is in use.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    if await _is_small(store, budget):
        plan = plan_eviction([], budget, now)
        return plan, Eviction(plan.going)
    inventory = await take_inventory(store)
    plan = plan_eviction(inventory.items, budget, now)
    return plan, await evict(store, plan, inventory.marks)


async def collect_all(store: Store, budget: Budget, now: float, *, upload_seconds: float) -> None:
    """Take away what was pushed and is needed no more, and of the cache what is over the budget.

    Rules by which nothing was built for long go, too. What fails is logged, and the rest is done
    all the same. Several replicas may do it on one store.

    Args:
        store: The cache.
        budget: What it may keep.
        now: The time in seconds since 1970.
        upload_seconds: How long an upload may go without a request.
    """
    with _failures_logged():
        await _collect_pushed(store, now, upload_seconds)
    if budget:
        with _failures_logged():
            await _collect_cache(store, budget, now)
    with _failures_logged():
        await forget_rules(store, now)


@contextmanager
def _failures_logged() -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # noqa: BLE001 (whatever it is, the next collection may succeed)
        log = structlog.get_logger()
        log.warning("failed to collect", error=str(exc), kind=type(exc).__name__)


async def _collect_pushed(store: Store, now: float, upload_seconds: float) -> None:
    garbage = await collect_pushed(store, now, upload_seconds=upload_seconds)
    if garbage:
        structlog.get_logger().info(
            "collected what was pushed",
            blobs=garbage.blobs,
            freed_bytes=garbage.freed_bytes,
            uploads=garbage.uploads,
        )


async def _collect_cache(store: Store, budget: Budget, now: float) -> None:
    plan, eviction = await collect(store, budget, now)
    if plan.items or plan.over_bytes:
        structlog.get_logger().info(
            "collected",
            layers=eviction.gone["layer"].number,
            packages=eviction.gone["package"].number,
            forms=eviction.gone["form"].number,
            freed_bytes=sum(amount.size_bytes for amount in eviction.gone.values()),
            spared=eviction.spared,
            over_bytes=plan.over_bytes,
        )


async def _is_small(store: Store, budget: Budget) -> bool:
    """Tell whether nothing can have to go, at the price of a listing alone."""
    if budget.age_seconds is not None or budget.size_bytes is None:
        return False
    size_bytes = 0
    for prefix in (SHA256_BLOBS, FORMS, PACKAGES):
        async for entry in store.entries(prefix):
            size_bytes += entry.size_bytes
    return size_bytes <= budget.size_bytes


async def _delete(store: Store, item: CacheItem) -> bool:
    """Delete an item if it is still what was planned, and tell whether it was."""
    found = [entry async for entry in store.entries(item.key) if entry.key == item.key]
    if not found or found[0].modified != item.modified:
        return False
    if item.kind == "layer":  # somebody may mount it at this moment
        return await delete_unheld(store, Digest(f"sha256:{item.key.rpartition('/')[2]}"))
    await store.delete(item.key)
    return True
