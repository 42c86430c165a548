"""Which blobs a repository of some builds has: a named environment's are those of its versions.

``origins/`` tells of a blob the first lock that it was made for, and layers are shared by many. So
where that lock is none of the repository's, the documents of its own images are read: those of the
keys that are asked for first, in each flavour that was built, and of their variants.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, get_args

from lru import LRU

from builder.build.image import Flavour
from builder.concurrency.single_flight import together
from builder.oci.digest import Digest, digest_of
from builder.oci.models import ImageIndex, parse_manifest
from registry.content.manifests import Manifests
from registry.errors import ManifestUnknown
from registry.images.records import ImageRecords
from registry.images.tag_records import TagRecords
from registry.sources.source import BUILDS

FLAVOURS: Final[tuple[Flavour, ...]] = get_args(Flavour)
#: The config of every artifact.
_EMPTY: Final = digest_of(b"{}")
#: So many builds are looked at at once.
_BATCH: Final = 16
#: So many digests are looked for at once: each may read the documents of many builds.
_PARALLEL: Final = 4
#: So many images are remembered with all they consist of: a few kilobytes each.
_REMEMBERED: Final = 2000


class Holdings:
    """Finds which of some builds has a blob.

    Args:
        records: What is written down of images.
        tags: Know which variants of a build were pulled.
        manifests: Reads the documents of images.
    """

    def __init__(self, records: ImageRecords, tags: TagRecords, manifests: Manifests) -> None:
        self._records = records
        self._tags = tags
        self._manifests = manifests
        self._parts: LRU[tuple[str, Flavour], frozenset[Digest]] = LRU(_REMEMBERED)
        self._turns = asyncio.Semaphore(_PARALLEL)

    async def holder(self, keys: Sequence[str], digest: Digest) -> str | None:
        """Return a build of ``keys`` that has a blob, itself or in a variant; ``None``: none has.

        Whether the blob's bytes are in the store does not matter.

        Args:
            keys: Of builds; those that are looked at first come first.
            digest: Of a manifest, config, layer or artifact.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        origin = await self._records.origin(digest)
        if origin is None or not keys:
            return None
        if origin.key in keys or digest == _EMPTY:
            return origin.key if origin.key in keys else keys[0]
        async with self._turns:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                found = await together(self._has(key, digest, origin.key) for key in batch)
                for key, has in zip(batch, found, strict=True):
                    if has:
                        return key
        return None

    async def _has(self, key: str, digest: Digest, made_for: str) -> bool:
        if await self._is_part(key, digest):
            return True
        async for variant in self._variants(key):
            if variant == made_for or await self._is_part(variant, digest):
                return True
        return False

    async def _variants(self, key: str) -> AsyncIterator[str]:
        """Yield the keys of the variants of a build that were pulled."""
        repository = f"{BUILDS}{key}"
        for tag in await self._tags.names(repository):
            record = await self._tags.get(repository, tag)
            if record is not None:
                yield record.key

    async def _is_part(self, key: str, digest: Digest) -> bool:
        for flavour in FLAVOURS:
            parts = self._parts.get((key, flavour))
            if parts is None:
                parts = await self._read(key, flavour)
            if digest in parts:
                return True
        return False

    async def _read(self, key: str, flavour: Flavour) -> frozenset[Digest]:
        """Return all that an image consists of; nothing while it was not built, or is gone."""
        image = await self._records.recorded(key, flavour)
        if image is None:
            return frozenset()
        found: set[Digest] = set()
        wanted = [image.top]
        try:
            while wanted:
                digest = wanted.pop()
                manifest = await self._manifests.get(digest)
                document = parse_manifest(manifest.data, manifest.media_type)
                if isinstance(document, ImageIndex):
                    wanted += [child.digest for child in document.manifests]
                else:
                    found.update(part.digest for part in (document.config, *document.layers))
                found.add(digest)
        except ManifestUnknown:
            return frozenset()
        parts = self._parts[key, flavour] = frozenset(found)
        return parts
