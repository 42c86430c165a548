"""Named environments over HTTP: pulled, listed, and pushed to by nobody."""

import json
import time
from dataclasses import replace
from urllib.parse import quote

import pytest

from builder.oci.digest import Digest, digest_of
from builder.oci.models import OCI_INDEX, OCI_MANIFEST, Descriptor
from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy
from registry.content.names import parse_repository
from registry.images.records import Origin
from registry.sources.directory import Pointer, dump_pointer
from registry.storage.layout import environment_key
from registry.telemetry import NoAccessLog
from registry.web.asgi.protocol import ShortcutProtocol
from registry.web.distribution.memory_cache import WarmManifests
from tests.registry.accounts import basic, policy_of, user
from tests.registry.asgi import Client, assert_oci_error, open_client
from tests.registry.connection import Connection, request
from tests.registry.fakes import FakeService, manifest_data, put

pytestmark = pytest.mark.anyio

NAME = "analytics/forecast"
ONE, TWO = "1" * 32, "2" * 32
LATEST = f"/v2/{NAME}/manifests/latest"
PODMAN = "containers/5.29.2 (github.com/containers/image)"
CONTAINERD = {
    "user_agent": "containerd/2.1.0",
    "accept": ", ".join(
        (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            OCI_MANIFEST,
            f"{OCI_INDEX}, */*",
        )
    ),
}
POINTER = Pointer(
    "analytics", "forecast", TWO, {1: ONE, 2: TWO}, ((0.0, ONE), (86_400.0, TWO)), True
)


@pytest.fixture(autouse=True)
def known(house: FakeService) -> None:
    house.directory.put(POINTER)


def pointer(name: str) -> Pointer:
    namespace, _, environment = name.partition("/")
    return replace(POINTER, namespace=namespace, environment=environment, is_public=False)


async def test_a_tag_is_answered_as_the_tag_of_its_build_is(
    client: Client, house: FakeService
) -> None:
    for tag, build in {
        "latest": TWO,
        "v1": ONE,
        ONE: ONE,
        "1970-01-01": ONE,
        "2020-02-29": TWO,
    }.items():
        for ask in (client.get, client.head):
            reply = await ask(f"/v2/{NAME}/manifests/{tag}", user_agent=PODMAN, accept=OCI_INDEX)
            data = manifest_data(f"build/{build}", "oci-zstd", index=True)
            assert reply.status == 200
            assert reply.headers["docker-content-digest"] == digest_of(data)
            assert reply.headers["content-type"] == OCI_INDEX
            assert reply.headers["vary"] == "Accept, User-Agent"
            assert reply.headers["cache-control"] == "no-cache"
    reply = await client.get(LATEST, user_agent="docker/20.10.24", accept=OCI_MANIFEST)
    assert json.loads(reply.body)["annotations"]["flavour"] == "oci-gzip"


async def test_a_tag_that_cannot_be_is_told_in_one_sentence(client: Client) -> None:
    for tag, told in (
        ("v1-py3.12", "would need other packages"),
        ("v9", "has no version 9 that was built"),
        ("9999-01-01", "has not come yet"),
        ("stable", "is not understood"),
    ):
        path = f"/v2/{NAME}/manifests/{tag}"
        assert told in assert_oci_error(await client.get(path), 404, "MANIFEST_UNKNOWN")
        # containerd hides the text of a 404, and shows that of a 403.
        assert told in assert_oci_error(
            await client.get(path, **CONTAINERD), 403, "MANIFEST_UNKNOWN"
        )


async def test_a_build_that_takes_long_sends_clients_round(
    client: Client, house: FakeService
) -> None:
    house.pulls.rounds["bare"] = 1
    reply = await client.get(f"/v2/{NAME}/manifests/v1-bare")
    assert reply.status == 307
    assert reply.headers["location"].startswith("v1-bare?")
    assert (await client.get(f"/v2/{NAME}/manifests/v1-bare")).status == 200


async def test_tags_are_paged_as_the_specification_has_it(client: Client) -> None:
    expected = sorted([ONE, TWO, "1970-01-01", "1970-01-02", "latest", "v1", "v2"])
    reply = await client.get(f"/v2/{NAME}/tags/list")
    assert reply.json() == {"name": NAME, "tags": expected}
    assert "link" not in reply.headers
    assert (await client.get(f"/v2/{NAME}/tags/list?n=0")).json()["tags"] == []
    seen: list[str] = []
    url = f"/v2/{NAME}/tags/list?n=3"
    while url:
        reply = await client.get(url)
        seen += reply.json()["tags"]
        url = reply.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == expected
    assert (await client.get(f"/v2/{NAME}/tags/list?last=v1")).json()["tags"] == ["v2"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
        ("PUT", LATEST),
        ("DELETE", LATEST),
        ("DELETE", f"/v2/{NAME}/blobs/{digest_of(b'')}"),
        ("PATCH", f"/v2/{NAME}/blobs/uploads/1"),
    ],
)
async def test_nobody_can_push_to_an_environment(client: Client, method: str, path: str) -> None:
    reply = await client.request(method, path)
    message = assert_oci_error(reply, 405, "UNSUPPORTED")
    assert message == (
        f"nothing can be pushed to '{NAME}' or deleted from it: it is an environment, which"
        f" 'pullforge env update {NAME}' changes; push under another name"
    )
    assert reply.headers["allow"] == "GET, HEAD"


