"""Keys that would leave the prefix, addresses that say more than they may, a bucket that lies."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from builder.errors import StoreUnavailable
from registry.storage.local_copies import LocalCopies
from registry.storage.location import S3Location, parse_location
from registry.storage.s3 import S3Store
from registry.storage.s3_client import S3Access, open_client
from registry.storage.s3_links import S3Links

pytestmark = pytest.mark.anyio

LOCATION = S3Location("bucket", "prefix/")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
LEAVING = [
    *("", ".", "..", "../other", "a/../../other", "a/..", "/a", "//a", "a//b", "a/", "a/./b"),
    *(".tmp/a", "a\x00b", "a\nb", "a\r\nx-amz-acl: public-read", "a b", "a%2f..%2fb"),
    *("..%2fother", "a\\b", "a?b", "a#b", "ä", "a\u202eb", "x" * 256, "/".join(["x" * 200] * 6)),
]


class Client:
    """An S3 that answers listings as it likes, and fails where a key gets as far as a request."""

    def __init__(self, pages: AsyncIterator[dict[str, Any]] | None = None) -> None:
        self._pages = pages

    def get_paginator(self, _: str) -> "Client":
        return self

    def paginate(self, **_: object) -> AsyncIterator[dict[str, Any]]:
        assert self._pages is not None
        return self._pages

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked")


def store_of(client: Any, tmp_path: Path) -> S3Store:
    return S3Store(client, LOCATION, LocalCopies(tmp_path / "copies"))


def entry(name: str) -> dict[str, Any]:
    return {"Key": name, "Size": 1, "LastModified": WHEN}


@pytest.mark.parametrize("key", LEAVING, ids=repr)
async def test_no_key_leaves_the_prefix(key: str, tmp_path: Path, anyio_backend: str) -> None:
    store = store_of(Client(), tmp_path)
    made = tmp_path / "made"
    made.write_bytes(b"x")
    for call in (
        store.size(key),
        store.read(key),
        store.write(key, b""),
        store.adopt(key, made),
        store.local_path(key, tmp_path),
        store.delete(key),
    ):
        with pytest.raises(ValueError, match="safe key"):
            await call
    async with open_client(S3Access("http://127.0.0.1:9", "r", "k", "s")) as client:
        with pytest.raises(ValueError, match="safe key"):
            await S3Links(client, LOCATION, lifetime_seconds=60).link(key)


@pytest.mark.parametrize(
    "text",
    ["s3://b/../c", "s3://bucket/a//b", "s3://bucket/a/../b", "s3://bucket/a\nb", "s3:///a",
     "s3://bucket/a?x", "s3://bucket/%2e%2e", "s3://bucket/.hidden", "s3://user:pw@bucket/a"],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="place"):
        parse_location(text)


@pytest.mark.parametrize("text", ["s3://bucket/prefix", "s3://bucket/prefix/"])
def test_a_prefix_ends_with_a_slash_so_that_prefix2_is_of_others(text: str) -> None:
    assert parse_location(text) == LOCATION


async def test_a_listing_gives_what_is_below_the_prefix_and_has_an_end(
    tmp_path: Path, anyio_backend: str
) -> None:
    async def pages() -> AsyncIterator[dict[str, Any]]:
        yield {"Contents": [entry("prefix/a"), entry("prefix2/a"), entry("other")]}
        yield {"Contents": [entry("prefix/a"), entry("prefix/../x"), entry("prefix//etc/passwd")]}
        yield {"Contents": [entry("prefix/b")]}
        while True:
            yield {"Contents": [entry("prefix/b")], "NextContinuationToken": "again"}

    found: set[str] = set()

    async def read_all() -> None:
        async for one in store_of(Client(pages()), tmp_path).entries(""):
            found.add(one.key)

    with pytest.raises(StoreUnavailable, match="no end"):
        await asyncio.wait_for(read_all(), 10)
    assert found == {"a", "b"}


async def test_an_address_is_for_one_object_to_read_for_its_time(anyio_backend: str) -> None:
    async with open_client(S3Access("http://127.0.0.1:9", "r", "key", "secret")) as client:
        links = S3Links(client, LOCATION, lifetime_seconds=600)
        parts = urlsplit(await links.link("blobs/sha256/aa/bb", "lock.yml"))
    said = parse_qs(parts.query)
    assert parts.path.endswith("/prefix/blobs/sha256/aa/bb")
    assert said["X-Amz-Expires"] == ["600"]
    assert said["X-Amz-SignedHeaders"] == ["host"]
    assert said["response-content-disposition"] == ['attachment; filename="lock.yml"']
    assert "secret" not in parts.query
    assert not {"uploadId", "partNumber", "acl"} & set(said)


@pytest.mark.parametrize(
    "name", ['a"; filename="b', "a\r\nset-cookie: x=1", "a\nb", "", "../a", "a;b", "ä", "x" * 300]
)
async def test_the_name_of_a_file_cannot_add_to_a_header(name: str, anyio_backend: str) -> None:
    async with open_client(S3Access("http://127.0.0.1:9", "r", "key", "secret")) as client:
        with pytest.raises(ValueError, match="safe name"):
            await S3Links(client, LOCATION, lifetime_seconds=600).link("blobs/a", name)
