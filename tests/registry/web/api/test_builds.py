import json
import shutil

import pytest
import yaml

from tests.registry.asgi import Client
from tests.registry.web.api.site import ADA, BUILDS, Site, build, wish
from tests.tiny_channel import IN_2025, publish, tool

pytestmark = pytest.mark.anyio


async def test_a_request_leads_to_a_build_that_can_be_pulled(client: Client) -> None:
    reply = await build(client, wish("tool"), authorization=ADA)
    assert reply.status == 201, reply.body
    document = reply.json()
    key = document["key"]
    assert reply.headers["location"] == f"{BUILDS}/{key}"
    assert document["image"] == f"registry.test/build/{key}"
    assert document["platforms"]["linux-64"]["packages"] == 2
    assert document["pinned"] is True
    (image,) = document["images"]
    assert image["flavour"] == "oci-zstd"
    digest = image["reference"].partition("@")[2]
    pulled = await client.get(
        f"/v2/build/{key}/manifests/latest", user_agent="docker/28.0", accept="*/*"
    )
    assert pulled.headers["docker-content-digest"] == digest
    assert pulled.headers["pullforge-build"] == key
    by_digest = await client.get(f"/v2/build/{key}/manifests/{digest}")
    assert by_digest.headers["pullforge-build"] == key
    again = await client.get(f"{BUILDS}/{key}")
    assert (again.status, again.json()) == (200, document)


async def test_the_same_content_has_the_same_key_and_no_second_build(client: Client) -> None:
    first = await build(client, wish("tool", "library"))
    same = await client.post(BUILDS, b'{"specs": ["library", "tool", "tool"]}')
    assert same.status == 200
    assert same.json()["key"] == first.json()["key"]


async def test_an_environment_file_and_its_lock_and_list_lead_to_one_build(
    client: Client,
) -> None:
    text = b"name: x\nchannels: [main]\ndependencies:\n  - tool =1.0\n"
    first = await build(client, text)
    key = first.json()["key"]
    assert first.status == 201
    for form in ("lock", "explicit"):
        data = (await client.get(f"{BUILDS}/{key}/{form}")).body
        again = await build(client, data)
        assert again.json()["key"] == key, form


async def test_a_lock_has_the_same_key_and_digest_on_an_empty_server(site: Site) -> None:
    async with site.open() as client:
        first = (await build(client, wish("tool"))).json()
        lock = (await client.get(f"{BUILDS}/{first['key']}/lock")).body
    async with site.open(store=str(site.root / "other")) as client:
        second = (await build(client, lock)).json()
    assert second == first


async def test_what_was_made_before_a_renewal_is_still_there(site: Site, client: Client) -> None:
    old = (await build(client, wish("tool"))).json()["key"]
    body = wish("tool")
    await publish(site.channel, tool("3.0", IN_2025))
    assert (await client.post(BUILDS, body)).json()["key"] == old
    new = await build(client, body, f"{BUILDS}?renew=true")
    assert new.status == 201
    assert new.json()["key"] != old
    assert (await client.post(BUILDS, body)).json()["key"] == new.json()["key"]
    assert (await client.get(f"{BUILDS}/{old}")).status == 200


async def test_a_renewal_that_fails_leaves_the_build_that_there_was(
    site: Site, client: Client
) -> None:
    old = (await build(client, wish("tool"))).json()["key"]
    shutil.rmtree(site.channel)
    failed = await client.post(f"{BUILDS}?renew=true", wish("tool"), prefer="wait=25")
    assert failed.status in {422, 503}
    same = await client.post(BUILDS, wish("tool"))
    assert (same.status, same.json()["key"]) == (200, old)


async def test_a_build_tells_how_it_was_made(client: Client) -> None:
    key = (await build(client, wish("tool"))).json()["key"]
    reply = await client.get(f"{BUILDS}/{key}/log")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    lines = [line.partition(" ")[2] for line in reply.body.decode().splitlines()]
    assert lines[0].startswith("linux-64: 2 packages, ")
    # In which words somebody asked first is no part of the build.
    assert not any("asked for" in line for line in lines)
    assert f"lock {key}" in lines
    assert "downloading packages (2 of 2)" in lines
    assert lines[-1].startswith("image sha256:")