async def test_beside_an_environment_anything_can_be_pushed(
    client: Client, house: FakeService
) -> None:
    for name in (f"{NAME}/more", "analytics/other"):
        assert (await client.post(f"/v2/{name}/blobs/uploads/")).status == 202
    house.directory.remove("analytics", "forecast")
    assert (await client.post(f"/v2/{NAME}/blobs/uploads/")).status == 202


async def test_the_catalog_lists_environments_among_what_was_pushed(
    client: Client, house: FakeService
) -> None:
    for name in ("analytics/zoo", "analytics-x/a", "b/c"):
        house.directory.put(pointer(name))
    for name in ("analytics", "analytics/app", "analytics/forecast/more", "b"):
        await house.store.write(f"catalog/{name.replace('/', '!')}", b"")
    expected = [
        *("analytics", "analytics/app", "analytics/forecast", "analytics/forecast/more"),
        *("analytics/zoo", "analytics-x/a", "b", "b/c"),
    ]
    assert (await client.get("/v2/_catalog")).json() == {"repositories": expected}
    for size in (1, 2, 3, 8):
        seen: list[str] = []
        url = f"/v2/_catalog?n={size}"
        while url:
            reply = await client.get(url)
            assert len(reply.json()["repositories"]) <= size
            seen += reply.json()["repositories"]
            url = reply.headers.get("link", "").partition(">")[0].removeprefix("<")
        assert seen == expected
    assert (await client.get("/v2/_catalog?n=0")).json() == {"repositories": []}


async def test_the_catalog_does_not_tell_of_what_is_hidden(house: FakeService) -> None:
    """Neither by a name nor by a link that leads to an empty page."""
    policy = policy_of(user("bob", "**:catalog"), user("ada", "**:*"))
    house.access = Access(FixedPolicy(policy), Logins(), Entitlements(house.directory))
    house.directory.put_namespace("analytics")
    house.directory.put_namespace("private")
    for name in ("private/a", "private/b", "private/c"):
        house.directory.put(pointer(name))
    async with open_client(house.app()) as client:
        for size in (1, 2, 100):
            reply = await client.get(f"/v2/_catalog?n={size}", authorization=basic("bob"))
            assert reply.json() == {"repositories": [NAME]}
            assert "link" not in reply.headers
        reply = await client.get("/v2/_catalog?n=2", authorization=basic("ada"))
        assert reply.json() == {"repositories": [NAME, "private/a"]}
        assert quote("private/a", safe="") in reply.headers["link"]


async def test_blobs_are_those_of_its_versions(client: Client, house: FakeService) -> None:
    mine, foreign = await house.put_blob(b"mine"), await house.put_blob(b"foreign")
    await house.records.keep_origin(mine, Origin(ONE, "oci-zstd"))
    await house.records.keep_origin(foreign, Origin("3" * 32, "oci-zstd"))
    pushed = await house.put_blob(b"pushed")
    reply = await client.get(f"/v2/{NAME}/blobs/{mine}")
    assert (reply.status, reply.body) == (200, b"mine")
    for digest in (foreign, pushed, digest_of(b"nothing")):
        assert_oci_error(await client.get(f"/v2/{NAME}/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    team = parse_repository("team/app")
    for digest, status in ((mine, 201), (foreign, 202)):
        url = f"/v2/{team}/blobs/uploads/?mount={digest}&from={NAME}"
        assert (await client.post(url)).status == status
    assert await house.pushed_blobs.has(team, mine)
    assert not await house.pushed_blobs.has(team, foreign)


async def test_manifests_and_referrers_are_those_of_its_versions(
    client: Client, house: FakeService
) -> None:
    found = [Descriptor(media_type=OCI_MANIFEST, digest=digest_of(b"a"), size=1)]
    for key, status, count in ((ONE, 200, 1), ("3" * 32, 404, 0)):
        image = await put(house.manifests, manifest_data(f"build/{key}", "oci-zstd", index=True))
        await house.records.keep_origin(image.digest, Origin(key, "oci-zstd"))
        house.pulls.artifacts[image.digest] = found
        assert (await client.get(f"/v2/{NAME}/manifests/{image.digest}")).status == status
        reply = await client.get(f"/v2/{NAME}/referrers/{image.digest}")
        assert reply.status == 200
        assert len(reply.json()["manifests"]) == count


async def test_a_lost_blob_is_made_again_for_those_who_may_have_it(
    client: Client, house: FakeService
) -> None:
    data = manifest_data("lost", "oci-zstd", index=True)
    digest = digest_of(data)
    house.pulls.lost[digest] = data
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).status == 404
    await house.records.keep_origin(digest, Origin(ONE, "oci-zstd"))
    assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).body == data


