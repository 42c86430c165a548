"""The layers of images, with the packages that are in each, by the documents in the store."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from lru import LRU

from builder.build.image import FLAVOURS
from builder.concurrency.single_flight import together
from builder.exports.image_tree import read_manifest
from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.oci.models import ImageConfig, ImageIndex, media_type_of, parse, parse_manifest
from builder.platforms import PLATFORMS, Subdir
from builder.ports import Store
from registry.images.records import ImageRecords

#: So many images are remembered: they never change.
_REMEMBERED: Final = 300
_BY_ARCHITECTURE: Final = {one.architecture: subdir for subdir, one in PLATFORMS.items()}
#: Who says in a config that a layer is of packages.
_OURS: Final = "pullforge"


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer."""

    digest: Digest
    #: As it is fetched.
    size_bytes: int
    #: Name and version of each package in it, e.g. ``("numpy 2.3.1",)``.
    packages: tuple[str, ...]
    is_base: bool


@dataclass(frozen=True, slots=True)
class LayeredImage:
    """The image of one platform."""

    #: Of its manifest.
    digest: Digest
    config: Digest
    config_bytes: int
    #: Lowest first.
    layers: tuple[ImageLayer, ...]

    @property
    def size_bytes(self) -> int:
        """What a client fetches that has nothing of it."""
        return self.bytes_beyond(())

    def bytes_beyond(self, digests: Collection[str]) -> int:
        """Return what a client fetches that has some blobs already."""
        parts = {layer.digest: layer.size_bytes for layer in self.layers}
        parts[self.config] = self.config_bytes
        return sum(size for digest, size in parts.items() if digest not in digests)

    @property
    def digests(self) -> frozenset[Digest]:
        """Of its config and layers."""
        return frozenset({self.config, *(layer.digest for layer in self.layers)})


class ImageLayers:
    """Reads what layers images have, and remembers it.

    Args:
        store: Has the documents of images.
        records: Know where they are.
    """

    def __init__(self, store: Store, records: ImageRecords) -> None:
        self._store = store
        self._records = records
        self._known: LRU[str, Mapping[Subdir, LayeredImage]] = LRU(_REMEMBERED)

    async def of(self, key: str) -> Mapping[Subdir, LayeredImage]:
        """Return the image of a build for each platform; nothing is made that is not there.

        Empty: it was not built yet, or its documents were evicted before anybody looked.

        Raises:
            StoreUnavailable: It does not answer.
        """
        known = self._known.get(key)
        if known is not None:
            return known
        for flavour in FLAVOURS:
            stored = await self._records.recorded(key, flavour)
            if stored is None:
                continue
            try:
                found = await self._read(stored.top)
            except KeyError:
                continue
            self._known[key] = found
            return found
        return {}

    async def is_there(self, image: LayeredImage) -> bool:
        """Tell whether the manifest of an image is in the store at this moment."""
        return await self._store.size(blob_key(image.digest)) is not None

    async def _read(self, top: Digest) -> Mapping[Subdir, LayeredImage]:
        """Return the images of an index, or the one that there is.

        Raises:
            KeyError: A document is not in the store.
        """
        data = await self._document(top)
        document = parse_manifest(data, media_type_of(data))
        children = [top]
        if isinstance(document, ImageIndex):
            children = [child.digest for child in document.manifests]
        images = await together(self._image(child) for child in children)
        return dict(sorted((subdir, image) for subdir, image in images if subdir is not None))

    async def _image(self, digest: Digest) -> tuple[Subdir | None, LayeredImage]:
        manifest = await read_manifest(self._store, digest)
        config = parse(ImageConfig, await self._document(manifest.config.digest))
        contents = _contents(config)
        below = len(manifest.layers) - len(contents)
        layers = [
            ImageLayer(
                layer.digest,
                layer.size,
                contents[place - below] if place >= below else (),
                is_base=place < below,
            )
            for place, layer in enumerate(manifest.layers)
        ]
        image = LayeredImage(digest, manifest.config.digest, manifest.config.size, tuple(layers))
        return _BY_ARCHITECTURE.get(config.architecture), image

    async def _document(self, digest: Digest) -> bytes:
        data = await self._store.read(blob_key(digest))
        if data is None:
            raise KeyError(digest)
        return data


def _contents(config: ImageConfig) -> list[tuple[str, ...]]:
    """Return the packages of each layer that is above the base.

    A base that was built here says the same of its layers, with a time of its own.
    """
    found = []
    for entry in reversed(config.history or []):
        if entry.created_by != _OURS or entry.created != config.created or entry.empty_layer:
            break
        words = (entry.comment or "").split(" ")
        pairs = zip(words[::2], words[1::2], strict=False)
        found.append(tuple(" ".join(pair) for pair in pairs))
    return found[::-1]
