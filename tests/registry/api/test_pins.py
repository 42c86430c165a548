import shutil
import time

import pytest

from registry.collection.collector import collect
from registry.collection.eviction import Budget
from registry.storage.filesystem import FilesystemStore
from tests.registry.api.site import ADA, BUILDS, Site, build, wish
from tests.registry.asgi import Client

pytestmark = pytest.mark.anyio


async def digest_of(client: Client, key: str) -> str:
    reply = await client.get(f"/v2/build/{key}/manifests/latest", user_agent="docker/28.0")
    assert reply.status == 200, reply.body
    return reply.headers["docker-content-digest"]


async def evict_everything(site: Site) -> None:
    store = FilesystemStore(site.store)
    await collect(store, Budget.of(0, None), time.time() + 1_000_000)
    store.close()


async def test_a_pinned_build_outlives_its_channel_and_all_its_blobs(site: Site) -> None:
    async with site.open() as client:
        key = (await build(client, wish("tool"))).json()["key"]
        digest = await digest_of(client, key)
    await evict_everything(site)
    assert len(site.files("packages")) == 2
    shutil.rmtree(site.channel)
    shutil.rmtree(site.store / "blobs")  # the base's, too: it comes from its layout again
    shutil.rmtree(site.store / ".scratch")
    async with site.open() as client:
        assert await digest_of(client, key) == digest


async def test_the_base_of_a_pinned_build_stays_when_its_registry_has_gone(site: Site) -> None:
    async with site.open() as client:
        key = (await build(client, wish("tool"))).json()["key"]
        digest = await digest_of(client, key)
    shutil.rmtree(site.channel)
    await evict_everything(site)
    async with site.open(base="oci:/nowhere") as client:
        assert await digest_of(client, key) == digest


async def test_a_build_is_pinned_and_unpinned(site: Site) -> None:
    async with site.open(pin_builds=False) as client:
        document = (await build(client, wish("tool"))).json()
        path = f"{BUILDS}/{document['key']}"
        assert document["pinned"] is False
        await evict_everything(site)
        assert site.files("packages") == []
        for _ in range(2):
            reply = await client.post(f"{path}/pin", authorization=ADA)
            assert (reply.status, reply.json()["pinned"]) == (200, True)
        assert len(site.files("packages")) == 2
        assert (await client.get(path)).json()["pinned"] is True
        await evict_everything(site)
        assert len(site.files("packages")) == 2
        for _ in range(2):
            reply = await client.delete(f"{path}/pin", authorization=ADA)
            assert (reply.status, reply.json()["pinned"]) == (200, False)
        await evict_everything(site)
        assert site.files("packages") == []


async def test_a_build_whose_packages_are_gone_cannot_be_pinned_any_more(site: Site) -> None:
    async with site.open(pin_builds=False) as client:
        key = (await build(client, wish("tool"))).json()["key"]
        await evict_everything(site)
        shutil.rmtree(site.channel)
        reply = await client.post(f"{BUILDS}/{key}/pin", authorization=ADA)
        assert reply.status == 503
        assert reply.json()["error"]["code"] == "PACKAGE_UNAVAILABLE"
        assert (await client.get(f"{BUILDS}/{key}")).json()["pinned"] is False


async def test_a_build_that_there_is_not_cannot_be_pinned(client: Client) -> None:
    assert (await client.post(f"{BUILDS}/{'0' * 32}/pin", authorization=ADA)).status == 404
    assert (await client.delete(f"{BUILDS}/{'0' * 32}/pin", authorization=ADA)).status == 404
