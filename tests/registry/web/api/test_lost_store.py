"""The store's directory goes and comes back between builds."""

import asyncio
import shutil

import pytest

from registry.storage import scratch
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.site import BUILDS, Site, build, wish

pytestmark = pytest.mark.anyio

WISH = wish("tool")


def sentence_of(reply: Reply) -> str:
    assert reply.status == 503, reply
    assert int(reply.headers["retry-after"]) > 0
    assert reply.json()["error"]["code"] == "STORE_UNAVAILABLE"
    return str(reply.json()["error"]["message"])


async def test_every_address_tells_of_a_store_that_went_away_and_works_when_it_is_back(
    site: Site, client: Client
) -> None:
    made = await build(client, WISH)
    assert made.status in {200, 201}, made
    key = made.json()["key"]
    away = site.store.with_name("away")
    site.store.rename(away)
    for _ in range(2):
        for reply in [
            await client.post(BUILDS, WISH),
            await client.post(BUILDS, wish("library")),
            await client.get(f"{BUILDS}/{key}"),
            await client.get(f"{BUILDS}/{key}/log"),
            await client.get(f"{BUILDS}/{key}/lock"),
            await client.get(f"/api/v1/requests/{'0' * 32}"),
        ]:
            assert "the store's directory" in sentence_of(reply)
    pulled = await client.get("/v2/env/library/manifests/latest")
    assert pulled.status in {404, 503}
    assert int(pulled.headers["retry-after"]) > 0
    assert "the store's directory" in pulled.json()["errors"][0]["message"]
    assert not site.store.exists()
    away.rename(site.store)
    assert (await build(client, WISH)).json()["key"] == key
    assert (await build(client, wish("library"))).status in {200, 201}


async def test_builds_are_made_again_in_a_new_and_empty_directory(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_RENEW_SECONDS", 0.01)
    async with site.open() as client:
        key = (await build(client, WISH)).json()["key"]
        shutil.rmtree(site.store)
        sentence_of(await client.post(BUILDS, WISH))
        await asyncio.to_thread(site.store.mkdir)
        while not list(site.store.glob(".scratch/.tmp/*")):  # noqa: ASYNC110 (a disk tells nobody)
            await asyncio.sleep(0.01)
        again = await build(client, WISH)
        assert again.status in {200, 201}, again
        assert again.json()["key"] == key
