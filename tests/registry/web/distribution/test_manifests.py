import asyncio

import pytest

from builder.build.image import Flavour
from builder.errors import ChannelUnavailable, MalformedName, UnknownPackage
from builder.oci.digest import digest_of
from builder.oci.models import DOCKER_MANIFEST, OCI_MANIFEST
from registry.content.manifests import Manifest
from tests.registry.asgi import Client, assert_oci_error, assert_serves
from tests.registry.fakes import FakeBuiltSource, FakeService, manifest_data, put

pytestmark = pytest.mark.anyio

LATEST = "/v2/env/numpy/manifests/latest"
CONTAINERD = "containerd/1.6.20"


async def expected(house: FakeService, flavour: Flavour, *, index: bool) -> Manifest:
    return await put(house.manifests, manifest_data("env/numpy", flavour, index=index))


async def test_a_tag_is_answered_as_the_client_takes_it(client: Client, house: FakeService) -> None:
    unknown = await client.get(LATEST)
    assert_serves(unknown, await expected(house, "oci-gzip", index=True))
    podman = await client.get(LATEST, user_agent="libpod/4.3.1", accept="*/*")
    assert_serves(podman, await expected(house, "oci-zstd", index=True))
    old = await client.get(LATEST, accept=DOCKER_MANIFEST)
    assert_serves(old, await expected(house, "docker-gzip", index=False))
    lines = [("accept", OCI_MANIFEST), ("accept", DOCKER_MANIFEST), ("user-agent", CONTAINERD)]
    several = await client.request("GET", LATEST, lines)
    assert_serves(several, await expected(house, "oci-zstd", index=False))
    for reply in (unknown, podman, old, several):
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["vary"] == "Accept, User-Agent"


async def test_what_a_tag_gave_is_there_by_digest(client: Client, house: FakeService) -> None:
    digest = (await client.head(LATEST)).headers["docker-content-digest"]
    reply = await client.get(f"/v2/env/numpy/manifests/{digest}")
    assert_serves(reply, await expected(house, "oci-gzip", index=True))
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "vary" not in reply.headers


async def test_head_is_get_without_its_body(client: Client) -> None:
    digest = (await client.head(LATEST)).headers["docker-content-digest"]
    for url in (LATEST, f"/v2/env/numpy/manifests/{digest}", "/v2/env/a/manifests/sha256:0"):
        get, head = await client.get(url), await client.head(url)
        assert head.status == get.status
        assert head.body == b""
        assert {**head.headers, "x-request-id": ""} == {**get.headers, "x-request-id": ""}


async def test_a_client_that_has_it_is_told_so(client: Client) -> None:
    first = await client.get(LATEST)
    digest = first.headers["docker-content-digest"]
    for url in (LATEST, f"/v2/env/numpy/manifests/{digest}"):
        reply = await client.get(url, if_none_match=first.headers["etag"])
        assert reply.status == 304
        assert reply.headers["etag"] == first.headers["etag"]
        assert reply.headers["docker-content-digest"] == digest
        assert "content-length" not in reply.headers
        assert (await client.get(url, if_none_match='"other"')).status == 200


async def test_nothing_is_compressed_on_the_way(client: Client) -> None:
    reply = await client.get(LATEST, accept_encoding="gzip, zstd, br")
    assert "content-encoding" not in reply.headers


async def test_an_unknown_digest_is_not_found(client: Client) -> None:
    url = f"/v2/env/numpy/manifests/{digest_of(b'nothing')}"
    assert_oci_error(await client.get(url), 404, "MANIFEST_UNKNOWN")


