import json
import shutil
import time

import pytest

from registry.maintenance.collect import collect
from registry.maintenance.eviction import Budget
from registry.storage.filesystem import FilesystemStore
from tests.registry.accounts import basic
from tests.registry.asgi import Client
from tests.registry.web.api.conftest import Gate
from tests.registry.web.api.site import ADA, BUILDS, Site, build, wish

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
        key = (await build(client, wish("tool"), authorization=ADA)).json()["key"]
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
        key = (await build(client, wish("tool"), authorization=ADA)).json()["key"]
        digest = await digest_of(client, key)
    shutil.rmtree(site.channel)
    await evict_everything(site)
    async with site.open(base="oci:/nowhere") as client:
        assert await digest_of(client, key) == digest


async def test_what_a_stranger_has_built_is_not_kept(site: Site, client: Client) -> None:
    document = (await build(client, wish("tool"))).json()
    assert document["pinned"] is False
    assert site.files("pins") == []
    await evict_everything(site)
    assert site.files("packages") == []


async def test_a_wrong_password_pins_nothing_and_the_build_is_made(client: Client) -> None:
    for spec in ("tool", "library"):
        reply = await build(client, wish(spec), authorization=basic("ada", "guessed"))
        assert (reply.status, reply.json()["pinned"]) == (201, False)


async def test_too_many_wrong_passwords_pin_nothing_and_the_build_is_made(client: Client) -> None:
    for _ in range(20):
        reply = await build(client, wish("tool"), authorization=basic("ada", "guessed"))
    assert (reply.status, reply.json()["pinned"]) == (200, False)


async def test_the_administrator_may_have_the_builds_of_strangers_kept(site: Site) -> None:
    async with site.open(pin_builds_of_strangers=True) as client:
        assert (await build(client, wish("tool"))).json()["pinned"] is True
    async with site.open(auth_file=None, pin_builds_of_strangers=True) as client:
        assert (await build(client, wish("library"))).json()["pinned"] is True


async def test_without_an_auth_file_everybody_is_a_stranger(site: Site) -> None:
    async with site.open(auth_file=None) as client:
        key = (await build(client, wish("tool"))).json()["key"]
        assert (await client.post(f"{BUILDS}/{key}/pin")).status == 403
    assert site.files("pins") == []


async def test_who_may_pin_has_what_a_stranger_had_built_kept_by_sending_it_again(
    client: Client,
) -> None:
    assert (await build(client, wish("tool"))).json()["pinned"] is False
    kept = await build(client, wish("tool"), authorization=ADA)
    assert (kept.status, kept.json()["pinned"]) == (200, True)


async def test_who_may_pin_joins_the_build_of_a_stranger_and_it_is_kept(
    client: Client, gate: Gate
) -> None:
    assert (await client.post(BUILDS, wish("tool"))).status == 202
    await gate.arrived.wait()
    assert (await client.post(BUILDS, wish("tool"), authorization=ADA)).status == 202
    gate.open.set()
    assert (await build(client, wish("tool"))).json()["pinned"] is True


async def test_it_is_kept_also_when_another_server_makes_it(site: Site, gate: Gate) -> None:
    async with site.open() as maker, site.open() as other:
        first = await maker.post(BUILDS, wish("tool"))
        await gate.arrived.wait()
        assert (await other.post(BUILDS, wish("tool"), authorization=ADA)).status == 202
        request_progress = maker.services.builds.requests
        (request,) = [path for path in site.files("requests") if path.stem == first.json()["id"]]
        assert json.loads(request.read_bytes())["pin"] is True
        # What the maker writes of itself meanwhile does not take it back.
        status = await request_progress.status(first.json()["id"])
        assert status is not None
        await request_progress._write(status)
        assert json.loads(request.read_bytes())["pin"] is True
        gate.open.set()


async def test_a_request_that_its_server_left_is_taken_up_as_it_was_asked(
    site: Site, gate: Gate
) -> None:
    async with site.open() as client:
        assert (await client.post(BUILDS, wish("tool"), authorization=ADA)).status == 202
        await gate.arrived.wait()
    gate.open.set()
    async with site.open() as client:
        reply = await build(client, wish("tool"))
        assert reply.json()["pinned"] is True


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
