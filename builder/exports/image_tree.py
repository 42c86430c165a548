"""The documents of an image that is in the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from builder.errors import BaseImageError
from builder.keys import blob_key
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.oci.models import Descriptor, ImageIndex, ImageManifest, media_type_of, parse_manifest
from builder.platforms import PLATFORMS, Subdir
from builder.ports import Store


@dataclass(frozen=True, slots=True)
class ImageTree:
    """What an image's top leads to, in one flavour."""

    #: The index, or the only manifest.
    top: Descriptor
    #: The manifest of each platform.
    manifests: Mapping[Subdir, Descriptor]

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """Index and manifests, each once, the top first."""
        return tuple({d.digest: d for d in (self.top, *self.manifests.values())}.values())


async def read_tree(store: Store, lock: Lock, top: Digest) -> ImageTree:
    """Return the tree of an image of ``lock``.

    Raises:
        KeyError: The top is not in the store.
    """
    data = await _read(store, top)
    described = Descriptor(media_type=media_type_of(data), digest=top, size=len(data))
    document = parse_manifest(data, described.media_type)
    if not isinstance(document, ImageIndex):
        return ImageTree(described, dict.fromkeys(lock.platforms, described))
    by_architecture = {
        child.platform.architecture: child.model_copy(update={"platform": None})
        for child in document.manifests
        if child.platform
    }
    manifests = {
        subdir: by_architecture[PLATFORMS[subdir].architecture] for subdir in lock.platforms
    }
    return ImageTree(described, manifests)


async def read_manifest(store: Store, digest: Digest) -> ImageManifest:
    """Return a manifest.

    Raises:
        KeyError: It is not in the store.
        BaseImageError: It is an index.
    """
    data = await _read(store, digest)
    document = parse_manifest(data, media_type_of(data))
    if not isinstance(document, ImageManifest):
        raise BaseImageError(f"{digest} is an index, not the manifest of one platform")
    return document


async def _read(store: Store, digest: Digest) -> bytes:
    data = await store.read(blob_key(digest))
    if data is None:
        raise KeyError(digest)
    return data
