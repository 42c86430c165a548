import asyncio
import os
import re

import pytest

from builder.errors import StoreUnavailable
from builder.keys import blob_key
from builder.oci.digest import Algorithm, digest_of
from registry.content.names import parse_repository
from registry.content.uploads import MAX_PARTS
from tests.registry.asgi import Client, Reply, assert_oci_error, open_client
from tests.registry.fakes import MAX_BLOB_BYTES, FakeBuiltSource, FakeService
from tests.registry.pushing import manifest_of, push_blob, put_manifest

pytestmark = pytest.mark.anyio

UPLOADS = "/v2/team/app/blobs/uploads/"
DATA = os.urandom(3_000_000)
DIGEST = digest_of(DATA)


async def begin(client: Client, url: str = UPLOADS) -> str:
    reply = await client.post(url)
    assert reply.status == 202, reply
    assert reply.headers["range"] == "0-0"
    assert re.fullmatch(r"/v2/team/app/blobs/uploads/[0-9a-f]{32}", reply.headers["location"])
    return reply.headers["location"]


async def assert_pushed(client: Client, reply: Reply, data: bytes, digest: str) -> None:
    assert reply.status == 201, reply
    assert reply.headers["docker-content-digest"] == digest
    assert reply.headers["location"] == f"/v2/team/app/blobs/{digest}"
    found = await client.get(reply.headers["location"])
    assert (found.status, found.body) == (200, data)


async def assert_nothing_left(house: FakeService) -> None:
    assert [entry async for entry in house.store.entries("uploads/")] == []
    assert list(house.scratch.iterdir()) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", [DATA, b""], ids=["blob", "empty"])
async def test_a_blob_comes_at_once(
    client: Client, house: FakeService, data: bytes, algorithm: Algorithm
) -> None:
    digest = digest_of(data, algorithm)
    reply = await client.post(f"{UPLOADS}?digest={digest}", data)
    await assert_pushed(client, reply, data, digest)
    await assert_nothing_left(house)


