"""What was pushed stays while anything needs it, and goes an hour after nothing does."""

import asyncio
import json
import os
import time

import pytest

from builder.keys import BLOBS, blob_key
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.oci.models import OCI_LAYER_GZIP
from registry.content.repositories import Repositories
from registry.content.sweeping import delete_unheld, wait_until_swept
from registry.maintenance.collect import collect
from registry.maintenance.collect_pushed import LOOSE_SECONDS, collect_pushed
from registry.maintenance.eviction import Budget
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import (
    HOLDERS,
    LOOSE,
    UPLOADS,
    loose_key,
    origin_key,
    pushed_key,
    sweeping_key,
)
from tests.registry.asgi import Client, assert_oci_error, open_client
from tests.registry.fakes import FakeService
from tests.registry.pushing import (
    descriptor,
    index_of,
    manifest_of,
    push_blob,
    push_image,
    put_manifest,
)

pytestmark = pytest.mark.anyio

APP = "/v2/team/app"
DAY = 86_400.0


async def collect_later(house: FakeService, seconds: float = LOOSE_SECONDS + 1) -> int:
    """Collect as if so much time had gone by, and return how many blobs went."""
    return (await collect_pushed(house.store, time.time() + seconds, upload_seconds=DAY)).blobs


async def keys(house: FakeService, prefix: str) -> list[str]:
    return [entry.key async for entry in house.store.entries(prefix)]


async def assert_pulls(client: Client, reference: str, repository: str = "team/app") -> None:
    reply = await client.get(f"/v2/{repository}/manifests/{reference}")
    assert reply.status == 200, reply
    for part in [reply.json()["config"], *reply.json()["layers"]]:
        blob = await client.get(f"/v2/{repository}/blobs/{part['digest']}")
        assert digest_of(blob.body) == part["digest"]


async def test_an_image_stays_for_ever_with_or_without_a_tag(
    client: Client, house: FakeService
) -> None:
    digest = await push_image(client, "team/app", "v1", "x")
    assert await collect_later(house) == 0
    assert await keys(house, LOOSE) == []
    await client.delete(f"{APP}/manifests/v1")
    for _ in range(2):
        assert await collect_later(house, 10 * DAY) == 0
        await assert_pulls(client, digest)


async def test_a_deleted_image_goes_after_an_hour_and_all_of_it(
    client: Client, house: FakeService
) -> None:
    digest = await push_image(client, "team/app", "v1", "x")
    await client.delete(f"{APP}/manifests/{digest}")
    assert await collect_later(house, LOOSE_SECONDS - 60) == 0
    assert await collect_later(house) == 3
    assert await keys(house, BLOBS) == []
    assert await keys(house, HOLDERS) == []
    assert await keys(house, LOOSE) == []
    assert await keys(house, "sweeping/") == []


async def test_a_pull_goes_on_when_its_image_is_deleted(client: Client, house: FakeService) -> None:
    digest = await push_image(client, "team/app", "v1", "x")
    manifest = (await client.get(f"{APP}/manifests/v1")).json()
    await client.delete(f"{APP}/manifests/{digest}")
    assert await collect_later(house, 0) == 0
    for part in [manifest["config"], *manifest["layers"]]:
        assert (await client.get(f"{APP}/blobs/{part['digest']}")).status == 200


async def test_what_another_image_or_repository_has_stays(
    client: Client, house: FakeService
) -> None:
    layers = [b"shared"]
    gone = await push_image(client, "team/app", "v1", "x", layers)
    await push_image(client, "team/app", "v2", "y", layers)
    await push_image(client, "team/else", "v1", "x", layers)
    await client.delete(f"{APP}/manifests/{gone}")
    assert await collect_later(house) == 0
    await assert_pulls(client, "v2")
    await assert_pulls(client, "v1", "team/else")
    reply = await client.get(f"{APP}/blobs/{digest_of(b'config of x')}")
    assert reply.status == 404  # it is the other repository's alone now


async def test_a_blob_that_no_manifest_gets_goes(client: Client, house: FakeService) -> None:
    digest = await push_blob(client, "team/app", b"never used")
    assert await collect_later(house) == 1
    assert (await client.get(f"{APP}/blobs/{digest}")).status == 404
    assert await keys(house, HOLDERS) == []


