"""Base images: from a reference to a digest, and from a digest to blobs in the store.

The store has much that not everybody may read, and a lock that somebody sends names whatever it
likes. So a digest that is found in the store proves nothing: a part of a base is taken from there
only when it once came from where the base's name says, and that is written down in ``bases/``.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from builder.concurrency.single_flight import together
from builder.errors import BaseImageError, BaseImageUnavailable
from builder.fetch.saving import save
from builder.keys import base_part_key, blob_key
from builder.oci.digest import Digest, algorithm_of, digest_of, hex_of, parse_digest
from builder.oci.layout import OciLayout
from builder.oci.models import (
    DOCKER_LAYERS,
    MANIFEST_TYPES,
    Descriptor,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    media_type_of,
    parse,
    parse_manifest,
)
from builder.oci.reference import is_repository, is_tag, parse_reference
from builder.oci.remote import RemoteRegistry
from builder.platforms import Platform
from builder.ports import PushedBases, Store
from builder.records import BaseReference

#: What a base reference starts with when it is a layout directory.
LAYOUT_SCHEME = "oci:"
#: What it starts with when it is an image that was pushed to this registry, also in locks.
PUSHED_SCHEME = "registry:"
#: The name of every layout directory in a lock: paths differ between machines.
LAYOUT_NAME = "oci-layout"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_CHUNK = 1024 * 1024
_LAYER_TYPES = frozenset({*DOCKER_LAYERS, *DOCKER_LAYERS.values()})


@dataclass(frozen=True, slots=True)
class BaseImage:
    """One platform of a base image; its layers are in the store."""

    config: ImageConfig
    layers: tuple[Descriptor, ...]


class BaseImages:
    """Finds base images and keeps their blobs in the store; timeouts are those of ``http``.

    ``layout`` serves bases named ``oci-layout`` in locks, ``pushed`` those of this registry. A
    layer of more than ``max_layer_bytes`` is refused.
    """

    def __init__(
        self,
        store: Store,
        http: httpx.AsyncClient,
        scratch: Path,
        layout: Path | None = None,
        pushed: PushedBases | None = None,
        *,
        max_layer_bytes: int = 64 * 1024**3,
    ) -> None:
        self._store = store
        self._remote = RemoteRegistry(http)
        self._scratch = scratch
        self._layout = OciLayout(layout) if layout else None
        self._pushed = pushed
        self._max_layer_bytes = max_layer_bytes
        #: What references meant when their registry answered last.
        self._last: dict[str, BaseReference] = {}

    async def resolve(self, reference: str) -> BaseReference:
        """Return what a reference (``oci:/dir``, ``registry:name:tag``, another's) means now.

        An image of this registry stays in the store from now on, for the locks that name it. While
        another registry does not answer, a reference means what it last did.

        Raises:
            BaseImageError: It is not a reference, or there is no such image.
            BaseImageUnavailable: The registry does not answer.
        """
        if reference.startswith(LAYOUT_SCHEME):
            images = OciLayout(Path(reference.removeprefix(LAYOUT_SCHEME))).images()
            if len(images) != 1:
                raise BaseImageError(
                    f"the OCI layout of the base image offers {len(images)} images, not one"
                )
            return BaseReference(LAYOUT_NAME, parse_digest(images[0].digest))
        if reference.startswith(PUSHED_SCHEME):
            repository, tag = split_pushed(reference)
            if self._pushed is None:
                raise BaseImageError(f"there is no registry here that could have '{reference}'")
            digest = await self._pushed.hold(repository, tag)
            return BaseReference(f"{PUSHED_SCHEME}{repository}", digest)
        parsed = parse_reference(reference)
        if parsed.digest:
            return BaseReference(parsed.name, parsed.digest)
        try:
            found = BaseReference(parsed.name, await self._remote.digest(parsed))
        except BaseImageUnavailable:
            if reference not in self._last:
                raise
            return self._last[reference]
        self._last[reference] = found
        return found

    async def fetch(
        self, base: BaseReference, platform: Platform, *, is_locked: bool = False
    ) -> BaseImage:
        """Return the image for ``platform``, with every layer in the store.

        ``is_locked``: a lock of this store names the base, so its parts in the store are trusted.

        Raises:
            BaseImageError: It is malformed, has no such platform, or is not where its name says.
            BaseImageUnavailable: A part is missing and its registry does not answer.
        """
        parts = _Parts(self._store, base, is_locked=is_locked)
        if base.name.startswith(PUSHED_SCHEME) and not await parts.may_be_taken(base.digest):
            await self.resolve(f"{base.name}@{base.digest}")
        document = await self._document(parts, base.digest)
        if isinstance(document, ImageIndex):
            child = _for_platform(document, platform, base)
            document = await self._document(parts, child.digest)
        if not isinstance(document, ImageManifest):
            raise BaseImageError(f"the base image {base.name} is an index of indexes")
        config = parse(ImageConfig, await self._bytes(parts, document.config.digest, "blobs"))
        if len(config.rootfs.diff_ids) != len(document.layers):
            raise BaseImageError(f"the config of the base image {base.name} misses a layer")
        for layer in document.layers:
            if layer.media_type not in _LAYER_TYPES:
                raise BaseImageError(
                    f"the base image {base.name} has a layer of the type {layer.media_type}, which"
                    " is none of a filesystem for everyone: choose another base"
                )
            if layer.size > self._max_layer_bytes:
                raise BaseImageError(
                    f"the base image {base.name} has a layer of {layer.size} bytes; this server"
                    f" accepts layers up to {self._max_layer_bytes}"
                )
        await together(self._ensure_blob(parts, layer) for layer in document.layers)
        return BaseImage(config, tuple(document.layers))

    async def _document(self, parts: "_Parts", digest: Digest) -> ImageManifest | ImageIndex:
        data = await self._bytes(parts, digest, "manifests")
        return parse_manifest(data, media_type_of(data))

    async def _bytes(self, parts: "_Parts", digest: Digest, kind: str) -> bytes:
        """Return a small document from the store, else from where the base comes from."""
        if await parts.may_be_taken(digest):
            data = await self._store.read(blob_key(digest))
            if data is not None:
                return data
        base = parts.base
        data = b"".join(
            [chunk async for chunk in self._source(base, digest, kind, MAX_MANIFEST_BYTES)]
        )
        if digest_of(data, algorithm_of(digest)) != digest:
            raise BaseImageError(f"{base.name} answered other bytes than those of {digest}")
        await self._store.write(blob_key(digest), data)
        await parts.came(digest)
        return data

    async def _ensure_blob(self, parts: "_Parts", layer: Descriptor) -> None:
        key = blob_key(layer.digest)
        if await parts.may_be_taken(layer.digest) and await self._store.size(key) == layer.size:
            return
        base = parts.base
        path = self._scratch / f"base-{secrets.token_hex(8)}"
        digest = hashlib.new(algorithm_of(layer.digest))
        pieces = self._source(base, layer.digest, "blobs", None)
        try:
            seen = await save(pieces, path, [digest], max_bytes=layer.size)
            if seen != layer.size or digest.hexdigest() != hex_of(layer.digest):
                raise BaseImageError(f"{base.name} answered other bytes than those of a layer")
            await self._store.adopt(key, path)
            await parts.came(layer.digest)
        finally:
            path.unlink(missing_ok=True)

    async def _source(
        self, base: BaseReference, digest: Digest, kind: str, limit: int | None
    ) -> AsyncIterator[bytes]:
        """Yield unverified bytes of the base; ``limit`` is the most to accept of a registry."""
        if base.name.startswith(PUSHED_SCHEME):
            raise BaseImageError(
                f"a part of the base image {base.name}@{digest} is not in this server's store;"
                f" push that image to '{base.name.removeprefix(PUSHED_SCHEME)}' again"
            )
        if base.name != LAYOUT_NAME:
            reference = parse_reference(f"{base.name}@{digest}")
            async for chunk in self._remote.stream(reference, kind, limit):
                yield chunk
            return
        path = self._layout.blob(digest) if self._layout else None
        if path is None or not path.is_file():
            # A lock that somebody made up may name it: trying again is of no use.
            raise BaseImageError(
                f"the base image {digest} is not in this server's store or base layout;"
                " put the layout it was locked with in place again"
            )
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk


class _Parts:
    """Knows which parts of a base may be taken from the store."""

    def __init__(self, store: Store, base: BaseReference, *, is_locked: bool) -> None:
        self.base = base
        self._store = store
        self._is_locked = is_locked

    async def may_be_taken(self, digest: Digest) -> bool:
        """Tell whether a part is known to have come from where the base lies."""
        key = base_part_key(self.base.name, digest)
        return self._is_locked or await self._store.size(key) is not None

    async def came(self, digest: Digest) -> None:
        """Write down that a part came from there just now."""
        await self._store.write(base_part_key(self.base.name, digest), b"")


def split_pushed(reference: str) -> tuple[str, str]:
    """Return repository, and tag or digest, of an image that was pushed to this registry.

    Raises:
        BaseImageError: It is not written as one.

    >>> split_pushed("registry:bases/debian"), split_pushed("registry:a@sha256:e3b0")
    (('bases/debian', 'latest'), ('a', 'sha256:e3b0'))
    """
    rest, _, digest = reference.removeprefix(PUSHED_SCHEME).partition("@")
    repository, _, tag = rest.partition(":")
    if not is_repository(repository) or not (digest or not tag or is_tag(tag)):
        raise BaseImageError(
            f"'{reference}' is no image of this registry: write it as registry:REPOSITORY:TAG"
        )
    return repository, digest or tag or "latest"


def _for_platform(index: ImageIndex, platform: Platform, base: BaseReference) -> Descriptor:
    """Return the index's entry for ``platform``; the first one where several fit."""
    for entry in index.manifests:
        is_ours = entry.platform is not None and (
            (entry.platform.os, entry.platform.architecture) == (platform.os, platform.architecture)
        )
        if is_ours and entry.media_type in MANIFEST_TYPES:
            return entry
    raise BaseImageError(f"the base image {base.name} has no {platform.os}/{platform.architecture}")
