"""Manifests and indexes by digest."""

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from builder.image import KEY_ANNOTATION
from builder.keys import blob_key
from builder.oci.digest import Digest, digest_of
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES
from builder.ports import Store
from registry.errors import ManifestUnknown

#: What clients accept and registries must take (distribution-spec, "Pushing Manifests").
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024

_MEDIA_TYPES: Final = INDEX_TYPES | MANIFEST_TYPES


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
    """Keeps manifests among the blobs of a store, and those used last in memory."""

    def __init__(self, store: Store, *, memory_bytes: int = 64 * 1024 * 1024) -> None:
        """Read and write through to ``store``.

        Args:
            store: Where they are kept.
            memory_bytes: How many bytes of manifests are kept in memory at most.
        """
        self._store = store
        self._memory_bytes = memory_bytes
        self._used_bytes = 0
        self._recent: OrderedDict[Digest, Manifest] = OrderedDict()

    async def get(self, digest: Digest) -> Manifest:
        """Return the manifest with that digest.

        Raises:
            ManifestUnknown: It is not in the store, or is a blob of another kind.
        """
        manifest = self._recent.get(digest)
        if manifest is not None:
            self._recent.move_to_end(digest)
            return manifest
        key = blob_key(digest)
        size = await self._store.size(key)
        # A layer has the same kind of key: it must not be read into memory to find out.
        data = None if size is None or size > MAX_MANIFEST_BYTES else await self._store.read(key)
        manifest = None if data is None else _read(data, digest)
        if manifest is None:
            raise ManifestUnknown(f"there is no manifest {digest} here")
        self._remember(manifest)
        return manifest

    async def put(self, data: bytes, media_type: str | None = None) -> Manifest:
        """Store a manifest; it can be read by its digest afterwards, here and elsewhere.

        Idempotent. ``media_type`` is what the document itself says if not given.

        Raises:
            ValueError: The document is no manifest, is too large, or says another media type.
        """
        manifest = _read(data, digest_of(data))
        if (
            manifest is None
            or len(data) > MAX_MANIFEST_BYTES
            or media_type not in {None, manifest.media_type}
        ):
            raise ValueError(f"not a manifest of type {media_type or 'known here'}")
        await self._store.write(blob_key(manifest.digest), data)
        self._remember(manifest)
        return manifest

    def _remember(self, manifest: Manifest) -> None:
        """Keep ``manifest`` in memory; those used longest ago go."""
        before = self._recent.pop(manifest.digest, None)
        self._used_bytes += len(manifest.data) - (len(before.data) if before else 0)
        self._recent[manifest.digest] = manifest
        while self._used_bytes > self._memory_bytes:
            _, oldest = self._recent.popitem(last=False)
            self._used_bytes -= len(oldest.data)


def _read(data: bytes, digest: Digest) -> Manifest | None:
    """Return what a document says of itself, if it is a manifest or index."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    media_type = document.get("mediaType") if isinstance(document, dict) else None
    if not isinstance(media_type, str) or media_type not in _MEDIA_TYPES:
        return None
    annotations = document.get("annotations")
    key = annotations.get(KEY_ANNOTATION) if isinstance(annotations, dict) else None
    return Manifest(digest, media_type, data, key if isinstance(key, str) else None)
