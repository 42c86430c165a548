"""Pushing as clients do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from builder.oci.digest import Algorithm, digest_of
from builder.oci.models import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from tests.registry.asgi import Client, Reply


def descriptor(data: bytes, media_type: str, algorithm: Algorithm = "sha256") -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data)}


def manifest_of(
    config: bytes, *layers: bytes, algorithm: Algorithm = "sha256", **more: object
) -> bytes:
    """Return a manifest; ``more`` are further fields of it."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, OCI_CONFIG, algorithm),
            "layers": [descriptor(layer, OCI_LAYER_GZIP, algorithm) for layer in layers],
            **more,
        }
    ).encode()


def index_of(*manifests: bytes, **more: object) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [descriptor(one, OCI_MANIFEST) for one in manifests],
            **more,
        }
    ).encode()


async def push_blob(
    client: Client, repository: str, data: bytes, algorithm: Algorithm = "sha256"
) -> str:
    digest = digest_of(data, algorithm)
    reply = await client.post(f"/v2/{repository}/blobs/uploads/?digest={digest}", data)
    assert reply.status == 201, reply
    assert reply.headers["docker-content-digest"] == digest
    return digest


async def put_manifest(
    client: Client, repository: str, reference: str, data: bytes, query: str = ""
) -> Reply:
    headers: Mapping[str, str] = {"content_type": json.loads(data)["mediaType"]}
    return await client.put(f"/v2/{repository}/manifests/{reference}{query}", data, **headers)


async def push_image(
    client: Client, repository: str, tag: str, text: str, layers: Sequence[bytes] = ()
) -> str:
    """Push an image made from ``text`` and return its digest."""
    config, blobs = f"config of {text}".encode(), layers or [f"layer of {text}".encode()]
    for data in (config, *blobs):
        await push_blob(client, repository, data)
    reply = await put_manifest(client, repository, tag, manifest_of(config, *blobs))
    assert reply.status == 201, reply
    return reply.headers["docker-content-digest"]


async def push_referrer(
    client: Client, repository: str, subject: bytes, text: str, artifact_type: str
) -> str:
    """Push something that refers to a manifest, and return its digest."""
    await push_blob(client, repository, b"{}")
    data = manifest_of(
        b"{}",
        subject=descriptor(subject, OCI_MANIFEST),
        artifactType=artifact_type,
        annotations={"text": text},
    )
    reply = await put_manifest(client, repository, digest_of(data), data)
    assert (reply.status, reply.headers["oci-subject"]) == (201, digest_of(subject))
    return digest_of(data)