async def test_a_blob_that_is_asked_for_stays_another_hour(
    client: Client, house: FakeService
) -> None:
    digest = await push_blob(client, "team/app", b"pushed long ago")
    note = house.root / loose_key(parse_digest(digest), "team/app")
    os.utime(note, (time.time() - LOOSE_SECONDS - 60,) * 2)
    assert (await client.head(f"{APP}/blobs/{digest}")).status == 200
    assert await collect_later(house, 0) == 0
    await put_manifest(client, "team/app", "v1", manifest_of(b"pushed long ago"))
    await collect_later(house)
    await assert_pulls(client, "v1")


async def test_what_is_also_part_of_an_image_made_here_is_left_to_eviction(
    client: Client, house: FakeService
) -> None:
    digest = parse_digest(await push_blob(client, "team/app", b"\x28\xb5\x2f\xfd layer"))
    await house.store.write(origin_key(digest), b"{}")
    assert await collect_later(house) == 0
    assert await house.store.size(blob_key(digest)) is not None
    _, eviction = await collect(house.store, Budget(size_bytes=0), time.time() + DAY)
    assert eviction.gone["layer"].number == 1


async def test_eviction_takes_nothing_that_was_pushed_or_mounted(
    client: Client, house: FakeService
) -> None:
    made_here = await house.put_blob(b"\x28\xb5\x2f\xfd layer of an image made here")
    unused = await house.put_blob(b"\x28\xb5\x2f\xfd another")
    await house.store.write(origin_key(made_here), b"{}")
    url = f"{APP}/blobs/uploads/?mount={made_here}&from=env/numpy"
    assert (await client.post(url)).status == 201
    await push_image(
        client, "team/app", "v1", "x", [b"\x28\xb5\x2f\xfd layer of an image made here"]
    )
    await collect_later(house)
    _, eviction = await collect(house.store, Budget(size_bytes=0), time.time() + DAY)
    assert eviction.gone["layer"].number == 1
    assert await house.store.size(blob_key(unused)) is None
    await assert_pulls(client, "v1")


async def test_uploads_that_nobody_goes_on_with_go(client: Client, house: FakeService) -> None:
    old = (await client.post(f"{APP}/blobs/uploads/")).headers["location"]
    await client.patch(old, b"chunk")
    assert (await collect_pushed(house.store, time.time() + DAY - 60, upload_seconds=DAY)) == (
        await collect_pushed(house.store, 0, upload_seconds=DAY)
    )
    for path in (house.root / UPLOADS).rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    new = (await client.post(f"{APP}/blobs/uploads/")).headers["location"]
    assert (await collect_pushed(house.store, time.time(), upload_seconds=DAY)).uploads == 1
    assert (await client.get(old)).status == 404
    assert (await client.get(new)).status == 204


async def test_pushes_beside_collections_lose_nothing(client: Client, house: FakeService) -> None:
    """As hard as it can be: a note counts as old as soon as it is written.

    A collection begins for every push that came through, so that some always do.
    """
    slots = asyncio.Semaphore(0)
    is_stopped = False

    async def collector() -> int:
        gone = 0
        while True:
            await slots.acquire()
            if is_stopped:
                return gone
            gone += await collect_later(house)

    async def push(repository: str, tag: str, *blobs: bytes) -> str:
        while True:  # as clients do that are told what is missing
            for data in blobs:
                await push_blob(client, repository, data)
            reply = await put_manifest(client, repository, tag, manifest_of(*blobs))
            if reply.status == 201:
                slots.release()
                return reply.headers["location"]
            assert_oci_error(reply, 404, "MANIFEST_BLOB_UNKNOWN")

    async def pusher(number: int) -> None:
        """Push the same two images again and again, and delete them."""
        repository, tag = f"team/app{number % 2}", f"v{number}"
        for turn in range(15):
            location = await push(repository, tag, b"config", b"layer %d" % (turn % 2))
            if turn % 3 == 2:
                await client.delete(location)
        await push(repository, tag, b"config", b"last layer of %d" % number)

    collecting = [asyncio.create_task(collector()) for _ in range(2)]
    await asyncio.gather(*(pusher(number) for number in range(4)))
    is_stopped = True
    for _ in collecting:
        slots.release()
    assert sum(await asyncio.gather(*collecting)) > 0
    await collect_later(house, DAY)
    for number in range(4):
        await assert_pulls(client, f"v{number}", f"team/app{number % 2}")
    for repository in ("team/app0", "team/app1"):
        for tag in (await client.get(f"/v2/{repository}/tags/list")).json()["tags"]:
            await assert_pulls(client, tag, repository)