async def test_a_blob_comes_with_the_end_of_its_upload(client: Client, house: FakeService) -> None:
    url = await begin(client, f"{UPLOADS}?digest-algorithm=sha512")
    digest = digest_of(DATA, "sha512")
    await assert_pushed(client, await client.put(f"{url}?digest={digest}", DATA), DATA, digest)
    await assert_nothing_left(house)
    assert_oci_error(await client.get(url), 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("is_last_with_end", [True, False])
async def test_a_blob_comes_in_chunks_to_several_servers(
    client: Client, house: FakeService, *, is_last_with_end: bool
) -> None:
    url, step = await begin(client), 1_000_000
    async with open_client(house.app()) as other:
        for number, start in enumerate(range(0, len(DATA), step)):
            server = (client, other)[number % 2]
            chunk = DATA[start : start + step]
            headers = {"content_range": f"{start}-{start + step - 1}"}
            if is_last_with_end and start + step == len(DATA):
                reply = await server.put(f"{url}?digest={DIGEST}", chunk, **headers)
                break
            reply = await server.patch(url, chunk, **headers)
            assert (reply.status, reply.headers["range"]) == (202, f"0-{start + step - 1}")
            status = await client.get(url)
            assert (status.status, status.headers["range"]) == (204, f"0-{start + step - 1}")
        else:
            reply = await other.put(f"{url}?digest={DIGEST}")
    await assert_pushed(client, reply, DATA, DIGEST)
    await assert_nothing_left(house)


async def test_a_stream_has_no_range(client: Client) -> None:
    url = await begin(client)
    assert (await client.patch(url, DATA)).headers["range"] == f"0-{len(DATA) - 1}"
    await assert_pushed(client, await client.put(f"{url}?digest={DIGEST}"), DATA, DIGEST)


@pytest.mark.parametrize("start", [0, 5, 11])
async def test_a_chunk_out_of_order_is_told_where_to_go_on(client: Client, start: int) -> None:
    url = await begin(client)
    await client.patch(url, b"0123456789", content_range="0-9")
    for method in ("PATCH", "PUT"):
        headers = [("content-range", f"{start}-{start + 1}")]
        reply = await client.request(method, f"{url}?digest={DIGEST}", headers, b"xx")
        assert "byte 10" in assert_oci_error(reply, 416, "BLOB_UPLOAD_INVALID")
        assert reply.headers["range"] == "0-9"
    assert (await client.get(url)).headers["range"] == "0-9"


@pytest.mark.parametrize(
    "headers",
    [
        {"content_range": "0-8"},
        {"content_range": "0-8", "content_length": "10"},
        {"content_range": "x"},
        {"content_range": "9-0"},
        {"content_length": "11"},
    ],
)
async def test_a_chunk_that_is_not_as_its_headers_say_changes_nothing(
    client: Client, house: FakeService, headers: dict[str, str]
) -> None:
    url = await begin(client)
    reply = await client.patch(url, b"0123456789", **headers)
    assert_oci_error(reply, 400, "BLOB_UPLOAD_INVALID")
    assert (await client.get(url)).headers["range"] == "0-0"
    assert list(house.scratch.iterdir()) == []


@pytest.mark.parametrize("way", ["post", "put", "patch"])
async def test_other_bytes_than_the_digests_are_refused_and_nothing_is_left(
    client: Client, house: FakeService, way: str
) -> None:
    if way == "post":
        reply = await client.post(f"{UPLOADS}?digest={DIGEST}", b"other")
    else:
        url = await begin(client)
        if way == "patch":
            await client.patch(url, b"other")
        reply = await client.put(f"{url}?digest={DIGEST}", b"other" if way == "put" else b"")
    message = assert_oci_error(reply, 400, "DIGEST_INVALID")
    assert digest_of(b"other") in message
    assert_oci_error(await client.get(f"/v2/team/app/blobs/{DIGEST}"), 404, "BLOB_UNKNOWN")
    assert await house.store.size(blob_key(DIGEST)) is None
    await assert_nothing_left(house)


async def test_an_upload_can_be_cancelled(client: Client, house: FakeService) -> None:
    url = await begin(client)
    await client.patch(url, DATA)
    assert (await client.delete(url)).status == 204
    assert_oci_error(await client.delete(url), 404, "BLOB_UPLOAD_UNKNOWN")
    await assert_nothing_left(house)


async def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    url = (await begin(client)).replace("team/app", "team/other")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        reply = await client.request(method, f"{url}?digest={DIGEST}", (), b"x")
        assert_oci_error(reply, 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("upload", ["1", "..", "%2e%2e%2fx", "A" * 32, "a" * 31])
async def test_an_upload_that_never_was_is_unknown(client: Client, upload: str) -> None:
    assert (await client.patch(f"{UPLOADS}{upload}", b"x")).status == 404


async def test_digests_of_an_unknown_algorithm_are_refused(client: Client) -> None:
    for query in ("digest=md5:0", "digest=", "digest-algorithm=md5", "mount=x"):
        assert_oci_error(await client.post(f"{UPLOADS}?{query}"), 400, "DIGEST_INVALID")
    assert_oci_error(await client.put(await begin(client), DATA), 400, "DIGEST_INVALID")


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_blob_that_is_too_large_is_refused(
    client: Client, house: FakeService, *, is_announced: bool
) -> None:
    data = b"x" * (MAX_BLOB_BYTES + 1)
    headers = {"content_length": str(len(data))} if is_announced else {}
    reply = await client.post(f"{UPLOADS}?digest={digest_of(data)}", data, **headers)
    assert str(MAX_BLOB_BYTES) in assert_oci_error(reply, 413, "SIZE_INVALID")
    url = await begin(client)
    await client.patch(url, data[:-1])
    assert_oci_error(await client.patch(url, b"xx", **headers), 413, "SIZE_INVALID")
    assert list(house.scratch.iterdir()) == []


async def test_chunks_of_nothing_do_not_add_up(client: Client, house: FakeService) -> None:
    url = await begin(client)
    for _ in range(3):
        assert (await client.patch(url, b"")).headers["range"] == "0-0"
    upload = url.rpartition("/")[2]
    for number in range(MAX_PARTS):
        (house.root / f"uploads/{upload}/parts").mkdir(exist_ok=True)
        (house.root / f"uploads/{upload}/parts/{number:020}").write_bytes(b"x")
    assert_oci_error(await client.patch(url, b"x"), 400, "BLOB_UPLOAD_INVALID")


async def test_a_client_that_leaves_changes_nothing(client: Client, house: FakeService) -> None:
    url, gone = await begin(client), asyncio.Event()
    gone.set()
    reply = await client.exchange("PATCH", url, (), gone, body=[b"half of it"])
    assert reply.status == 0
    assert (await client.get(url)).headers["range"] == "0-0"
    assert list(house.scratch.iterdir()) == []


async def test_a_store_that_is_full_is_told_to_try_again(
    client: Client, house: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def adopt(*_: object) -> None:
        raise StoreUnavailable("the store is full")

    url = await begin(client)
    monkeypatch.setattr(house.store, "adopt", adopt)
    for reply in (
        await client.patch(url, DATA),
        await client.post(f"{UPLOADS}?digest={DIGEST}", DATA),
    ):
        assert assert_oci_error(reply, 503, "UNAVAILABLE") == "the store is full"
        assert reply.headers["retry-after"] == "10"
    assert list(house.scratch.iterdir()) == []


async def test_a_blob_is_mounted_from_another_repository(client: Client) -> None:
    await push_blob(client, "team/base", DATA)
    for query in (f"mount={DIGEST}&from=team/base", f"mount={DIGEST}"):
        reply = await client.post(f"{UPLOADS}?{query}")
        await assert_pushed(client, reply, DATA, DIGEST)
        assert (await client.delete(f"/v2/team/app/blobs/{DIGEST}")).status == 202


async def test_what_the_other_repository_does_not_have_is_uploaded(
    client: Client, pulls: FakeBuiltSource, house: FakeService
) -> None:
    await push_blob(client, "team/base", DATA)
    pulls.not_made |= {DIGEST, digest_of(b"never")}
    for query in (
        f"mount={DIGEST}&from=team/else",
        f"mount={DIGEST}&from=env/numpy",
        f"mount={DIGEST}&from=Not/A/Name",
        f"mount={digest_of(b'never')}",
    ):
        assert (await client.post(f"{UPLOADS}?{query}")).status == 202
    await house.store.delete(blob_key(DIGEST))
    assert (await client.post(f"{UPLOADS}?mount={DIGEST}&from=team/base")).status == 202
    assert not await house.pushed_blobs.has(parse_repository("team/app"), DIGEST)


async def test_a_blob_of_an_image_made_here_is_mounted_from_its_name(
    client: Client, house: FakeService
) -> None:
    await house.put_blob(DATA)
    reply = await client.post(f"{UPLOADS}?mount={DIGEST}&from=env/numpy")
    await assert_pushed(client, reply, DATA, DIGEST)


async def test_a_blob_of_an_image_made_here_is_not_mounted_by_its_digest_alone(
    client: Client, house: FakeService
) -> None:
    """Whoever may not pull `env/…` would get it: no name says by which right."""
    await house.put_blob(DATA)
    assert (await client.post(f"{UPLOADS}?mount={DIGEST}")).status == 202
    assert not await house.pushed_blobs.has(parse_repository("team/app"), DIGEST)


async def test_a_blob_is_deleted_unless_a_manifest_has_it(client: Client) -> None:
    await push_blob(client, "team/app", b"{}")
    manifest = manifest_of(b"{}")
    reply = await put_manifest(client, "team/app", "latest", manifest)
    url = f"/v2/team/app/blobs/{digest_of(b'{}')}"
    assert "delete that first" in assert_oci_error(await client.delete(url), 409, "DENIED")
    await client.delete(reply.headers["location"])
    assert (await client.delete(url)).status == 202
    assert_oci_error(await client.get(url), 404, "BLOB_UNKNOWN")
    assert_oci_error(await client.delete(url), 404, "BLOB_UNKNOWN")


async def test_a_blob_of_one_repository_is_not_read_through_another(
    client: Client, pulls: FakeBuiltSource
) -> None:
    await push_blob(client, "team/secret", DATA)
    pulls.not_made.add(DIGEST)
    for name in ("team/app", "env/numpy"):
        reply = await client.get(f"/v2/{name}/blobs/{DIGEST}")
        assert_oci_error(reply, 404, "BLOB_UNKNOWN")
