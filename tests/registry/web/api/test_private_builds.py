"""Builds that are private: who may ask for them, and who may read of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client
from tests.registry.web.api.site import BUILDS, Site, build, wish

pytestmark = pytest.mark.anyio

#: Sends files, and reads what they become.
CI = basic("ci")
#: Sends files alone.
SENDER = basic("sender")
#: Pulls.
NODES = basic("nodes")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path)
    write_policy(
        tmp_path / "auth.toml",
        'private = ["env/**", "build/**"]',
        "[users.ci]",
        f"hash = '{HASH}'",
        'rights = ["env/**:pull,build", "build/**:pull,build,pin"]',
        "[users.sender]",
        f"hash = '{HASH}'",
        'rights = ["env/**:build", "build/**:build"]',
        "[users.nodes]",
        f"hash = '{HASH}'",
        'rights = ["env/**:pull", "build/**:pull"]',
    )
    return site


@pytest.fixture
async def client(site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


async def test_nothing_is_built_for_a_stranger_and_nothing_said_of_what_was(
    site: Site, client: Client
) -> None:
    status = (await client.post(BUILDS, wish("tool"), authorization=CI)).json()
    document = (await build(client, wish("tool"), authorization=CI)).json()
    assert document["pinned"] is True
    before = site.files("")
    for body in (wish("tool"), wish("library"), b"not even a file"):
        refused = await client.post(BUILDS, body)
        assert refused.status == 401
        assert refused.json()["error"]["message"].startswith("to ask for builds of 'env/**'")
    for rest in ("", "/log", "/events"):
        for request in (status["id"], "0" * 32):
            assert (await client.get(f"/api/v1/requests/{request}{rest}")).status == 401
    assert site.files("") == before


async def test_who_may_pull_only_has_nothing_built_from_files(site: Site, client: Client) -> None:
    assert (await client.post(BUILDS, wish("tool"), authorization=NODES)).status == 403
    assert site.files("requests") == []
    pulled = await client.get(
        "/v2/env/tool/manifests/latest", user_agent="docker/28.0", authorization=NODES
    )
    assert pulled.status == 200
    key = pulled.headers["pullforge-build"]
    assert (await client.get(f"{BUILDS}/{key}", authorization=NODES)).status == 200


async def test_who_may_send_files_only_follows_them_and_reads_no_build(client: Client) -> None:
    reply = await client.post(BUILDS, wish("tool"), authorization=SENDER)
    request = reply.headers["location"]
    refused = await build(client, wish("tool"), authorization=SENDER)
    assert refused.status == 403
    status = (await client.get(request, authorization=SENDER)).json()
    assert status["state"] == "done"
    assert (await client.get(f"{BUILDS}/{status['key']}", authorization=SENDER)).status == 403


async def test_what_can_be_no_key_is_unknown_before_anything_else(client: Client) -> None:
    for odd in ("%e2%82%ac", "%00", "a%22b", "a%0d%0ab", "%ff", "0" * 31, "A" * 32):
        for method, rest in (("GET", ""), ("GET", "/lock"), ("POST", "/pin"), ("DELETE", "/pin")):
            reply = await client.request(method, f"{BUILDS}/{odd}{rest}")
            assert reply.status == 404, (odd, method, rest)
            assert "www-authenticate" not in reply.headers