async def test_a_lock_says_nothing_that_others_read_as_ours(site: Site) -> None:
    lie = "this image is not safe: pull http://evil.example/ instead"
    async with site.open() as client:
        key = (await build(client, wish("tool"))).json()["key"]
        lock = yaml.safe_load((await client.get(f"{BUILDS}/{key}/lock")).body)
    lock["metadata"]["custom_metadata"]["pullforge.left_out"] = json.dumps({"linux-aarch64": lie})
    lock["metadata"]["sources"] = [lie]
    lock["metadata"]["git_metadata"] = {"git_user_name": lie}
    body = f"# {lie}\n{yaml.safe_dump(lock)}".encode()
    other = {"store": str(site.root / "other"), "platforms": ["linux-64", "linux-aarch64"]}
    async with site.open(**other) as client:
        first = await build(client, body)
        assert (first.status, first.json()["key"]) == (201, key), first.body
        links = first.json()["links"]
        told = [first.body, *[(await client.get(links[n])).body for n in ("self", "log", "lock")]]
    assert list(first.json()["left_out"]) == ["linux-aarch64"]
    stored = [path.read_bytes() for path in (site.root / "other").rglob("*") if path.is_file()]
    assert not any(b"evil.example" in text for text in told + stored)


async def test_a_build_of_a_pull_is_described_too(client: Client) -> None:
    pulled = await client.get("/v2/env/tool/manifests/latest", user_agent="docker/28.0")
    key = pulled.headers["pullforge-build"]
    document = (await client.get(f"{BUILDS}/{key}")).json()
    assert document["pinned"] is False
    assert (await client.get(f"{BUILDS}/{key}/log")).body == b""
    old = await client.get(
        "/v2/env/tool/manifests/latest",
        accept="application/vnd.docker.distribution.manifest.v2+json",
    )
    assert old.headers["pullforge-build"] == key
    flavours = [
        image["flavour"] for image in (await client.get(f"{BUILDS}/{key}")).json()["images"]
    ]
    assert flavours == ["oci-zstd", "docker-gzip"]


async def test_two_builds_are_compared(client: Client) -> None:
    old = (await build(client, wish("tool=1.0"))).json()["key"]
    new = (await build(client, wish("tool"))).json()["key"]
    reply = await client.get(f"{BUILDS}/{old}/diff/{new}")
    assert reply.status == 200, reply.body
    document = reply.json()
    (change,) = document["packages"]["linux-64"]
    assert change["name"] == "tool"
    assert change["before"].startswith("1.0 ")
    assert change["after"].startswith("2.0 ")
    assert 0 < document["fetched_bytes"]["linux-64"] < 5000
    assert document["base"] is None


@pytest.mark.parametrize("path", ["/builds/%0Ax/nothing", "/%0D%0A", "/builds/a/%0A"])
async def test_an_address_with_a_line_break_is_told_that_there_is_nothing_as_any_other(
    client: Client, path: str
) -> None:
    reply = await client.get(f"/api/v1{path}")
    assert reply.status == 404
    assert reply.json()["error"]["code"] == "ENDPOINT_UNKNOWN"


async def test_a_build_that_there_is_not(client: Client) -> None:
    for key in ("0" * 32, "x", "0" * 33, "..%2f..%2fetc"):
        for rest in ("", "/log", "/lock", "/sbom", f"/diff/{'0' * 32}"):
            reply = await client.get(f"{BUILDS}/{key}{rest}")
            assert reply.status == 404, (key, rest)
            assert reply.json()["error"]["code"] in {"BUILD_UNKNOWN", "ENDPOINT_UNKNOWN"}


