"""An image as one file, as ``docker save`` of 25 and later writes it.

::

    blobs/sha256/<digest>   layers, config, manifest
    index.json              the manifest with its name: OCI's layout, for podman, skopeo, containerd
    manifest.json           config, name and layers: for docker
    oci-layout

Source: OCI image-spec, image-layout.md; moby's ``image/tarexport``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from builder.install.tar_writer import GENERATED_MTIME, TarWriter
from builder.oci.digest import Digest, hex_of
from builder.oci.layout import REF_NAME
from builder.oci.models import Descriptor, ImageIndex, ImageManifest, PlatformModel, dump
from builder.platforms import Platform

#: Under which name containerd, and docker with its store, keep an image that they load.
_IMAGE_NAME: Final = "io.containerd.image.name"
_CHUNK: Final = 1024 * 1024


def tar_documents(
    top: Descriptor, manifest: ImageManifest, platform: Platform, key: str
) -> dict[str, bytes]:
    """Return the files of the tar beside its blobs, by name.

    ``top`` points at ``manifest``, whose layers are compressed with gzip; the image is named
    ``build/<key>:latest``.
    """
    name = f"build/{key}:latest"
    entry = top.model_copy(
        update={
            "platform": PlatformModel(
                architecture=platform.architecture, os=platform.os, variant=platform.variant
            ),
            # docker.io is what docker puts in front of names without a host.
            "annotations": {_IMAGE_NAME: f"docker.io/{name}", REF_NAME: "latest"},
        }
    )
    saved = {
        "Config": blob_name(manifest.config.digest),
        "RepoTags": [name],
        "Layers": [blob_name(layer.digest) for layer in manifest.layers],
    }
    return {
        "index.json": dump(ImageIndex(manifests=[entry])),
        "manifest.json": json.dumps([saved]).encode(),
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
    }


def blob_name(digest: Digest) -> str:
    """Return what a blob is called in the tar."""
    return f"blobs/sha256/{hex_of(digest)}"


def write_image_tar(
    blobs: Mapping[Digest, Path], documents: Mapping[str, bytes], out: Path
) -> None:
    """Write the tar to ``out``, the same bytes from the same arguments; no file is left on failure.

    ``blobs`` has the manifest and all below it; ``documents`` come from :func:`tar_documents`.

    Raises:
        FileNotFoundError: A blob is gone.
    """
    with out.open("xb") as file:
        try:
            tar = TarWriter(file.write)
            for digest in sorted(blobs):
                _add_blob(tar, digest, blobs[digest])
            for name in sorted(documents):
                data = documents[name]
                tar.add_file(name, 0o644, GENERATED_MTIME, len(data), [data])
            tar.finish()
        except BaseException:
            out.unlink()
            raise


def _add_blob(tar: TarWriter, digest: Digest, path: Path) -> None:
    with path.open("rb") as blob:
        size = path.stat().st_size
        chunks = iter(lambda: blob.read(_CHUNK), b"")
        tar.add_file(blob_name(digest), 0o644, GENERATED_MTIME, size, chunks)
