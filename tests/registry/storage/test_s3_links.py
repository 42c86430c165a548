from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from builder.errors import StoreUnavailable
from builder.keys import blob_key
from builder.oci.digest import digest_of
from conformance.s3 import S3Server
from registry.content.blobs import Blobs
from registry.storage.s3 import S3Store
from registry.storage.s3_client import S3Access, open_client
from registry.storage.s3_links import S3Links
from tests.registry.asgi import assert_oci_error
from tests.registry.asgi import open_client as open_app
from tests.registry.fakes import FakeService
from tests.registry.storage.s3_stores import access_to, new_location, open_store

pytestmark = pytest.mark.anyio

DATA = b"0123456789" * 1000
LOCATION = new_location()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def objects(
    s3_server: S3Server, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[S3Store]:
    async with open_store(s3_server, tmp_path, LOCATION) as objects:
        await objects.write(blob_key(digest_of(DATA)), DATA)
        yield objects


@pytest.fixture
async def links(s3_server: S3Server, anyio_backend: str) -> AsyncIterator[S3Links]:
    async with open_client(access_to(s3_server.url)) as client:
        yield S3Links(client, LOCATION, lifetime_seconds=600)


async def test_clients_get_a_blob_and_its_parts_where_they_are_sent(
    house: FakeService, objects: S3Store, links: S3Links
) -> None:
    """As engines do: the same headers again, without credentials."""
    house.blobs = Blobs(objects, links)
    url = f"/v2/env/numpy/blobs/{digest_of(DATA)}"
    async with open_app(house.app()) as client, httpx.AsyncClient() as http:
        for headers, status, body in [
            ({}, 200, DATA),
            ({"range": "bytes=10-"}, 206, DATA[10:]),
            ({"range": "bytes=3-5"}, 206, DATA[3:6]),
            ({"range": f"bytes={len(DATA)}-"}, 416, None),
        ]:
            reply = await client.get(url, **headers)
            assert reply.status == 307
            assert reply.headers["docker-content-digest"] == digest_of(DATA)
            assert reply.headers["cache-control"] == "no-store"
            assert "content-range" not in reply.headers
            answer = await http.get(reply.headers["location"], headers=headers)
            assert answer.status_code == status
            assert body is None or answer.content == body


async def test_a_small_blob_is_answered_here(house: FakeService, links: S3Links) -> None:
    house.blobs = Blobs(house.store, links)
    digest = await house.put_blob(b"x" * 4096)
    async with open_app(house.app()) as client:
        reply = await client.get(f"/v2/env/numpy/blobs/{digest}")
        assert (reply.status, reply.body) == (200, b"x" * 4096)


async def test_head_and_conditions_are_answered_here(
    house: FakeService, objects: S3Store, links: S3Links
) -> None:
    house.blobs = Blobs(objects, links)
    url = f"/v2/env/numpy/blobs/{digest_of(DATA)}"
    async with open_app(house.app()) as client:
        head = await client.head(url)
        assert head.status == 200
        assert head.headers["content-length"] == str(len(DATA))
        assert (await client.get(url, if_none_match=f'"{digest_of(DATA)}"')).status == 304


async def test_nobody_is_sent_to_what_is_not_there(
    house: FakeService, objects: S3Store, links: S3Links
) -> None:
    house.blobs = Blobs(objects, links)
    async with open_app(house.app()) as client:
        reply = await client.get(f"/v2/env/numpy/blobs/{digest_of(b'nothing')}")
        assert_oci_error(reply, 404, "BLOB_UNKNOWN")


async def test_without_links_the_bytes_come_through_the_server(
    house: FakeService, objects: S3Store
) -> None:
    house.blobs = Blobs(objects)
    url = f"/v2/env/numpy/blobs/{digest_of(DATA)}"
    async with open_app(house.app()) as client:
        assert (await client.get(url)).body == DATA
        reply = await client.get(url, range="bytes=5-14")
        assert (reply.status, reply.body) == (206, DATA[5:15])


async def test_a_blob_that_cannot_be_read_now_is_worth_asking_for_again(
    house: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: str) -> int:
        raise StoreUnavailable("the store does not answer; try again in a moment")

    monkeypatch.setattr(house.store, "size", fail)
    async with open_app(house.app()) as client:
        reply = await client.get(f"/v2/env/numpy/blobs/{digest_of(DATA)}")
        message = assert_oci_error(reply, 503, "UNAVAILABLE")
        assert message == "the store does not answer; try again in a moment"
        assert reply.headers["retry-after"] == "10"


async def test_an_address_has_the_public_host(s3_server: S3Server) -> None:
    async with open_client(access_to("https://cdn.example:8443")) as client:
        link = await S3Links(client, LOCATION, lifetime_seconds=600).link("a/b")
    start = f"https://cdn.example:8443/{LOCATION.bucket}/{LOCATION.prefix}a/b?"
    assert link.startswith(start)
    assert "X-Amz-Expires=600" in link


async def test_everyone_is_given_the_same_address_for_half_its_life(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with open_client(access_to(s3_server.url)) as client:
        signed: list[str] = []

        async def sign(*_: object, **__: object) -> str:
            signed.append(f"address {len(signed)}")
            return signed[-1]

        # The signature changes with each second.
        monkeypatch.setattr(client, "generate_presigned_url", sign)
        links = S3Links(client, LOCATION, lifetime_seconds=600, now=clock)
        assert await links.link("a") == await links.link("a") == "address 0"
        clock.now = 299
        assert await links.link("a") == "address 0"
        clock.now = 300
        assert await links.link("a") == "address 1"


async def test_without_credentials_there_is_no_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with open_client(S3Access("http://127.0.0.1:9", "us-east-1")) as client:
        with pytest.raises(StoreUnavailable, match="credentials"):
            await S3Links(client, LOCATION, lifetime_seconds=600).link("a")


async def test_a_file_is_saved_under_its_name(objects: S3Store, links: S3Links) -> None:
    key = blob_key(digest_of(DATA))
    async with httpx.AsyncClient() as http:
        for name in ("a.tar.gz", "b.tar.gz"):
            answer = await http.get(await links.link(key, name))
            assert answer.content == DATA
            assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert "content-disposition" not in (await http.get(await links.link(key))).headers