async def test_a_server_without_its_database_answers_what_the_store_has(
    client: Client, house: FakeService
) -> None:
    house.is_followed = False
    # What memory has may be old: the store alone counts.
    assert_oci_error(await client.get(LATEST), 404, "NAME_UNKNOWN")
    await house.store.write(environment_key(NAME), dump_pointer(POINTER))
    assert (await client.get(LATEST)).status == 200
    assert (await client.post(f"/v2/{NAME}/blobs/uploads/")).status == 405
    await house.store.delete(environment_key(NAME))
    assert_oci_error(await client.get(LATEST), 404, "NAME_UNKNOWN")
    assert (await client.post(f"/v2/{NAME}/blobs/uploads/")).status == 202


class Warm:
    """A connection with the shortcut, to an environment whose versions are in memory."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def get(self, path: str) -> tuple[bytes, bool]:
        """Return the answer, and whether it came before the application was asked."""
        before = len(self.connection.transport.written)
        sent = request("GET", path, f"Accept: {OCI_INDEX}", f"User-Agent: {PODMAN}")
        self.connection.protocol.data_received(sent)
        is_at_once = self.connection.busy == 0
        await self.connection.rest()
        return bytes(self.connection.transport.written[before:]), is_at_once


async def at_hand(house: FakeService, key: str) -> Digest:
    """Have the image of a build in memory for podman, and return its digest."""
    data = manifest_data(f"build/{key}", "oci-zstd", index=True)
    image = await put(house.manifests, data)
    house.pulls.at_hand[f"build/{key}", "latest", "oci-zstd", True] = image
    await house.records.keep_origin(image.digest, Origin(key, "oci-zstd"))
    return image.digest


async def test_what_is_in_memory_is_answered_before_the_application(house: FakeService) -> None:
    one, two = await at_hand(house, ONE), await at_hand(house, TWO)
    app = house.app()
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        warm = Warm(Connection(ShortcutProtocol, app, state))
        for path, digest in ((LATEST, two), (f"/v2/{NAME}/manifests/v1", one)):
            for _ in range(2):
                answer, is_at_once = await warm.get(path)
                assert is_at_once
                assert digest.encode() in answer
        # A digest is answered at once when it is known to be of a version.
        for expected in (False, True):
            answer, is_at_once = await warm.get(f"/v2/{NAME}/manifests/{one}")
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert is_at_once is expected
        house.directory.put(replace(POINTER, active=ONE))
        answer, is_at_once = await warm.get(LATEST)
        assert is_at_once
        assert one.encode() in answer
        house.directory.put(replace(POINTER, active=TWO, versions={2: TWO}))
        answer, is_at_once = await warm.get(f"/v2/{NAME}/manifests/{one}")
        assert not is_at_once
        assert answer.startswith(b"HTTP/1.1 404 ")
        house.directory.remove("analytics", "forecast")
        for path in (LATEST, f"/v2/{NAME}/manifests/{two}"):
            answer, is_at_once = await warm.get(path)
            assert not is_at_once
            assert answer.startswith(b"HTTP/1.1 404 ")
        house.directory.put(POINTER)
        house.is_followed = False
        _, is_at_once = await warm.get(LATEST)
        assert not is_at_once
        warm.connection.end()


async def test_an_environment_among_ten_thousand_is_as_warm_as_env(house: FakeService) -> None:
    """Both in one run, the best of several: what else runs on the machine slows down both."""
    await at_hand(house, TWO)
    image = await put(house.manifests, manifest_data("env/numpy", "oci-zstd", index=True))
    house.pulls.at_hand["env/numpy", "latest", "oci-zstd", True] = image
    versions = {number: f"{number:032x}" for number in range(1000, 2000)}
    for number in range(10_000):
        house.directory.put(pointer(f"team-{number % 100}/e{number}"))
    house.directory.put(replace(POINTER, versions={**versions, 2: TWO}))
    app = house.app()
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        shortcut = WarmManifests(state["services"], NoAccessLog())
        lines = [(b"accept", OCI_INDEX.encode()), (b"user-agent", PODMAN.encode())]

        def seconds(url: bytes) -> float:
            started = time.perf_counter()
            for _ in range(200):
                assert shortcut.answer(b"GET", url, lines) is not None
            return time.perf_counter() - started

        urls = (LATEST.encode(), b"/v2/env/numpy/manifests/latest")
        named, env = (
            min(times)
            for times in zip(*([seconds(u) for u in urls] for _ in range(20)), strict=True)
        )
    assert named < 2 * env, f"{named / env:.2f} times as long"
