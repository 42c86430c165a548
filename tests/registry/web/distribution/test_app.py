import random

import pytest

from builder.errors import ChannelUnavailable
from builder.oci.digest import EMPTY, digest_of
from tests.registry.accounts import access_of, basic, user
from tests.registry.asgi import Client, assert_oci_error, open_client
from tests.registry.fakes import FakeBuiltSource, FakeService

pytestmark = pytest.mark.anyio

DIGEST = digest_of(b"x")


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
async def test_the_api_is_there(client: Client, path: str) -> None:
    reply = await client.get(path)
    assert reply.status == 200
    assert reply.json() == {}
    assert reply.headers["docker-distribution-api-version"] == "registry/2.0"
    assert (await client.head(path)).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/env/numpy/blobs/uploads/"),
        ("POST", "/v2/env/numpy/blobs/uploads"),
        ("DELETE", "/v2/env/numpy/blobs/uploads/1"),
        ("PATCH", "/v2/env/numpy/blobs/uploads/1"),
        ("PUT", "/v2/env/numpy/blobs/uploads/1?digest=x"),
        ("GET", "/v2/env/numpy/blobs/uploads/1"),
        ("PUT", "/v2/env/numpy/manifests/latest"),
        ("DELETE", "/v2/env/numpy/manifests/latest"),
        ("DELETE", f"/v2/env/numpy/blobs/{DIGEST}"),
        ("OPTIONS", "/v2/env/numpy/tags/list"),
    ],
)
async def test_nothing_can_be_pushed_to_what_is_made_here(
    client: Client, method: str, path: str
) -> None:
    reply = await client.request(method, path)
    message = assert_oci_error(reply, 405, "UNSUPPORTED")
    assert "makes its images itself" in message
    assert reply.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", "/v2/token", "GET, HEAD, POST"),
        ("GET", "/v2/team/a/blobs/uploads/", "POST"),
        ("POST", "/v2/team/a/manifests/latest", "DELETE, GET, HEAD, PUT"),
    ],
)
async def test_an_address_tells_what_it_knows(
    client: Client, method: str, path: str, allow: str
) -> None:
    reply = await client.request(method, path)
    assert allow in assert_oci_error(reply, 405, "UNSUPPORTED")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize(
    "path", ["/v2/nonsense", "/v2//", "/v2/_catalog/", "/v2/a%0Ab", "/v2/%C3%A4"]
)
async def test_an_unknown_address_is_an_error_of_the_protocol(client: Client, path: str) -> None:
    message = assert_oci_error(await client.get(path), 404, "UNSUPPORTED")
    assert "distribution protocol" in message


async def test_what_only_looks_like_it_is_not_the_protocol(client: Client) -> None:
    for path in ("/v22", "/v1/", "/V2/"):
        reply = await client.get(path)
        assert reply.status == 404
        assert reply.headers["content-type"].startswith("text/")


METHODS = ["GET", "GET", "GET", "HEAD", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]
PARTS = [
    *("env", "numpy", "manifests", "blobs", "tags", "list", "referrers", "uploads", "latest"),
    *("slow", "broken", str(DIGEST), str(EMPTY), "sha256:x", "sha512:" + "0" * 128, ":", ""),
    *(
        "token",
        "from",
        "..",
        ".",
        "%2e%2e",
        "%2F",
        "%00",
        "%0A",
        "%0D%0Ax:y",
        "%FF",
        "%C3%A4",
        "%",
        "%zz",
        "~",
    ),
    *("Env", "a__b", "a___b", "-", "_catalog", "x" * 300, "{name}", "'\"<>", "a;b", "@"),
]
QUERIES = [
    *("", "n=1", "n=0", "n=-1", "n=x", "last=a", "wait=3", "wait=9", "wait=x", "ns=docker.io"),
    *("mount=x&from=a%0A", "from=env/numpy", "scope=repository:a:pull", "scope=%FF&service="),
    *("artifactType=x", "n=1&n=2", "&&=", "%", "%FF=%00", "wait=%0A", "x" * 500),
]
HEADERS = [
    ("range", "bytes=0-1"),
    ("range", "bytes=-"),
    ("range", "bytes=5-2,9-"),
    ("range", "bytes=99999999999999999999-"),
    ("if-none-match", "*"),
    ("if-none-match", f'"{EMPTY}"'),
    ("if-range", "x"),
    ("accept", "*/*;q=0"),
    ("accept", ",;=\xff"),
    ("accept", "application/vnd.docker.distribution.manifest.v2+json"),
    ("user-agent", "containerd/1.6.20"),
    ("user-agent", "docker/\xff"),
    ("x-request-id", "\xe4\t"),
    ("host", "<script>"),
    ("content-length", "-1"),
    ("authorization", basic("ada")),
    ("authorization", "Basic \xff"),
    ("authorization", "Bearer a.b.c"),
    ("accept-encoding", "gzip"),
]


@pytest.mark.parametrize("has_users", [False, True])
async def test_ten_thousand_odd_requests_are_all_answered_as_the_protocol_says(
    house: FakeService, pulls: FakeBuiltSource, *, has_users: bool
) -> None:
    if has_users:
        house.access = access_of(user("ada", "env/**:*"), private=("env/latest", "a*"))
    await house.put_blob(b"")
    await house.put_blob(b"x")
    pulls.known_tags = ("a", "b")
    pulls.errors["broken"] = ChannelUnavailable("the channel is down")
    pulls.rounds["slow"] = 10**9
    random_ = random.Random(20261105)
    statuses = set()
    async with open_client(house.app(access_log=False)) as client:
        for _ in range(10_000):
            parts = random_.choices(PARTS, k=random_.randint(0, 6))
            url = "/v2/" + "/".join(parts) + "?" + random_.choice(QUERIES)
            if random_.random() < 0.5:
                kind = random_.choice(["manifests", "blobs", "referrers"])
                url = f"/v2/env/numpy/{kind}/{random_.choice(PARTS)}?{random_.choice(QUERIES)}"
            method = random_.choice(METHODS)
            headers = list(dict(random_.choices(HEADERS, k=random_.randint(0, 4))).items())
            reply = await client.request(method, url, headers)
            statuses.add(reply.status)
            assert reply.status < 500, (method, url, headers)
            if reply.status >= 400 and method != "HEAD":
                assert_oci_error(reply, reply.status, reply.json()["errors"][0]["code"])
    assert {200, 206, 304, 307, 400, 404, 405, 416} <= statuses
    assert statuses & {401, 403} == ({401, 403} if has_users else set())
