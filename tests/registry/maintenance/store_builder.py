"""A store that looks as if images had been built and pulled at certain times."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from builder.keys import blob_key, form_key, lock_key, package_key
from builder.oci.digest import Digest, digest_of
from builder.oci.models import OCI_CONFIG, OCI_LAYER_ZSTD, Descriptor, ImageManifest, dump
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import image_key, pin_key, used_key

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Shelf:
    """Puts things into a store on disk, written at a time of one's choice."""

    def __init__(self, root: Path, store: FilesystemStore) -> None:
        self.root = root
        self.store = store

    async def put(self, key: str, data: bytes, at: float) -> str:
        await self.store.write(key, data)
        os.utime(self.root / key, (at, at))
        return key

    async def blob(self, data: bytes, at: float) -> Digest:
        digest = digest_of(data)
        await self.put(blob_key(digest), data, at)
        return digest

    async def layer(self, text: str, at: float) -> Digest:
        return await self.blob(ZSTD_MAGIC + text.encode(), at)

    async def package(self, text: str, at: float) -> str:
        """Put an archive, and return its sha256."""
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        await self.put(package_key(sha256), text.encode(), at)
        return sha256

    async def form(self, build: str, text: str, at: float) -> str:
        """Put a form of a build, and return its key."""
        return await self.put(form_key(build, "linux-64", 1, "archive.tar.gz"), text.encode(), at)

    async def manifest(self, layers: Sequence[Digest], at: float) -> Digest:
        config = json.dumps({"config of": layers}).encode()
        parts = [Descriptor(media_type=OCI_LAYER_ZSTD, digest=one, size=1) for one in layers]
        document = ImageManifest(
            config=Descriptor(
                media_type=OCI_CONFIG, digest=await self.blob(config, at), size=len(config)
            ),
            layers=parts,
        )
        return await self.blob(dump(document), at)

    async def image(
        self,
        build: str,
        layers: Sequence[Digest],
        packages: Sequence[str] = (),
        *,
        at: float,
        base: Digest | None = None,
        flavour: str = "oci-zstd",
    ) -> Digest:
        """Put an image that was built ``at`` with its lock, and return its manifest's digest."""
        manifest = await self.manifest(layers, at)
        lines = [f"  hash: {{sha256: {sha256}}}" for sha256 in packages]
        if base:
            lines.append(f"  pullforge.base: debian@{base}")
        await self.put(lock_key(build), "\n".join(lines).encode(), at)
        record = json.dumps({"top": manifest, "first": manifest}).encode()
        await self.put(image_key(build, flavour), record, at)
        return manifest

    async def use(self, build: str, at: float) -> None:
        await self.put(used_key(build), json.dumps({"at": at}).encode(), at)

    async def pin(self, build: str, at: float) -> None:
        await self.put(pin_key(build), b"", at)

    async def has(self, digest: Digest) -> bool:
        return await self.store.size(blob_key(digest)) is not None

    async def has_package(self, sha256: str) -> bool:
        return await self.store.size(package_key(sha256)) is not None
