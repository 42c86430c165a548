"""What a client may have made, through the doors of a whole service."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client, Reply, assert_oci_error
from tests.registry.web.api.site import BUILDS, Site, wish

pytestmark = pytest.mark.anyio


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path, new_images=5, new_images_per_minute=0.01)


def misspelt(number: int) -> str:
    return f"/v2/env/nothing-{number}/manifests/latest"


async def ask(client: Client, count: int, **headers: str) -> list[Reply]:
    return [await client.get(misspelt(number), **headers) for number in range(count)]


def statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


async def test_names_that_are_new_are_refused_after_so_many(site: Site) -> None:
    async with site.open() as client:
        replies = await ask(client, 12)
        assert statuses(replies) == {404: 5, 429: 7}
        message = assert_oci_error(replies[-1], 429, "TOOMANYREQUESTS")
        assert "images that have to be built first" in message
        assert int(replies[-1].headers["retry-after"]) > 1000


@pytest.mark.parametrize(
    "user_agent",
    [
        "docker/29.0.1 go/go1.24 kernel/6.1 os/linux arch/amd64 containerd-client/2.1.4",
        "docker/20.10.24+dfsg1 go/go1.19.8 os/linux arch/amd64",
        "containers/5.16.0 (github.com/containers/image)",
        "skopeo/1.9.3",
        "containerd/1.6.20~ds1",
        "containerd/v2.1.4",
        "go-containerregistry/v0.20.2",
        "curl/8.5.0",
    ],
)
async def test_every_client_is_told_in_one_sentence_and_when_to_come_again(
    site: Site, user_agent: str
) -> None:
    async with site.open() as client:
        await ask(client, 5)
        reply = await client.get(misspelt(100), user_agent=user_agent)
        message = assert_oci_error(reply, 429, "TOOMANYREQUESTS")
        api = await client.post(BUILDS, wish("nothing-100"), user_agent=user_agent)
        assert api.status == 429
        for told, answered in ((message, reply), (api.json()["error"]["message"], api)):
            assert told.startswith("you have asked for too many images that have to be built first")
            assert "\n" not in told
            assert len(told) < 400
            seconds = int(answered.headers["retry-after"])
            assert f"ask again in {seconds} s" in told
        # What asks first with HEAD, which has no text, asks again with GET after this one.
        head = await client.request("HEAD", misspelt(100), [("user-agent", user_agent)], b"")
        assert (head.status, head.body) == (405, b"")


async def test_at_once_exactly_so_many_are_begun(site: Site) -> None:
    async with site.open() as client:
        work = [client.get(misspelt(number)) for number in range(30)]
        assert statuses(await asyncio.gather(*work)) == {404: 5, 429: 25}


async def test_what_is_there_is_answered_to_whoever_has_asked_for_too_much(site: Site) -> None:
    async with site.open() as client:
        assert (await client.get("/v2/env/tool/manifests/latest")).status == 200
        await ask(client, 12)
        assert (await client.get("/v2/env/tool/manifests/latest")).status == 200
        assert statuses(await ask(client, 4)) == {404: 4}, "errors that are remembered too"
    async with site.open(new_images=1) as client:  # a server that has nothing in memory
        await ask(client, 12)
        assert (await client.get("/v2/env/tool/manifests/latest")).status == 200


async def test_other_addresses_have_their_own(site: Site) -> None:
    async with site.open() as client:
        await ask(client, 12)
        client.address = "192.0.2.2"
        assert (await client.get(misspelt(100))).status == 404


async def test_all_of_a_network_of_ipv6_is_one(site: Site) -> None:
    async with site.open() as client:
        found = []
        for number in range(12):
            client.address = f"2001:db8::{number:x}"
            found.append(await client.get(misspelt(number)))
        assert statuses(found) == {404: 5, 429: 7}


async def test_who_has_logged_in_is_not_the_attacker_behind_the_same_address(site: Site) -> None:
    async with site.open() as client:
        await ask(client, 12)
        token = (await client.get("/v2/token", authorization=basic("ada"))).json()["token"]
        theirs = {"authorization": f"Bearer {token}"}
        replies = [await client.get(misspelt(100 + number), **theirs) for number in range(12)]
        assert statuses(replies) == {404: 5, 429: 7}, "and they have a bound too"


@pytest.mark.parametrize("credentials", ["Bearer invented", basic("ada", "wrong"), "Basic §", "x"])
async def test_credentials_that_are_invented_give_nothing(site: Site, credentials: str) -> None:
    async with site.open() as client:
        replies = [
            await client.get(misspelt(number), authorization=credentials) for number in range(12)
        ]
        assert statuses(replies) == {404: 5, 429: 7}


async def test_the_api_counts_the_same_work(site: Site) -> None:
    async with site.open() as client:
        replies = [await client.post(BUILDS, wish(f"nothing-{number}")) for number in range(12)]
        assert statuses(replies) == {202: 5, 429: 7}
        assert replies[-1].json()["error"]["code"] == "TOO_MANY_NEW_IMAGES"
        assert int(replies[-1].headers["retry-after"]) > 1000
        assert (await client.get(misspelt(1))).status == 429, "one budget for all doors"
        again = await client.post(BUILDS, wish("nothing-1"), prefer="wait=25")
        assert again.json()["error"]["code"] == "UNKNOWN_PACKAGE", "asked for before"
        client.address = "192.0.2.2"
        theirs = await client.post(BUILDS, wish("nothing-100"))
        assert theirs.status == 202


async def test_who_joins_what_another_may_not_have_made_gets_it(site: Site) -> None:
    async with site.open() as client:
        await ask(client, 12)
        refused = asyncio.create_task(client.get(misspelt(100)))
        await asyncio.sleep(0)
        client.address = "192.0.2.2"
        others = await asyncio.gather(*(client.get(misspelt(100)) for _ in range(5)))
        assert (await refused).status == 429
        assert statuses(others) == {404: 5}


async def test_a_bound_of_zero_is_none(site: Site) -> None:
    async with site.open(new_images=0) as client:
        assert statuses(await ask(client, 12)) == {404: 12}