async def test_a_layer_is_no_manifest(client: Client, house: FakeService) -> None:
    digest = await house.put_blob(b"layer")
    url = f"/v2/env/numpy/manifests/{digest}"
    assert_oci_error(await client.get(url), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    "reference", ["sha256:abc", "sha256:", ":", "sha512:ab", "md5:" + "0" * 32]
)
async def test_a_malformed_digest_is_refused(client: Client, reference: str) -> None:
    reply = await client.get(f"/v2/env/numpy/manifests/{reference}")
    assert_oci_error(reply, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("tag", [".INVALID_MANIFEST_NAME", "-x", "a" * 129, "latest%0A", "a%20b"])
async def test_a_tag_that_cannot_be_is_not_found(client: Client, tag: str) -> None:
    reply = await client.get(f"/v2/env/numpy/manifests/{tag}")
    assert_oci_error(reply, 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    "name", ["env/Numpy", "env/a..b", "env//a", "env/a%0Ab", "a" * 256, "%C3%A4"]
)
async def test_a_name_that_cannot_be_is_refused(client: Client, name: str) -> None:
    for rest in (
        "manifests/latest",
        f"manifests/{digest_of(b'')}",
        f"blobs/{digest_of(b'')}",
        "tags/list",
        f"referrers/{digest_of(b'')}",
        "blobs/uploads/1",
    ):
        assert_oci_error(await client.get(f"/v2/{name}/{rest}"), 400, "NAME_INVALID")


async def test_an_unknown_repository_is_told_how_names_look(client: Client) -> None:
    for rest in ("manifests/latest", f"manifests/{digest_of(b'')}", "tags/list"):
        reply = await client.get(f"/v2/library/alpine/{rest}", user_agent=CONTAINERD)
        message = assert_oci_error(reply, 404, "NAME_UNKNOWN")
        assert "'library/alpine'" in message
        assert "env/numpy" in message


async def test_what_belongs_to_no_image_made_here_is_not_read_through_their_names(
    client: Client, house: FakeService, pulls: FakeBuiltSource
) -> None:
    manifest = await expected(house, "oci-gzip", index=True)
    assert_serves(await client.get(f"/v2/env/x/manifests/{manifest.digest}"), manifest)
    pulls.not_made.add(manifest.digest)
    reply = await client.get(f"/v2/env/x/manifests/{manifest.digest}")
    assert_oci_error(reply, 404, "MANIFEST_UNKNOWN")


async def test_a_failed_pull_says_why_in_one_sentence(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.errors["latest"] = UnknownPackage("nunpy", ["conda-forge"], "linux-64", ["numpy"])
    reply = await client.get("/v2/env/nunpy/manifests/latest", user_agent="docker/27.0")
    message = assert_oci_error(reply, 404, "MANIFEST_UNKNOWN")
    assert message == "no package 'nunpy' in conda-forge for linux-64; did you mean 'numpy'?"
    assert "retry-after" not in reply.headers


async def test_containerd_is_told_so_that_it_shows_it(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.errors["latest"] = MalformedName("no\nsense")
    head = await client.head(LATEST, user_agent=CONTAINERD)
    assert head.status == 405
    assert head.headers["allow"] == "GET"
    reply = await client.get(LATEST, user_agent=CONTAINERD)
    assert assert_oci_error(reply, 400, "MANIFEST_UNKNOWN") == "no sense"
    assert "allow" not in reply.headers


async def test_an_error_that_may_pass_says_when_to_ask_again(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.errors["latest"] = ChannelUnavailable("conda-forge does not answer")
    reply = await client.get(LATEST)
    assert_oci_error(reply, 404, "MANIFEST_UNKNOWN")
    assert int(reply.headers["retry-after"]) > 0


async def test_an_unforeseen_error_tells_nothing_of_the_inside(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.errors["latest"] = RuntimeError("password=hunter2 in /srv/store")
    message = assert_oci_error(await client.get(LATEST), 500, "UNKNOWN")
    assert "hunter2" not in message
    assert "/srv" not in message


async def test_clients_that_leave_leave_nothing_running(
    client: Client, pulls: FakeBuiltSource
) -> None:
    before = asyncio.all_tasks()
    gone = asyncio.Event()
    pulls.expected = 50
    requests = [
        asyncio.create_task(client.exchange("GET", "/v2/env/a/manifests/hangs", (), gone))
        for _ in range(50)
    ]
    await pulls.all_wait.wait()
    gone.set()
    replies = await asyncio.gather(*requests)
    assert {reply.status for reply in replies} == {0}
    assert pulls.waiting == 0
    assert asyncio.all_tasks() == before


async def test_clients_that_stay_are_answered_by_the_same_build(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.expected = 50
    requests = [asyncio.create_task(client.get("/v2/env/a/manifests/hangs")) for _ in range(50)]
    await pulls.all_wait.wait()
    pulls.released.set()
    replies = await asyncio.gather(*requests)
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