async def test_who_needs_a_blob_that_is_about_to_be_deleted_waits(store: FilesystemStore) -> None:
    digest, pauses = digest_of(b"x"), 0
    await store.write(sweeping_key(digest), b"")

    async def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:
            await store.delete(sweeping_key(digest))

    await wait_until_swept(store, digest, pause)
    assert pauses == 3


async def test_a_collector_that_died_is_not_waited_for_for_ever(store: FilesystemStore) -> None:
    digest = digest_of(b"x")
    await store.write(sweeping_key(digest), b"")

    async def pause(_: float) -> None:
        return

    await wait_until_swept(store, digest, pause)
    assert await store.size(sweeping_key(digest)) is None


async def test_a_blob_that_gets_a_holder_is_not_deleted(store: FilesystemStore) -> None:
    digest: Digest = digest_of(b"x")
    await store.write(blob_key(digest), b"x")
    await store.write(pushed_key(digest, "team/app"), b"")
    assert not await delete_unheld(store, digest)
    assert await store.size(blob_key(digest)) == 1
    await store.delete(pushed_key(digest, "team/app"))
    assert await delete_unheld(store, digest)
    assert await store.size(blob_key(digest)) is None


async def test_a_note_left_again_meanwhile_gives_the_blob_back(
    client: Client, house: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = parse_digest(await push_blob(client, "team/app", b"wanted"))
    note = house.root / loose_key(digest, "team/app")
    os.utime(note, (0, 0))
    delete = house.store.delete

    async def delete_while_asked_for(key: str) -> None:
        await delete(key)
        if key == pushed_key(digest, "team/app"):
            await house.store.write(loose_key(digest, "team/app"), b"")

    monkeypatch.setattr(house.store, "delete", delete_while_asked_for)
    assert await collect_later(house, 0) == 0
    assert (await client.get(f"{APP}/blobs/{digest}")).body == b"wanted"


def cache_of(*blobs: bytes, config: bytes) -> bytes:
    """Return an index whose parts are blobs, as BuildKit pushes for ``--cache-to``."""
    parts = [descriptor(blob, OCI_LAYER_GZIP) for blob in blobs]
    parts.append(descriptor(config, "application/vnd.buildkit.cacheconfig.v0"))
    return json.dumps({**json.loads(index_of()), "manifests": parts}).encode()


async def test_blobs_that_an_index_names_stay_as_long_as_the_index(
    client: Client, house: FakeService
) -> None:
    blobs = [b"layer one of the cache", b"layer two of the cache", b"{}"]
    digests = [await push_blob(client, "cache/app", blob) for blob in blobs]
    reply = await put_manifest(client, "cache/app", "main", cache_of(*blobs[:2], config=blobs[2]))
    assert reply.status == 201, reply
    for _ in range(2):
        assert await collect_later(house) == 0
    for digest in digests:
        assert (await client.head(f"/v2/cache/app/blobs/{digest}")).status == 200
        refused = await client.delete(f"/v2/cache/app/blobs/{digest}")
        assert refused.status == 409, refused
    index = reply.headers["docker-content-digest"]
    await client.delete(f"/v2/cache/app/manifests/{index}")
    assert await collect_later(house) == len(blobs) + 1
    assert await keys(house, HOLDERS) == []


async def test_blobs_that_come_after_their_sparse_manifest_stay(house: FakeService) -> None:
    house.repositories = Repositories(house.store, house.manifests, sparse=True)
    async with open_client(house.app()) as client:
        await put_manifest(client, "team/app", "v1", manifest_of(b"config", b"layer"))
        for blob in (b"config", b"layer"):
            await push_blob(client, "team/app", blob)
        assert await collect_later(house) == 0
        await assert_pulls(client, "v1")


async def test_a_pushed_blob_stays_that_is_a_layer_of_others_or_a_subject(
    client: Client, house: FakeService
) -> None:
    foreign = descriptor(b"foreign", OCI_LAYER_GZIP) | {"urls": ["https://example.org/layer"]}
    data = manifest_of(b"{}", layers=[foreign], subject=descriptor(b"subject", OCI_LAYER_GZIP))
    digests = [await push_blob(client, "team/app", b) for b in (b"{}", b"foreign", b"subject")]
    assert (await put_manifest(client, "team/app", "v1", data)).status == 201
    assert await collect_later(house) == 0
    for digest in digests:
        assert (await client.head(f"{APP}/blobs/{digest}")).status == 200
