"""A server that is started while its database does not answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.oci.digest import digest_of
from tests.registry.accounts import basic
from tests.registry.asgi import Client, Reply, assert_oci_error
from tests.registry.pushing import manifest_of
from tests.registry.web.api.catalog import ADA, BOB, NAMESPACES, ROOT, made, make_site
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio

SHOWN, PRIVATE, PUSHED = "ada/shown", "ada/notebook", "others/image"
CONFIG, LAYER = b"{}", b"\x1f\x8b of everybody"
SENTENCE = "since the database does not answer"


@dataclass
class Furnished:
    """What is there, made while the database answered."""

    site: Site
    #: The secret of a personal token of somebody who is in no auth file, and viewer of the private.
    token: str


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def furnished(site: Site, anyio_backend: str) -> Furnished:
    """An environment that everyone may pull, a private one, and a pushed repository."""
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        for path in (SHOWN, PRIVATE):
            url = f"{NAMESPACES}/ada/environments?name={path.partition('/')[2]}"
            version = (await made(client, url, ADA, wish("tool")))["version"]["number"]
            await built(client, f"{NAMESPACES}/ada/environments/{path[4:]}/versions/{version}")
        grants = f"{NAMESPACES}/ada/grants"
        shown = {"subject_kind": "everyone", "role": "viewer", "environment": "shown"}
        await made(client, grants, ADA, shown)
        await made(client, grants, ADA, {"subject": "carl", "role": "viewer"})
        token = await made(
            client, "/api/v1/tokens", ROOT, {"name": "x", "user": "carl", "kind": "robot"}
        )
        for data in (CONFIG, LAYER):
            pushed = f"/v2/{PUSHED}/blobs/uploads/?digest={digest_of(data)}"
            assert (await client.post(pushed, data, authorization=ROOT)).status == 201
        manifest = manifest_of(CONFIG, LAYER)
        kind = json.loads(manifest)["mediaType"]
        url = f"/v2/{PUSHED}/manifests/latest"
        done = await client.put(url, manifest, content_type=kind, authorization=ROOT)
        assert done.status == 201
        async with asyncio.timeout(30):
            while not is_public(site):  # noqa: ASYNC110 (nobody announces it)
                await asyncio.sleep(0.05)
    return Furnished(site, token["secret"])


async def built(client: Client, url: str) -> None:
    assert client.services.catalog is not None
    while (await client.get(url, authorization=ADA)).json()["state"] != "built":
        await client.services.catalog.follower.changed(1)


def is_public(site: Site) -> bool:
    documents = [site.store / "environments" / path for path in (SHOWN, PRIVATE)]
    if not all(path.is_file() for path in documents):
        return False
    shown, private = (json.loads(path.read_bytes()) for path in documents)
    return bool(shown["public"] and shown["active"] and private["active"])


@contextmanager
def gone(site: Site) -> Iterator[None]:
    """Take the database away for the block."""
    file = site.store / "database" / "pullforge.db"
    aside = file.rename(site.root / "aside.db")
    file.write_text("no database, but long enough for a header of one " * 9)
    try:
        yield
    finally:
        aside.replace(file)


@asynccontextmanager
async def started_without(site: Site, **settings: object) -> AsyncIterator[Client]:
    with gone(site):
        async with site.open(**settings) as client:
            yield client


async def pull(client: Client, name: str, authorization: str | None = None) -> Reply:
    headers = {"authorization": authorization} if authorization else {}
    return await client.get(f"/v2/{name}/manifests/latest", **headers)


def told_to_come_again(reply: Reply) -> None:
    assert SENTENCE in assert_oci_error(reply, 503, "UNAVAILABLE")
    assert reply.headers["retry-after"] == "10"


async def bearer(client: Client, authorization: str | None, name: str) -> str:
    headers = {"authorization": authorization} if authorization else {}
    reply = await client.get(f"/v2/token?scope=repository:{name}:pull", **headers)
    assert reply.status == 200, reply
    return f"Bearer {reply.json()['token']}"


@pytest.mark.parametrize("has_file", [True, False])
async def test_who_may_perhaps_is_told_to_come_again_and_what_is_public_is_pulled(
    furnished: Furnished, has_file: bool
) -> None:
    owner = basic("carl", furnished.token)
    settings = {} if has_file else {"auth_file": None}
    async with started_without(furnished.site, **settings) as client:
        for name in (SHOWN, PUSHED):
            for who in (None, owner, f"Bearer {furnished.token}"):
                assert (await pull(client, name, who)).status == 200, (name, who)
            # As engines do that have logged in.
            token = await bearer(client, owner, name)
            assert (await pull(client, name, token)).status == 200
        for name in (PRIVATE, "ada/nothing"):
            token = await bearer(client, owner, name)
            for who in (owner, f"Bearer {furnished.token}", token):
                told_to_come_again(await pull(client, name, who))
            assert (await pull(client, name)).status == 401
        told_to_come_again(await client.get("/v2/", authorization=token))
        assert (await client.get("/v2/")).status == 401
        for _ in range(20):  # it is no login that failed
            told_to_come_again(await pull(client, PRIVATE, owner))
        reply = await client.get(f"{NAMESPACES}/ada", authorization=owner)
        assert (reply.status, reply.headers["retry-after"]) == (503, "10")


async def test_what_the_auth_file_decides_is_as_ever(furnished: Furnished) -> None:
    async with started_without(furnished.site) as client:
        for who in (ROOT, await bearer(client, ROOT, PRIVATE)):
            assert (await pull(client, PRIVATE, who)).status == 200
        for who in (ADA, BOB, await bearer(client, ADA, PRIVATE)):
            told_to_come_again(await pull(client, PRIVATE, who))
        wrong = await pull(client, PRIVATE, basic("ada", "wrong"))
        assert_oci_error(wrong, 401, "UNAUTHORIZED")
        assert (await pull(client, "none/nothing", ADA)).status == 404
        pushed = f"/v2/{PUSHED}/blobs/uploads/"
        told_to_come_again(await client.post(pushed, authorization=ADA))
        assert (await client.post(pushed, authorization=ROOT)).status == 202
        reply = await build(client, wish("tool"), authorization=ADA)
        assert reply.status in {200, 201}


async def test_when_the_database_is_back_all_is_known(furnished: Furnished) -> None:
    owner = basic("carl", furnished.token)
    with ExitStack() as away:
        away.enter_context(gone(furnished.site))
        async with furnished.site.open() as client:
            token = await bearer(client, owner, PRIVATE)
            told_to_come_again(await pull(client, PRIVATE, token))
            away.close()
            catalog = client.services.catalog
            assert catalog is not None
            async with asyncio.timeout(30):
                while not catalog.follower.has_loaded:
                    await catalog.follower.changed(1)
            for who in (owner, ADA):
                assert (await pull(client, PRIVATE, who)).status == 200
            assert (await pull(client, PRIVATE, BOB)).status == 404
            assert (await pull(client, PRIVATE, token)).status == 401
            token = await bearer(client, owner, PRIVATE)
            assert (await pull(client, PRIVATE, token)).status == 200
