import json
import time
from pathlib import Path

import httpx
import pytest

from builder.errors import BaseImageError
from builder.fetch.base_image import BaseImages
from builder.keys import blob_key
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.oci.models import OCI_MANIFEST
from builder.platforms import PLATFORMS
from builder.records import BaseReference
from registry.content.bases import HeldBases
from registry.maintenance.collect import collect
from registry.maintenance.collect_pushed import collect_pushed
from registry.maintenance.eviction import Budget
from tests.registry.asgi import Client
from tests.registry.fakes import FakeService
from tests.registry.pushing import descriptor, index_of, manifest_of, push_blob, put_manifest

pytestmark = pytest.mark.anyio

LAYER = b"\x1f\x8b layer of the base"
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"tar")]},
    }
).encode()
MANIFEST = manifest_of(CONFIG, LAYER)
PLATFORM = {"architecture": "amd64", "os": "linux"}
AMD64 = PLATFORMS["linux-64"]
DAY = 86_400.0


@pytest.fixture
def bases(house: FakeService, tmp_path: Path) -> BaseImages:
    pushed = HeldBases(house.store, house.repositories)
    refusing = httpx.MockTransport(lambda request: pytest.fail(f"asked for {request.url}"))
    return BaseImages(house.store, httpx.AsyncClient(transport=refusing), tmp_path, None, pushed)


async def push_base(client: Client, *, is_index: bool = False) -> Digest:
    for data in (CONFIG, LAYER):
        await push_blob(client, "bases/debian", data)
    reply = await put_manifest(client, "bases/debian", "12", MANIFEST)
    if is_index:
        entry = {**descriptor(MANIFEST, OCI_MANIFEST), "platform": PLATFORM}
        reply = await put_manifest(client, "bases/debian", "12", index_of(manifests=[entry]))
    return parse_digest(reply.headers["docker-content-digest"])


@pytest.mark.parametrize("is_index", [True, False])
async def test_a_pushed_image_is_a_base(
    client: Client, bases: BaseImages, *, is_index: bool
) -> None:
    digest = await push_base(client, is_index=is_index)
    for reference in ("registry:bases/debian:12", f"registry:bases/debian@{digest}"):
        found = await bases.resolve(reference)
        assert found == BaseReference("registry:bases/debian", digest)
    base = await bases.fetch(found, AMD64)
    assert base.config.architecture == "amd64"
    assert [layer.digest for layer in base.layers] == [digest_of(LAYER)]


async def test_a_base_stays_when_it_is_deleted_since_locks_name_it(
    client: Client, house: FakeService, bases: BaseImages
) -> None:
    digest = await push_base(client, is_index=True)
    base = await bases.resolve("registry:bases/debian:12")
    for one in (digest, digest_of(MANIFEST)):
        assert (await client.delete(f"/v2/bases/debian/manifests/{one}")).status == 202
    later = time.time() + DAY
    assert (await collect_pushed(house.store, later, upload_seconds=DAY)).blobs == 0
    await collect(house.store, Budget(size_bytes=0), later)
    assert [layer.digest for layer in (await bases.fetch(base, AMD64)).layers] == [digest_of(LAYER)]
    with pytest.raises(BaseImageError, match="has no tag '12'"):
        await bases.resolve("registry:bases/debian:12")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("registry:bases/debian:13", "has no tag '13'"),
        ("registry:bases/debian", "has no tag 'latest'"),
        ("registry:bases/alpine:3", "there is no repository"),
        ("registry:Bases:3", "write it as registry:REPOSITORY:TAG"),
        ("registry:bases/debian@sha256:x", "is not a digest"),
        (f"registry:bases/debian@{digest_of(b'x')}", "has no manifest"),
    ],
)
async def test_a_base_that_was_not_pushed_is_refused_with_a_sentence(
    client: Client, bases: BaseImages, reference: str, words: str
) -> None:
    await push_base(client)
    with pytest.raises(BaseImageError, match=words):
        await bases.resolve(reference)


async def test_a_base_with_a_part_missing_is_to_be_pushed_again(
    client: Client, house: FakeService, bases: BaseImages
) -> None:
    await push_base(client)
    base = await bases.resolve("registry:bases/debian:12")
    await house.store.delete(blob_key(digest_of(LAYER)))
    with pytest.raises(BaseImageError, match="push it again"):
        await bases.resolve("registry:bases/debian:12")
    with pytest.raises(BaseImageError, match="push that image to 'bases/debian' again"):
        await bases.fetch(base, AMD64)


async def test_without_a_registry_there_are_no_pushed_bases(
    house: FakeService, tmp_path: Path
) -> None:
    alone = BaseImages(house.store, httpx.AsyncClient(), tmp_path)
    with pytest.raises(BaseImageError, match="no registry here"):
        await alone.resolve("registry:bases/debian:12")
