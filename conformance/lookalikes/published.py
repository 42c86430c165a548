"""An image of a layout as BuildKit pushes it to a registry: with attestations, in either family."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import zstandard

Family = Literal["oci", "docker"]
Compression = Literal["gzip", "zstd"]
Document = dict[str, Any]

_OCI: Final = "application/vnd.oci.image"
_DOCKER: Final = "application/vnd.docker"
_MANIFEST: Final[Mapping[Family, str]] = {
    "oci": f"{_OCI}.manifest.v1+json",
    "docker": f"{_DOCKER}.distribution.manifest.v2+json",
}
_INDEX: Final[Mapping[Family, str]] = {
    "oci": f"{_OCI}.index.v1+json",
    "docker": f"{_DOCKER}.distribution.manifest.list.v2+json",
}
_CONFIG: Final[Mapping[Family, str]] = {
    "oci": f"{_OCI}.config.v1+json",
    "docker": f"{_DOCKER}.container.image.v1+json",
}
_LAYER: Final[Mapping[tuple[Family, Compression], str]] = {
    ("oci", "gzip"): f"{_OCI}.layer.v1.tar+gzip",
    ("oci", "zstd"): f"{_OCI}.layer.v1.tar+zstd",
    ("docker", "gzip"): f"{_DOCKER}.image.rootfs.diff.tar.gzip",
    ("docker", "zstd"): f"{_DOCKER}.image.rootfs.diff.tar.zstd",
}


def published(
    read: Callable[[str], bytes | None],
    add: Callable[[bytes], str],
    root: str,
    family: Family,
    compression: Compression,
) -> bytes:
    """Return the index of an image; what it names is added.

    Args:
        read: Returns what has a digest.
        add: Keeps something and returns its digest.
        root: The digest of the layout's index.
        family: Whose media types documents have. Docker's have no attestations.
        compression: How layers are compressed.
    """
    manifests: list[Document] = []
    for entry in _document(read, root)["manifests"]:
        image = _document(read, entry["digest"])
        image["mediaType"] = _MANIFEST[family]
        image["config"]["mediaType"] = _CONFIG[family]
        for layer in image["layers"]:
            if compression == "zstd":
                data = zstandard.compress(gzip.decompress(read(layer["digest"]) or b""))
                layer |= {"digest": add(data), "size": len(data)}
            layer["mediaType"] = _LAYER[family, compression]
        data = json.dumps(image).encode()
        described: Document = {
            "mediaType": _MANIFEST[family],
            "digest": add(data),
            "size": len(data),
        }
        if family == "oci":
            manifests.append(_attestation(add, described["digest"]))
        manifests.append(entry | described)
    index = {"schemaVersion": 2, "mediaType": _INDEX[family], "manifests": manifests}
    return json.dumps(index).encode()


def _attestation(add: Callable[[bytes], str], image: str) -> Document:
    """Return an entry of the index that is an image to nobody."""
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1"}).encode()
    layer = {"mediaType": "application/vnd.in-toto+json", "digest": add(statement)}
    config = {"mediaType": _CONFIG["oci"], "digest": add(b"{}"), "size": 2}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST["oci"],
        "config": config,
        "layers": [layer | {"size": len(statement)}],
    }
    data = json.dumps(manifest).encode()
    return {
        "mediaType": _MANIFEST["oci"],
        "digest": add(data),
        "size": len(data),
        "annotations": {
            "vnd.docker.reference.digest": image,
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }


def _document(read: Callable[[str], bytes | None], digest: str) -> Document:
    data = read(digest)
    assert data is not None, f"the layout lacks {digest}"
    document: Document = json.loads(data)
    return document
