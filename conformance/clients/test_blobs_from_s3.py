"""A store in S3: clients get blobs from there, and any number of servers share it."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.engines import Client, EngineMissing
from conformance.clients.images import HEADERS, LARGE, SIMPLE, VERSIONED, get_manifest
from conformance.clients.matrix import every
from conformance.clients.server import Server
from conformance.missing import skip_unless_ci
from conformance.s3 import S3Server

# The first test also waits for the channel and for programs that are built from source.
pytestmark = pytest.mark.timeout(1200)

REPLICAS = 3
CLIENTS = 60
#: More than redirects, pings and HEAD take.
SMALL_BYTES = 8 * 1024


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """Return an S3 server."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(S3Server())
        except EngineMissing as error:
            skip_unless_ci(str(error))
        yield server


@pytest.fixture(scope="module")
def replicas(s3: S3Server, paths: ChannelPaths, channel: ChannelServer) -> Iterator[list[Server]]:
    """Return servers over one bucket, each with a scratch directory of its own."""
    home = Path(tempfile.mkdtemp(prefix="pf-replicas-"))
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Server(
                    home / f"replica-{number}",
                    channel.url,
                    paths.base,
                    s3.settings("shared") | {"scratch": home / f"scratch-{number}", "workers": 1},
                )
            )
            for number in range(REPLICAS)
        ]
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def made(replicas: list[Server]) -> Server:
    """Return a server by which the large image was made."""
    while get_manifest(replicas[0], LARGE).status_code == 429:
        pass
    return replicas[0]


@pytest.mark.parametrize("client", every(), indirect=True)
def test_client_gets_blobs_from_s3(client: Client, made: Server) -> None:
    """What the server itself sends is little more than the manifest."""
    manifest = get_manifest(made, LARGE).raise_for_status()
    layers = sum(layer["size"] for layer in manifest.json()["layers"])
    before = sent_bytes(made)
    result = client.pull(made.reference(LARGE))
    assert result.ok, result.output
    client.remove(made.reference(LARGE))
    sent = sent_bytes(made) - before
    assert layers > 50_000_000
    assert sent <= 3 * len(manifest.content) + SMALL_BYTES


def test_replicas_give_every_client_the_same_image(replicas: list[Server]) -> None:
    """Sixty clients ask three servers for what none of them has made."""
    answers = asyncio.run(get_spread(replicas, VERSIONED))
    assert [answer.status_code for answer in answers] == [200] * CLIENTS
    digests = {answer.headers["Docker-Content-Digest"] for answer in answers}
    assert len(digests) == 1
    manifest = answers[0].json()
    blobs = [manifest["config"], *manifest["layers"]]
    for server in replicas:
        assert server.metric("pullforge_solves_total") <= 2, "one for each of the two images"
        for digest in digests:
            answer = get_manifest(server, VERSIONED, digest).raise_for_status()
            assert answer.content == answers[0].content
        for blob in blobs:
            url = f"{server.url}/v2/{VERSIONED.partition(':')[0]}/blobs/{blob['digest']}"
            answer = httpx.get(url, follow_redirects=True, headers={"Range": "bytes=0-0"})
            assert answer.status_code == 206
            assert answer.headers["Content-Range"] == f"bytes 0-0/{blob['size']}"


def test_images_in_memory_are_answered_while_s3_is_down(
    s3: S3Server, replicas: list[Server]
) -> None:
    """Blobs are not, but with an answer after which clients ask again."""
    server = replicas[1]
    known = get_manifest(server, SIMPLE).raise_for_status()
    config = known.json()["config"]["digest"]
    blob = f"{server.url}/v2/{SIMPLE.partition(':')[0]}/blobs/{config}"
    s3.stop()
    try:
        assert get_manifest(server, SIMPLE).content == known.content
        digest = known.headers["Docker-Content-Digest"]
        assert get_manifest(server, SIMPLE, digest).content == known.content
        answer = httpx.get(blob, timeout=60)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "10"
        assert "store" in answer.json()["errors"][0]["message"]
    finally:
        s3.start()
    assert httpx.get(blob, follow_redirects=True, timeout=60).status_code == 200


async def get_spread(servers: list[Server], name: str) -> list[httpx.Response]:
    """Return the answers to clients that ask at once, the first the first server and so on."""
    repository, _, tag = name.partition(":")
    async with httpx.AsyncClient(
        headers=HEADERS,
        follow_redirects=True,
        timeout=300,
        limits=httpx.Limits(max_connections=CLIENTS),
    ) as http:

        async def pull(server: Server) -> httpx.Response:
            url = f"{server.url}/v2/{repository}/manifests/{tag}"
            while (answer := await http.get(url)).status_code == 429:
                pass
            return answer

        pulls = (pull(servers[number % len(servers)]) for number in range(CLIENTS))
        return list(await asyncio.gather(*pulls))


def sent_bytes(server: Server) -> float:
    """Return how many bytes of bodies a server has sent, metrics aside."""
    text = httpx.get(f"{server.url}/metrics", timeout=15).raise_for_status().text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "pullforge_http_sent_bytes_total" and sample.labels["route"] != "/metrics"
    )
