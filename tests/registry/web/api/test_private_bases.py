"""A base comes from where its name says, by the rights of whoever asks: a digest proves nothing."""

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builder.lock import from_yaml, to_yaml
from builder.oci.digest import Digest, digest_of
from builder.oci.layout import OciLayout
from builder.oci.models import OCI_MANIFEST, Descriptor
from builder.records import BaseReference
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, Reply
from tests.registry.pushing import descriptor, manifest_of
from tests.registry.web.api.catalog import NAMESPACES, made, send
from tests.registry.web.api.site import BUILDS, Site, build, wish

pytestmark = pytest.mark.anyio

SECRET = b"\x1f\x8b what only the team may read"
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"tar")]},
    }
).encode()
PRIVATE = manifest_of(CONFIG, SECRET)
OWNER = basic("ada")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path)
    lines = ['private = ["team/**"]', "[users.ada]", f"hash = '{HASH}'", 'rights = ["**:*"]']
    write_policy(tmp_path / "auth.toml", *lines)
    return site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with site.open(bases=["registry:team/*"]) as client:
        for data in (CONFIG, SECRET):
            url = f"/v2/team/base/blobs/uploads/?digest={digest_of(data)}"
            assert (await client.post(url, data, authorization=OWNER)).status == 201
        url = "/v2/team/base/manifests/1"
        kind = json.loads(PRIVATE)["mediaType"]
        reply = await client.put(url, PRIVATE, content_type=kind, authorization=OWNER)
        assert reply.status == 201, reply
        yield client


async def lock_on(client: Client, base: str) -> bytes:
    """Return a lock as a stranger writes it, with a base of their choice."""
    key = (await build(client, wish("tool"))).json()["key"]
    lock = from_yaml((await client.get(f"{BUILDS}/{key}/lock")).body)
    name, digest = base.split("@")
    return to_yaml(dataclasses.replace(lock, base=BaseReference(name, Digest(digest))))


@pytest.mark.parametrize("data", [PRIVATE, SECRET, CONFIG], ids=["manifest", "layer", "config"])
async def test_a_stranger_gets_no_private_content_as_a_base(
    site: Site, client: Client, data: bytes
) -> None:
    refused = await build(client, await lock_on(client, f"oci-layout@{digest_of(data)}"))
    assert refused.status in {400, 404, 422, 503}, refused.body
    message = refused.json()["error"]["message"]
    assert "base image" in message, message
    assert all(digest_of(SECRET).encode() not in lock.read_bytes() for lock in site.files("locks"))


async def test_a_layer_that_an_offered_base_only_names_comes_from_there(
    site: Site, client: Client
) -> None:
    layout = OciLayout.create(site.root / "foreign")
    for data in (CONFIG, PRIVATE):
        layout.add(data)
    entry = descriptor(PRIVATE, OCI_MANIFEST)
    layout.offer(Descriptor.model_validate(entry), "base")
    async with site.open(base=f"oci:{site.root / 'foreign'}") as stranger:
        refused = await build(stranger, wish("library"))
    assert refused.status >= 400, refused.body
    assert "base image" in refused.json()["error"]["message"]


@pytest.mark.parametrize("wanted", ["lock", "request"])
async def test_a_pushed_base_is_used_by_the_rights_of_whoever_asks(
    client: Client, wanted: str
) -> None:
    body = wish("tool", base="registry:team/base:1")
    if wanted == "lock":
        body = await lock_on(client, f"registry:team/base@{digest_of(PRIVATE)}")
    refused = await client.post(BUILDS, body)
    assert refused.status == 401, refused.body
    reply = await client.post(BUILDS, body, prefer="wait=25", authorization=OWNER)
    assert reply.status == 201, reply.body


async def test_a_base_that_somebody_has_built_on_is_opened_to_nobody_else(client: Client) -> None:
    """Not by another lock of a stranger's own, and not as a way to ask what else lies there."""
    owners = await build_as_owner(client, wish("tool", base="registry:team/base:1"))
    assert owners.status == 201, owners.body
    for digest in (digest_of(PRIVATE), digest_of(SECRET), digest_of(CONFIG)):
        forged = from_yaml(await lock_on(client, f"registry:team/base@{digest}"))
        other = dataclasses.replace(forged, variables={"MODE": "of a stranger"})
        for lock in (forged, other):
            refused = await client.post(BUILDS, to_yaml(lock))
            assert refused.status == 401, (digest, refused.body)


async def build_as_owner(client: Client, body: bytes) -> Reply:
    return await client.post(BUILDS, body, prefer="wait=25", authorization=OWNER)


async def test_the_default_base_is_everybodys_wherever_it_lies(site: Site, client: Client) -> None:
    async with site.open(base="registry:team/base:1") as stranger:
        first = await build(stranger, wish("tool"))
        assert first.status == 201, first.body
        lock = (await stranger.get(f"{BUILDS}/{first.json()['key']}/lock")).body
        again = await build(stranger, lock)
        assert again.status in {200, 201}, again.body


async def test_a_limited_token_has_no_file_of_a_source_built_on_what_it_may_not_pull(
    client: Client,
) -> None:
    await made(client, NAMESPACES, OWNER, {"name": "ada"})
    wanted = {"name": "team", "kind": "remote", "namespace": "ada"}
    source = await made(client, "/api/v1/sources", OWNER, wanted)
    limited = {"name": "pipeline", "scopes": ["ada/**:pull,push,delete"]}
    token = f"Bearer {(await made(client, '/api/v1/tokens', OWNER, limited))['secret']}"
    file = f"/api/v1/sources/{source['id']}/files/a/environment.yml?environment=a"

    async def problem(who: str, base: str) -> str | None:
        body = wish("tool", base=f"registry:{base}:1")
        reply = await send(client, "PUT", file, who, body)
        assert reply.status == 200, reply
        found: str | None = reply.json()["problem"]
        return found

    assert "may not pull 'team/base'" in (await problem(token, "team/base") or "")
    assert await problem(OWNER, "team/base") is None
