"""Manifests and indexes by digest."""

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from builder.build.image import KEY_ANNOTATION
from builder.errors import BaseImageError
from builder.keys import blob_key
from builder.oci.digest import Algorithm, Digest, digest_of
from builder.oci.models import media_type_of
from builder.ports import Store
from registry.content.documents import MEDIA_TYPES
from registry.errors import ManifestUnknown

#: What clients accept and registries must take (distribution-spec, "Pushing Manifests").
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index, byte for byte."""

    digest: Digest
    #: For example ``"application/vnd.oci.image.manifest.v1+json"``.
    media_type: str
    data: bytes
    #: The key of the build that it is an image of, if that is known.
    build: str | None = field(default=None, compare=False)


class Manifests:
    """Keeps manifests among the blobs of a store, and ``memory_bytes`` of the latest in memory."""

    def __init__(self, store: Store, *, memory_bytes: int = 64 * 1024 * 1024) -> None:
        self._store = store
        self._memory_bytes = memory_bytes
        self._used_bytes = 0
        self._recent: OrderedDict[Digest, Manifest] = OrderedDict()

    async def get(self, digest: Digest, media_type: str | None = None) -> Manifest:
        """Return the manifest as ``media_type``, or with ``None`` as what the document says.

        Raises:
            ManifestUnknown: It is not in the store, or is a blob of another kind.
        """
        manifest = self.at_hand(digest)
        if manifest is not None and media_type in {None, manifest.media_type}:
            return manifest
        key = blob_key(digest)
        size = await self._store.size(key)
        # A layer has the same kind of key: it must not be read into memory to find out.
        data = None if size is None or size > MAX_MANIFEST_BYTES else await self._store.read(key)
        manifest = None if data is None else _read(data, digest, media_type)
        if manifest is None:
            raise ManifestUnknown(f"there is no manifest {digest} here")
        self._remember(manifest)
        return manifest

    def at_hand(self, digest: Digest) -> Manifest | None:
        """Return the manifest with that digest if it is in memory."""
        manifest = self._recent.get(digest)
        if manifest is not None:
            self._recent.move_to_end(digest)
        return manifest

    async def put(self, data: bytes, media_type: str, algorithm: Algorithm = "sha256") -> Manifest:
        """Store a manifest that was checked, so that it can be read by digest; idempotent."""
        manifest = Manifest(digest_of(data, algorithm), media_type, data, _build_of(data))
        await self._store.write(blob_key(manifest.digest), data)
        self._remember(manifest)
        return manifest

    def forget(self, digest: Digest) -> None:
        """Drop a manifest from memory, since it may be deleted; harmless if it is not there."""
        manifest = self._recent.pop(digest, None)
        self._used_bytes -= len(manifest.data) if manifest else 0

    def _remember(self, manifest: Manifest) -> None:
        """Keep ``manifest`` in memory; those used longest ago go."""
        before = self._recent.pop(manifest.digest, None)
        self._used_bytes += len(manifest.data) - (len(before.data) if before else 0)
        self._recent[manifest.digest] = manifest
        while self._used_bytes > self._memory_bytes:
            _, oldest = self._recent.popitem(last=False)
            self._used_bytes -= len(oldest.data)


def _read(data: bytes, digest: Digest, media_type: str | None) -> Manifest | None:
    """Return a document as ``media_type``, or as what it says of itself; ``None`` if it is none."""
    try:
        said = media_type_of(data)
    except BaseImageError:
        return None
    if media_type is None and said not in MEDIA_TYPES:
        return None
    return Manifest(digest, media_type or said, data, _build_of(data))


def _build_of(data: bytes) -> str | None:
    """Return the key of the build that a manifest or index says it is an image of."""
    annotations = json.loads(data).get("annotations")
    key = annotations.get(KEY_ANNOTATION) if isinstance(annotations, dict) else None
    return key if isinstance(key, str) else None
