import json

import pytest

from builder.keys import blob_key
from builder.oci.digest import digest_of
from builder.oci.models import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from registry.content.manifests import MAX_MANIFEST_BYTES, Manifests
from registry.errors import ManifestUnknown
from registry.storage.filesystem import FilesystemStore

pytestmark = pytest.mark.anyio


def document(number: int = 0, media_type: str = OCI_MANIFEST) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "number": number}).encode()


async def test_a_manifest_is_read_by_its_digest_elsewhere(store: FilesystemStore) -> None:
    put = await Manifests(store).put(document(media_type=OCI_INDEX), OCI_INDEX)
    assert await Manifests(store).get(put.digest) == put
    assert put.media_type == OCI_INDEX
    assert await store.read(blob_key(put.digest)) == document(media_type=OCI_INDEX)


async def test_an_unknown_digest_is_an_error(store: FilesystemStore) -> None:
    with pytest.raises(ManifestUnknown):
        await Manifests(store).get(digest_of(b"nothing"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b layer",
        b"[]",
        b"{}",
        b'{"mediaType":[]}',
        b'{"mediaType":"application/json"}',
        b'{"architecture":"amd64"}',
        b"[" * 100_000,
        json.dumps({"mediaType": OCI_MANIFEST, "x": "x" * MAX_MANIFEST_BYTES}).encode(),
    ],
    ids=lambda data: repr(data[:20]),
)
async def test_a_blob_of_another_kind_is_no_manifest(store: FilesystemStore, data: bytes) -> None:
    manifests = Manifests(store)
    await store.write(blob_key(digest_of(data)), data)
    with pytest.raises(ManifestUnknown):
        await manifests.get(digest_of(data))


async def test_what_a_manifest_was_pushed_as_counts_when_it_does_not_say(
    store: FilesystemStore,
) -> None:
    data = b'{"schemaVersion":2,"config":{},"layers":[]}'
    manifests = Manifests(store)
    await store.write(blob_key(digest_of(data)), data)
    assert (await manifests.get(digest_of(data))).media_type == OCI_MANIFEST
    assert (await manifests.get(digest_of(data), DOCKER_MANIFEST)).media_type == DOCKER_MANIFEST
    assert (await manifests.get(digest_of(data), OCI_MANIFEST)).media_type == OCI_MANIFEST


async def test_what_is_forgotten_is_read_again(store: FilesystemStore) -> None:
    manifests = Manifests(store)
    digest = (await manifests.put(document(), OCI_MANIFEST)).digest
    await store.delete(blob_key(digest))
    assert (await manifests.get(digest)).digest == digest
    manifests.forget(digest)
    manifests.forget(digest)
    with pytest.raises(ManifestUnknown):
        await manifests.get(digest)


async def test_memory_keeps_those_used_last_within_its_bytes(store: FilesystemStore) -> None:
    size = len(document(1))
    manifests = Manifests(store, memory_bytes=2 * size)
    first, second = (
        await manifests.put(document(1), OCI_MANIFEST),
        await manifests.put(document(2), OCI_MANIFEST),
    )
    await manifests.put(document(1), OCI_MANIFEST)
    for manifest in (first, second):
        await store.delete(blob_key(manifest.digest))
    await manifests.get(first.digest)
    await manifests.put(document(3), OCI_MANIFEST)
    assert await manifests.get(first.digest) == first
    with pytest.raises(ManifestUnknown):
        await manifests.get(second.digest)


async def test_a_manifest_larger_than_the_memory_is_served_from_the_store(
    store: FilesystemStore,
) -> None:
    manifests = Manifests(store, memory_bytes=1)
    put = await manifests.put(document(), OCI_MANIFEST)
    assert await manifests.get(put.digest) == put
