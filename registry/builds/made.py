"""What images of a build there are: one for each flavour that was asked for so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from builder.image import FLAVOURS, SCRIPTS_ANNOTATION, Flavour
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.oci.models import ImageIndex, ImageManifest, parse_manifest
from builder.platforms import PLATFORMS, Subdir
from registry.builds.images import ImageBuilds, StoredImage
from registry.content.manifests import Manifests
from registry.errors import ManifestUnknown


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """The image of one platform."""

    platform: Subdir
    #: Of its manifest.
    digest: Digest
    #: Of its layers, as they are downloaded, lowest first.
    layers: dict[Digest, int]
    #: Link scripts that were not run, as one line; empty if there are none.
    skipped_scripts: str

    @property
    def size_bytes(self) -> int:
        """What a client downloads that has nothing of it."""
        return sum(self.layers.values())


@dataclass(frozen=True, slots=True)
class MadeImage:
    """The image of a build in one flavour."""

    flavour: Flavour
    #: Of its index, or of its only manifest.
    digest: Digest
    platforms: tuple[PlatformImage, ...]


class MadeImages:
    """Finds the images of builds."""

    def __init__(self, builds: ImageBuilds, manifests: Manifests) -> None:
        self._builds = builds
        self._manifests = manifests

    async def of(self, lock: Lock) -> Sequence[MadeImage]:
        """Return the images that were made of ``lock`` and whose documents are in the store."""
        found = [await self._made(lock, flavour) for flavour in FLAVOURS]
        return [image for image in found if image is not None]

    async def _made(self, lock: Lock, flavour: Flavour) -> MadeImage | None:
        stored = await self._builds.recorded(lock.key, flavour)
        if stored is None:
            return None
        try:
            return MadeImage(flavour, stored.top, await self._platforms(lock, stored))
        except ManifestUnknown:  # deleted: made again when it is asked for
            return None

    async def _platforms(self, lock: Lock, image: StoredImage) -> tuple[PlatformImage, ...]:
        top = await self._manifests.get(image.top)
        document = parse_manifest(top.data, top.media_type)
        if isinstance(document, ImageManifest):
            return (_platform_image(next(iter(lock.platforms)), image.top, document),)
        digests = _digests(document)
        found = [await self._manifests.get(digest) for digest in digests.values()]
        return tuple(
            _platform_image(
                subdir, manifest.digest, parse_manifest(manifest.data, manifest.media_type)
            )
            for subdir, manifest in zip(digests, found, strict=True)
        )


def _digests(index: ImageIndex) -> dict[Subdir, Digest]:
    """Return the manifest of each platform."""
    by_architecture = {platform.architecture: subdir for subdir, platform in PLATFORMS.items()}
    return {
        by_architecture[entry.platform.architecture]: entry.digest
        for entry in index.manifests
        if entry.platform is not None
    }


def _platform_image(
    subdir: Subdir, digest: Digest, document: ImageManifest | ImageIndex
) -> PlatformImage:
    assert isinstance(document, ImageManifest), "images made here have no indexes of indexes"
    return PlatformImage(
        subdir,
        digest,
        {layer.digest: layer.size for layer in document.layers},
        (document.annotations or {}).get(SCRIPTS_ANNOTATION, ""),
    )
