"""What images of a build there are: one for each flavour that was asked for so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from builder.build.image import FLAVOURS, SCRIPTS_ANNOTATION, Flavour
from builder.exports.image_tree import read_manifest, read_tree
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.platforms import Subdir
from builder.ports import Store
from registry.images.images import ImageBuilds


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """The image of one platform."""

    platform: Subdir
    #: Of its manifest.
    digest: Digest
    #: How many layers there are, and what a client downloads that has none of them.
    layers: int
    size_bytes: int
    #: Link scripts that were not run, as one line; empty if there are none.
    skipped_scripts: str


@dataclass(frozen=True, slots=True)
class BuiltFlavour:
    """The image of a build in one flavour."""

    flavour: Flavour
    #: Of its index, or of its only manifest.
    digest: Digest
    platforms: tuple[PlatformImage, ...]


class BuiltFlavours:
    """Finds the images of builds."""

    def __init__(self, store: Store, builds: ImageBuilds) -> None:
        self._store = store
        self._builds = builds

    async def of(self, lock: Lock) -> Sequence[BuiltFlavour]:
        """Return the images that were made of ``lock`` and whose documents are in the store."""
        found = [await self._made(lock, flavour) for flavour in FLAVOURS]
        return [image for image in found if image is not None]

    async def _made(self, lock: Lock, flavour: Flavour) -> BuiltFlavour | None:
        stored = await self._builds.records.recorded(lock.key, flavour)
        if stored is None:
            return None
        try:
            tree = await read_tree(self._store, lock, stored.top)
            platforms = [
                await self._platform(subdir, descriptor.digest)
                for subdir, descriptor in tree.manifests.items()
            ]
        except KeyError:  # deleted: made again when it is asked for
            return None
        return BuiltFlavour(flavour, stored.top, tuple(platforms))

    async def _platform(self, subdir: Subdir, digest: Digest) -> PlatformImage:
        manifest = await read_manifest(self._store, digest)
        return PlatformImage(
            platform=subdir,
            digest=digest,
            layers=len(manifest.layers),
            size_bytes=sum(layer.size for layer in manifest.layers),
            skipped_scripts=(manifest.annotations or {}).get(SCRIPTS_ANNOTATION, ""),
        )
