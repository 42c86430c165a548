"""Taking the files of builds away that nobody keeps any more: layers and forms, for they are large.

::

    gone     builds that are given up, and variants of them that nobody has used since
    others   every other image in the store: what they have stays
    stays    the lock, the documents of the image, what was pushed, the base of pinned builds,
             and the archives of packages: pinned ones are kept, others are for eviction to take

What is left is enough to answer a pull by a tag or a digest: what is missing is made again then.
An image that was built, or used, since its build was given up is not gone.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass

from builder.oci.digest import hex_of
from builder.ports import Store
from registry.images.tag_records import TagRecords
from registry.images.usage import last_use
from registry.maintenance.collect import Eviction, evict
from registry.maintenance.eviction import GRACE_SECONDS, CacheItem, EvictionPlan, amounts
from registry.maintenance.inventory import Marks, take_inventory
from registry.maintenance.parallel import for_each
from registry.maintenance.references import ImageEntry, image_entries, image_parts, image_tops
from registry.sources.source import BUILDS


@dataclass(frozen=True, slots=True)
class Freeing:
    """What is to go."""

    #: Each once, however many builds have it.
    items: tuple[CacheItem, ...]
    #: What of each build is among it, in bytes: of what several have, in each.
    by_build: Mapping[str, int]
    marks: Marks

    @property
    def size_bytes(self) -> int:
        """How much it is."""
        return sum(item.size_bytes for item in self.items)


async def plan_freeing(
    store: Store, gone: Mapping[str, float], now: float, *, only: Collection[str] | None = None
) -> Freeing:
    """Return what of builds that are given up nothing else needs.

    Args:
        store: Has their images.
        gone: The keys of the builds, and since when they are, in seconds since 1970.
        now: The time in seconds since 1970.
        only: Those of the builds whose files are to go; ``None``: all of them.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    inventory = await take_inventory(store)
    images: dict[str, list[ImageEntry]] = {}
    async for image in image_entries(store):
        images.setdefault(image.build, []).append(image)
    builds = await _all_gone(store, gone, images, now)
    free = {
        item.name: item
        for item in inventory.items
        if item.kind == "layer" and item.modified < now - GRACE_SECONDS
    }
    parts: dict[str, set[str]] = {}
    for build in sorted(builds):
        found = await _layers(store, images.get(build, []))
        parts[build] = {digits for digits in found if digits in free}
    going = set().union(*parts.values()) if parts else set()

    async def keep(build: str) -> None:
        going.difference_update(await _layers(store, images[build]))

    if going:
        await for_each(_each(build for build in images if build not in builds), keep)
    if only is not None:
        builds = {build: owner for build, owner in builds.items() if owner in only}
        going &= set().union(*(parts[build] for build in builds))
    forms = [item for item in inventory.items if item.kind == "form" and item.name in builds]
    by_build = dict.fromkeys(gone, 0)
    for build, owner in builds.items():
        by_build[owner] += sum(free[one].size_bytes for one in parts[build] & going)
        by_build[owner] += sum(item.size_bytes for item in forms if item.name == build)
    items = (*forms, *(free[digits] for digits in sorted(going)))
    return Freeing(items, by_build, inventory.marks)


async def carry_out(store: Store, freeing: Freeing) -> Eviction:
    """Delete what is planned, but for what was used, built, pinned or pushed since.

    Idempotent, and may be cancelled; what was not deleted then is planned the next time.

    Raises:
        StoreUnavailable: The store does not answer; what was deleted before is gone.
    """
    plan = EvictionPlan(freeing.items, amounts(freeing.items), over_bytes=0)
    return await evict(store, plan, freeing.marks)


def freed_bytes(eviction: Eviction) -> int:
    """Return how much was deleted."""
    return sum(amount.size_bytes for amount in eviction.gone.values())


async def _all_gone(
    store: Store,
    gone: Mapping[str, float],
    images: Mapping[str, list[ImageEntry]],
    now: float,
) -> dict[str, str]:
    """Return the builds that are gone, and their variants that are: to the build of each."""
    tags = TagRecords(store)
    found: dict[str, str] = {}
    for key in sorted(gone):
        variants: set[str] = set()
        repository = f"{BUILDS}{key}"
        for tag in await tags.names(repository):
            record = await tags.get(repository, tag)
            if record is not None:
                variants.add(record.key)
        for build in (key, *sorted(variants - gone.keys())):
            built = max((image.modified for image in images.get(build, ())), default=0.0)
            used = await last_use(store, build) or 0.0
            if built <= gone[key] and used <= min(gone[key], now - GRACE_SECONDS):
                found[build] = key
    return found


async def _layers(store: Store, images: list[ImageEntry]) -> set[str]:
    """Return the layers of images, as 64 hex digits each."""
    found: set[str] = set()
    for image in images:
        parts = await image_parts(store, await image_tops(store, image) or set())
        found.update(hex_of(layer) for layer in parts.layers)
    return found


async def _each(builds: Iterable[str]) -> AsyncIterator[str]:
    for build in builds:
        yield build