async def test_requests_that_are_no_builds_leave_nothing_behind(site: Site, client: Client) -> None:
    bad = {
        b"dependencies:\n  - tool\n  - 'a b c d e f'\n": (400, 3),
        b"dependencies: [": (400, None),
        b"channels: [elsewhere]\ndependencies: [tool]\n": (400, 1),
        b"\xff\xfa": (400, 1),
        b"{}": (400, None),
        b"": (400, None),
        wish("tool", base="evil.example/x"): (400, None),
        b"@EXPLICIT\nfile:///etc/passwd.conda#0000\n": (400, 2),
        b"@EXPLICIT\nhttp://169.254.169.254/linux-64/a-1-0.conda#" + b"0" * 32: (400, 2),
    }
    for body, (status, line) in bad.items():
        reply = await client.post(BUILDS, body)
        assert reply.status == status, (body, reply.body)
        error = reply.json()["error"]
        assert set(error) == {"code", "message", "field", "line"}
        assert error["message"]
        if line is not None:
            assert error["line"] == line, (body, error)
    assert site.files("requests") == site.files("inputs") == site.files("locks") == []


async def test_a_body_that_is_too_large_is_not_read_to_its_end(site: Site) -> None:
    async with site.open(max_request_bytes=1000) as client:
        for headers in ({}, {"content_length": "2000"}):
            reply = await client.post(BUILDS, b"x" * 2000, **headers)
            assert reply.status == 413
            assert "1000 bytes" in reply.json()["error"]["message"]


async def test_a_compressed_body_is_refused(client: Client) -> None:
    reply = await client.post(BUILDS, b"x", content_encoding="gzip")
    assert reply.status == 400
    assert reply.json()["error"]["code"] == "PARAMETER_INVALID"


async def test_what_cannot_be_solved_says_why_and_is_forgotten(site: Site) -> None:
    async with site.open(error_ttl_seconds=30) as client:
        reply = await client.post(BUILDS, wish("nothing-like-it"), prefer="wait=25")
        assert reply.status == 422
        assert "nothing-like-it" in reply.json()["error"]["message"]
        assert reply.headers["preference-applied"] == "wait=25"
        assert site.files("locks") == []
        # Again, without another solve, until the error has had its time.
        again = await client.post(BUILDS, wish("nothing-like-it"))
        assert (again.status, again.body) == (reply.status, reply.body)
        site.clock.now += 31
        third = await client.post(BUILDS, wish("nothing-like-it"))
        assert third.status == 202
        await build(client, wish("nothing-like-it"))
    site.clock.now += 4000
    async with site.open() as client:
        requests = client.services.builds.requests
        await requests._tidy()
    assert site.files("requests") == site.files("inputs") == []


async def test_addresses_and_methods_that_there_are_not(client: Client) -> None:
    for method, path, status, allow in [
        ("GET", BUILDS, 405, "POST"),
        ("GET", f"{BUILDS}/{'0' * 32}/pin", 405, "DELETE, POST"),
        ("POST", f"{BUILDS}/{'0' * 32}", 405, "GET, HEAD"),
        ("GET", "/api/v1/", 404, None),
        ("GET", "/api/v1/nothing", 404, None),
        ("GET", f"{BUILDS}/", 404, None),
    ]:
        reply = await client.request(method, path)
        assert reply.status == status, path
        assert reply.headers.get("allow") == allow
        assert json.loads(reply.body)["error"]["message"]


async def test_a_parameter_that_means_nothing_is_refused(client: Client) -> None:
    for url, name in [
        (f"{BUILDS}?renew=maybe", "renew"),
        (f"{BUILDS}/{'0' * 32}/lock?platform=win-64", "platform"),
        (f"{BUILDS}/{'0' * 32}/sbom?format=csv", "format"),
    ]:
        method = "POST" if name == "renew" else "GET"
        reply = await client.request(method, url, body=wish("tool"))
        assert reply.status == 400, url
        assert f"'{name}'" in reply.json()["error"]["message"]
