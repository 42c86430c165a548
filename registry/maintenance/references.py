"""What images and locks hold: which layers, which documents, which package archives.

Locks are searched for digests rather than parsed: parsing takes a millisecond a package, and a
collector reads every lock of the store. That finds the digest of every package and of the base;
what else looks like a digest names nothing in the store, so nothing is missed and nothing is kept
that should go.
"""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from builder.errors import BuilderError
from builder.keys import blob_key, lock_key
from builder.oci.digest import Digest, parse_digest
from builder.oci.models import ImageIndex, media_type_of, parse_manifest
from builder.ports import Store, StoreEntry
from registry.storage.layout import IMAGES, PINS

_SHA256: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class ImageParts:
    """What hangs on a manifest or index."""

    #: Manifests, indexes and configs: small, and never evicted.
    documents: set[Digest] = field(default_factory=set)
    layers: set[Digest] = field(default_factory=set)
    #: Those of the documents that are manifests or indexes and not in the store.
    missing: set[Digest] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One ``images/<build>.<flavour>.json``."""

    build: str
    key: str
    #: When it was built last, in seconds since 1970.
    modified: float


async def image_entries(store: Store, build: str = "") -> AsyncIterator[ImageEntry]:
    """Yield every image, or those of one build in each flavour, sorted by build."""
    async for entry in store.entries(f"{IMAGES}{build}"):
        yield ImageEntry(build_of(entry), entry.key, entry.modified)


def build_of(entry: StoreEntry) -> str:
    """Return the build that something belongs to by its name, e.g. ``pins/<build>``."""
    return entry.key.rpartition("/")[2].partition(".")[0]


async def pinned_builds(store: Store) -> set[str]:
    """Return the keys of the builds that must stay makeable."""
    return {build_of(entry) async for entry in store.entries(PINS)}


async def image_tops(store: Store, image: ImageEntry) -> set[Digest] | None:
    """Return the digests that an image's record leads to; ``None`` when it is gone or damaged."""
    data = await store.read(image.key)
    try:
        record = json.loads(data or b"")
        return {parse_digest(record["top"]), parse_digest(record["first"])}
    except (ValueError, KeyError, TypeError, BuilderError):
        return None


async def image_parts(store: Store, tops: set[Digest]) -> ImageParts:
    """Return all that hangs on manifests and indexes, as far as these are in the store."""
    parts = ImageParts()
    waiting = list(tops)
    while waiting:
        digest = waiting.pop()
        if digest in parts.documents or not is_well_formed(digest):
            continue
        parts.documents.add(digest)
        data = await store.read(blob_key(digest))
        if data is None:
            parts.missing.add(digest)
            continue
        try:
            document = parse_manifest(data, media_type_of(data))
        except BuilderError:
            continue  # damaged: for scrubbing to find
        if isinstance(document, ImageIndex):
            waiting.extend(child.digest for child in document.manifests)
        else:
            parts.documents.add(document.config.digest)
            parts.layers.update(layer.digest for layer in document.layers)
    return parts


def is_well_formed(digest: Digest) -> bool:
    """Tell whether a digest that somebody else's document names is one: blobs have no others."""
    try:
        parse_digest(digest)
    except BuilderError:
        return False
    return True


async def lock_digests(store: Store, build: str) -> set[str]:
    """Return everything in a lock that looks like a sha256, as 64 hex digits."""
    data = await store.read(lock_key(build))
    return {found.decode() for found in _SHA256.findall(data or b"")}
