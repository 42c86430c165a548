"""An image out of the store as an OCI layout directory."""

import asyncio
from pathlib import Path

from builder.build.pipeline import BuiltImage
from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.oci.layout import OciLayout
from builder.oci.models import Descriptor, ImageManifest
from builder.oci.models import parse as parse_document
from builder.ports import Store


async def export_layout(store: Store, image: BuiltImage, directory: Path, name: str) -> None:
    """Write ``image`` to ``directory`` as the only image of its index, which is written last."""
    layout = OciLayout.create(directory)
    for document in image.manifests.values():
        manifest = parse_document(ImageManifest, document.data)
        for part in [manifest.config, *manifest.layers]:
            await _copy(store, layout, part)
        layout.add(document.data)
    layout.add(image.top.data)
    layout.offer(image.top.descriptor, name)


async def _copy(store: Store, layout: OciLayout, part: Descriptor) -> None:
    path = layout.blob(Digest(part.digest))
    if path.exists() and path.stat().st_size == part.size:
        return
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        async for chunk in store.stream(blob_key(part.digest)):
            await asyncio.to_thread(file.write, chunk)
    unfinished.rename(path)
