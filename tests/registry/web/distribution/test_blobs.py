import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.keys import blob_key
from builder.oci.digest import EMPTY, Digest, digest_of
from tests.registry.asgi import Client, assert_oci_error, open_client
from tests.registry.fakes import FakeBuiltSource, FakeService

DATA = bytes(range(256)) * 4096 * 3 + b"tail"
MIB = 1024 * 1024


def url_of(digest: Digest) -> str:
    return f"/v2/env/numpy/blobs/{digest}"


@pytest.fixture
async def url(house: FakeService, anyio_backend: str) -> str:
    return url_of(await house.put_blob(DATA))


@pytest.mark.anyio
async def test_a_blob_is_served_with_everything_caches_need(client: Client, url: str) -> None:
    reply = await client.get(url, accept_encoding="gzip")
    assert reply.status == 200
    assert reply.body == DATA
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["docker-content-digest"] == digest_of(DATA)
    assert reply.headers["etag"] == f'"{digest_of(DATA)}"'
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "content-encoding" not in reply.headers


@pytest.mark.anyio
async def test_head_is_get_without_its_body(client: Client, url: str) -> None:
    get, head = await client.get(url), await client.head(url)
    assert {**head.headers, "x-request-id": ""} == {**get.headers, "x-request-id": ""}
    ranged = await client.head(url, range="bytes=1-2")
    assert ranged.status == 200
    assert ranged.headers["content-length"] == str(len(DATA))


@pytest.mark.anyio
async def test_an_empty_blob_is_served(client: Client, house: FakeService) -> None:
    await house.put_blob(b"")
    assert (await client.get(url_of(EMPTY))).status == 200
    assert_oci_error(await client.get(url_of(EMPTY), range="bytes=0-"), 416, "RANGE_INVALID")
    assert (await client.get(url_of(EMPTY), range="bytes=-5")).status == 200


@pytest.mark.anyio
async def test_a_part_is_served(client: Client, url: str) -> None:
    reply = await client.get(url, range="bytes=1048570-1048585")
    assert reply.status == 206
    assert reply.body == DATA[1048570:1048586]
    assert reply.headers["content-range"] == f"bytes 1048570-1048585/{len(DATA)}"
    assert reply.headers["docker-content-digest"] == digest_of(DATA)


@pytest.mark.anyio
async def test_a_part_outside_is_refused_with_the_size(client: Client, url: str) -> None:
    reply = await client.get(url, range=f"bytes={len(DATA)}-")
    assert_oci_error(reply, 416, "RANGE_INVALID")
    assert reply.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.anyio
async def test_what_is_no_single_part_gives_everything(client: Client, url: str) -> None:
    for text in ("bytes=0-1,5-6", "bytes=x", "lines=1-2"):
        reply = await client.get(url, range=text)
        assert reply.status == 200
        assert reply.body == DATA


@pytest.mark.anyio
async def test_only_the_same_blob_is_resumed(client: Client, url: str) -> None:
    etag = f'"{digest_of(DATA)}"'
    assert (await client.get(url, range="bytes=5-", if_range=etag)).status == 206
    assert (await client.get(url, range="bytes=5-", if_range='"x"')).status == 200


@pytest.mark.anyio
async def test_a_client_that_has_it_is_told_so(client: Client, url: str) -> None:
    reply = await client.get(url, if_none_match=f'"{digest_of(DATA)}"', range="bytes=0-1")
    assert reply.status == 304
    assert reply.body == b""


@pytest.mark.anyio
async def test_an_unknown_blob_is_not_found(client: Client) -> None:
    reply = await client.get(url_of(digest_of(b"nothing")))
    assert_oci_error(reply, 404, "BLOB_UNKNOWN")
    reply = await client.get("/v2/env/numpy/blobs/sha256:abc")
    assert_oci_error(reply, 400, "DIGEST_INVALID")


@pytest.mark.anyio
async def test_a_blob_of_a_repository_that_is_none_is_not_found(
    client: Client, house: FakeService, pulls: FakeBuiltSource
) -> None:
    digest = await house.put_blob(b"layer")
    url = f"/v2/library/alpine/blobs/{digest}"
    assert_oci_error(await client.get(url), 404, "BLOB_UNKNOWN")
    pulls.not_made.add(digest)
    assert_oci_error(await client.get(f"/v2/env/numpy/blobs/{digest}"), 404, "BLOB_UNKNOWN")


@pytest.mark.anyio
async def test_a_blob_deleted_after_it_was_measured_is_not_found(
    client: Client, house: FakeService, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def size(_: Digest) -> int:
        await house.store.delete(blob_key(digest_of(DATA)))
        return len(DATA)

    monkeypatch.setattr(house.blobs, "size", size)
    assert_oci_error(await client.get(url), 404, "BLOB_UNKNOWN")


@pytest.mark.anyio
async def test_a_client_that_leaves_stops_the_reading(client: Client, house: FakeService) -> None:
    before = asyncio.all_tasks()
    digest = await house.put_blob(bytes(64 * MIB))
    gone = asyncio.Event()

    def leave(body: bytes) -> None:
        if body:
            gone.set()

    reply = await client.exchange("GET", url_of(digest), (), gone, leave)
    assert reply.status == 200
    assert len(reply.body) <= 3 * MIB
    assert asyncio.all_tasks() == before


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(min_size=1, max_size=200), cuts=st.lists(st.integers(1, 60), max_size=10))
def test_a_blob_resumed_after_any_cuts_is_whole(
    house: FakeService, data: bytes, cuts: list[int]
) -> None:
    """As docker and containerd resume: ``Range: bytes=N-`` from where the connection broke."""

    async def resume() -> bytes:
        digest = await house.put_blob(data)
        got = b""
        async with open_client(house.app(access_log=False)) as client:
            for cut in cuts:
                if len(got) == len(data):
                    break
                reply = await client.get(url_of(digest), range=f"bytes={len(got)}-")
                assert reply.status == 206
                assert reply.body == data[len(got) :]
                got += reply.body[:cut]
            rest = await client.get(url_of(digest), range=f"bytes={len(got)}-")
            return got + (rest.body if rest.status == 206 else b"")

    assert asyncio.run(resume()) == data
