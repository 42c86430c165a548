"""What the cache has in it, and when each thing was used last.

::

    blobs/     ──→ layers       used when an image that has it was: images/ → manifests, used/
    packages/  ──→ archives     used when an image was whose lock has it: images/ → locks/, used/
    forms/     ──→ forms        used when the image of their build was
    pins/      ──→ locks/ ──→ their archives, and the layers of their base: not cache, but data
    holders/   ──→ what was pushed, and bases that were pushed: not cache, but data

One entry of a few hundred bytes is held for each layer and archive; images, manifests and locks are
read one after another and forgotten. The store's listings come first: what is put there while the
rest is read is not in the inventory, and so cannot be evicted.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from builder.fetch.base_image import MAX_MANIFEST_BYTES
from builder.keys import FORMS, blob_key, package_key
from builder.oci.digest import Digest, hex_of
from builder.ports import Store
from registry.images.usage import last_use
from registry.maintenance.eviction import CacheItem, Kind
from registry.maintenance.parallel import for_each
from registry.maintenance.references import (
    ImageEntry,
    build_of,
    image_entries,
    image_parts,
    image_tops,
    lock_digests,
    pinned_builds,
)
from registry.storage.layout import HOLDERS, IMAGES, PACKAGES, PINS, SHA256_BLOBS, USES


@dataclass(slots=True)
class _Found:
    size_bytes: int
    modified: float
    #: ``None`` as long as no image is known that has it.
    used: float | None = None

    def use(self, at: float) -> None:
        self.used = at if self.used is None else max(self.used, at)


@dataclass(frozen=True, slots=True)
class Marks:
    """When notes of use, images and pins were written: what differs later has been used since."""

    times: dict[str, float]

    async def held_since(self, store: Store) -> set[str]:
        """Return what belongs to builds used, built or pinned since, by :attr:`CacheItem.name`."""
        builds: set[str] = set()
        for prefix in (USES, IMAGES, PINS):
            async for entry in store.entries(prefix):
                if self.times.get(entry.key) != entry.modified:
                    builds.add(build_of(entry))
        held = set(builds)
        for build in sorted(builds):
            held |= await lock_digests(store, build)
            async for image in image_entries(store, build):
                parts = await image_parts(store, await image_tops(store, image) or set())
                held.update(hex_of(layer) for layer in parts.layers)
        return held


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole cache."""

    items: Iterable[CacheItem]
    marks: Marks


async def take_marks(store: Store) -> Marks:
    """Return the marks of now."""
    times: dict[str, float] = {}
    for prefix in (USES, IMAGES, PINS):
        async for entry in store.entries(prefix):
            times[entry.key] = entry.modified
    return Marks(times)


async def take_inventory(store: Store) -> Inventory:
    """Return everything that may be evicted: no documents, and nothing that a pinned build needs.

    Raises:
        StoreUnavailable: The store cannot be read.
    """
    marks = await take_marks(store)
    blobs = await _listed(store, "layer")
    archives = await _listed(store, "package")
    forms = await _forms(store)
    for build in await pinned_builds(store):
        digests = await lock_digests(store, build)
        for digits in digests:
            archives.pop(digits, None)
        # The base may be gone from its registry as packages may from their channel.
        bases = {Digest(f"sha256:{digits}") for digits in digests if digits in blobs}
        parts = await image_parts(store, bases)
        for digest in parts.documents | parts.layers:
            blobs.pop(hex_of(digest), None)
    # What was pushed, or is the base of an environment, is no cache.
    async for entry in store.entries(HOLDERS):
        blobs.pop(entry.key.split("/")[3], None)

    async def see(images: list[ImageEntry]) -> None:
        used = await _last_use(store, images)
        tops = [await image_tops(store, image) or set() for image in images]
        parts = await image_parts(store, set(chain.from_iterable(tops)))
        for digest in parts.documents:
            blobs.pop(hex_of(digest), None)
        for digest in parts.layers:
            if (layer := blobs.get(hex_of(digest))) is not None:
                layer.use(used)
        for form in forms.get(images[0].build, {}).values():
            form.use(used)
        for digits in await lock_digests(store, images[0].build):
            if (archive := archives.get(digits)) is not None:
                archive.use(used)

    await for_each(_by_build(image_entries(store)), see)
    await _drop_documents(store, blobs)
    items = chain(_form_items(forms), _items("package", archives), _items("layer", blobs))
    return Inventory(list(items), marks)


async def _listed(store: Store, kind: Kind) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    async for entry in store.entries(SHA256_BLOBS if kind == "layer" else PACKAGES):
        digits = entry.key.rpartition("/")[2]
        if entry.key == _key_of(kind, digits):  # what else lies there is for scrubbing to report
            found[digits] = _Found(entry.size_bytes, entry.modified)
    return found


async def _forms(store: Store) -> dict[str, dict[str, _Found]]:
    """Return the forms of each build, by key."""
    found: dict[str, dict[str, _Found]] = {}
    async for entry in store.entries(FORMS):
        forms = found.setdefault(entry.key.split("/")[1], {})
        forms[entry.key] = _Found(entry.size_bytes, entry.modified)
    return found


def _key_of(kind: Kind, digits: str) -> str:
    return package_key(digits) if kind == "package" else blob_key(Digest(f"sha256:{digits}"))


def _items(kind: Kind, found: dict[str, _Found]) -> Iterator[CacheItem]:
    for digits, one in found.items():
        yield _item(kind, _key_of(kind, digits), one)


def _form_items(found: dict[str, dict[str, _Found]]) -> Iterator[CacheItem]:
    for forms in found.values():
        for key, one in forms.items():
            yield _item("form", key, one)


def _item(kind: Kind, key: str, one: _Found) -> CacheItem:
    used = one.modified if one.used is None else one.used
    return CacheItem(kind, key, one.size_bytes, one.modified, used)


async def _by_build(images: AsyncIterator[ImageEntry]) -> AsyncIterator[list[ImageEntry]]:
    """Yield the images of each build, which are neighbours, in all their flavours."""
    group: list[ImageEntry] = []
    async for image in images:
        if group and group[0].build != image.build:
            yield group
            group = []
        group.append(image)
    if group:
        yield group


async def _last_use(store: Store, images: list[ImageEntry]) -> float:
    """Return when a build was used: to build it is to use it, and it may not be noted since."""
    built = max(image.modified for image in images)
    used = await last_use(store, images[0].build)
    return built if used is None else max(built, used)


async def _drop_documents(store: Store, blobs: dict[str, _Found]) -> None:
    """Remove the documents without an image, JSON objects such as a base's manifests."""

    async def strays() -> AsyncIterator[str]:
        for digits, one in list(blobs.items()):
            if one.used is None and one.size_bytes <= MAX_MANIFEST_BYTES:
                yield digits

    async def look(digits: str) -> None:
        blob = _key_of("layer", digits)
        try:
            start = b"".join([part async for part in store.stream(blob, 0, 1)])
        except KeyError:  # gone since it was listed
            start = b"{"
        if start == b"{":
            blobs.pop(digits)

    await for_each(strays(), look)
