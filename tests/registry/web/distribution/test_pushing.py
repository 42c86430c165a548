import asyncio
import json
from typing import Any

import pytest

from builder.errors import StoreUnavailable
from builder.keys import blob_key
from builder.oci.digest import digest_of, parse_digest
from builder.oci.models import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from registry.content.manifests import MAX_MANIFEST_BYTES
from registry.content.repositories import Repositories
from registry.storage.layout import pushed_key
from tests.registry.asgi import Client, assert_oci_error, open_client
from tests.registry.fakes import FakeService
from tests.registry.pushing import (
    descriptor,
    index_of,
    manifest_of,
    push_blob,
    push_image,
    push_referrer,
    put_manifest,
)

pytestmark = pytest.mark.anyio

APP = "/v2/team/app"
EMPTY_JSON = b"{}"
MANIFEST = manifest_of(EMPTY_JSON)
DIGEST = digest_of(MANIFEST)


@pytest.fixture
async def _config(client: Client) -> None:
    await push_blob(client, "team/app", EMPTY_JSON)


with_config = pytest.mark.usefixtures("_config")


@with_config
@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
async def test_a_manifest_is_kept_byte_for_byte(client: Client, media_type: str) -> None:
    document = {"custom": "ä", **json.loads(MANIFEST), "mediaType": media_type}
    data = json.dumps(document, indent=7).encode() + b"\n"
    reply = await put_manifest(client, "team/app", "v1", data)
    assert reply.status == 201
    assert reply.headers["location"] == f"{APP}/manifests/{digest_of(data)}"
    assert reply.headers["docker-content-digest"] == digest_of(data)
    for reference in ("v1", digest_of(data)):
        found = await client.get(f"{APP}/manifests/{reference}")
        assert (found.status, found.body) == (200, data)
        assert found.headers["content-type"] == media_type
        assert found.headers["docker-content-digest"] == digest_of(data)
        head = await client.head(f"{APP}/manifests/{reference}")
        assert (head.status, head.headers["content-length"]) == (200, str(len(data)))
        etag = found.headers["etag"]
        again = await client.get(f"{APP}/manifests/{reference}", if_none_match=etag)
        assert again.status == 304


@with_config
async def test_a_manifest_that_does_not_say_what_it_is_is_what_it_was_sent_as(
    client: Client,
) -> None:
    data = json.dumps({**json.loads(MANIFEST), "mediaType": None}).encode()
    for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        headers = {"content_type": f"{media_type}; charset=utf-8"}
        assert (await client.put(f"{APP}/manifests/v1", data, **headers)).status == 201
        found = await client.get(f"{APP}/manifests/v1")
        assert (found.body, found.headers["content-type"]) == (data, media_type)


@with_config
@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
async def test_an_index_is_pushed_after_its_manifests(client: Client, media_type: str) -> None:
    index = json.dumps({**json.loads(index_of(MANIFEST)), "mediaType": media_type}).encode()
    reply = await put_manifest(client, "team/app", "v1", index)
    assert DIGEST in assert_oci_error(reply, 404, "MANIFEST_BLOB_UNKNOWN")
    assert_oci_error(await client.get(f"{APP}/manifests/v1"), 404, "NAME_UNKNOWN")
    await put_manifest(client, "team/app", DIGEST, MANIFEST)
    assert (await put_manifest(client, "team/app", "v1", index)).status == 201
    assert (await client.get(f"{APP}/manifests/v1")).body == index


async def test_a_manifest_is_pushed_after_its_blobs(client: Client, house: FakeService) -> None:
    reply = await put_manifest(client, "team/app", "v1", MANIFEST)
    assert digest_of(EMPTY_JSON) in assert_oci_error(reply, 404, "MANIFEST_BLOB_UNKNOWN")
    await push_blob(client, "team/else", EMPTY_JSON)
    reply = await put_manifest(client, "team/app", "v1", MANIFEST)
    assert_oci_error(reply, 404, "MANIFEST_BLOB_UNKNOWN")
    assert [entry.key async for entry in house.store.entries("repositories/")] == []


async def test_sparse_manifests_are_taken_where_the_administrator_wants_it(
    client: Client, house: FakeService
) -> None:
    house.repositories = Repositories(house.store, house.manifests, sparse=True)
    async with open_client(house.app()) as sparse:
        assert (await put_manifest(sparse, "team/app", "v1", MANIFEST)).status == 201
        assert (await put_manifest(sparse, "team/app", "v2", index_of(b"x"))).status == 201
        assert (await sparse.get(f"{APP}/manifests/v1")).body == MANIFEST


async def test_layers_that_others_distribute_need_not_be_pushed(client: Client) -> None:
    await push_blob(client, "team/app", EMPTY_JSON)
    foreign = {**descriptor(b"foreign", "x"), "urls": ["https://example.org/layer"]}
    data = manifest_of(EMPTY_JSON, layers=[foreign])
    assert (await put_manifest(client, "team/app", "v1", data)).status == 201


@with_config
async def test_a_digest_that_is_not_the_manifests_is_refused(client: Client) -> None:
    reply = await put_manifest(client, "team/app", digest_of(b"x"), MANIFEST)
    assert DIGEST in assert_oci_error(reply, 400, "DIGEST_INVALID")
    reply = await put_manifest(client, "team/app", "sha256:baddigeststring", MANIFEST)
    assert_oci_error(reply, 400, "DIGEST_INVALID")


@with_config
async def test_a_manifest_by_sha512_is_found_by_that(client: Client) -> None:
    digest = digest_of(MANIFEST, "sha512")
    reply = await put_manifest(client, "team/app", digest, MANIFEST, "?tag=v1&tag=v2")
    assert reply.status == 201
    assert reply.headers["oci-tag"] == "v1, v2"
    for reference in (digest, "v1", "v2"):
        found = await client.get(f"{APP}/manifests/{reference}")
        assert (found.body, found.headers["docker-content-digest"]) == (MANIFEST, digest)
    assert_oci_error(await client.get(f"{APP}/manifests/{DIGEST}"), 404, "MANIFEST_UNKNOWN")


@with_config
async def test_a_tag_that_cannot_be_is_refused(client: Client) -> None:
    for reference, query in (("-x", ""), (DIGEST, "?tag=a%2Bb"), (DIGEST, "?" + "tag=a&" * 101)):
        reply = await put_manifest(client, "team/app", reference, MANIFEST, query)
        assert_oci_error(reply, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("size", [MAX_MANIFEST_BYTES, MAX_MANIFEST_BYTES + 1])
@with_config
async def test_a_manifest_has_at_most_four_mebibytes(client: Client, size: int) -> None:
    padding = size - len(manifest_of(EMPTY_JSON, annotations={"x": ""}))
    data = manifest_of(EMPTY_JSON, annotations={"x": "x" * padding})
    reply = await put_manifest(client, "team/app", "v1", data)
    if size == MAX_MANIFEST_BYTES:
        assert reply.status == 201
        assert (await client.get(f"{APP}/manifests/v1")).body == data
    else:
        assert_oci_error(reply, 413, "SIZE_INVALID")


@with_config
async def test_a_deleted_tag_leaves_the_manifest(client: Client) -> None:
    await put_manifest(client, "team/app", "v1", MANIFEST)
    await put_manifest(client, "team/app", "v2", MANIFEST)
    assert (await client.delete(f"{APP}/manifests/v1")).status == 202
    assert_oci_error(await client.get(f"{APP}/manifests/v1"), 404, "MANIFEST_UNKNOWN")
    assert_oci_error(await client.delete(f"{APP}/manifests/v1"), 404, "MANIFEST_UNKNOWN")
    assert (await client.get(f"{APP}/manifests/v2")).body == MANIFEST
    assert (await client.get(f"{APP}/manifests/{DIGEST}")).body == MANIFEST
    assert (await client.get(f"{APP}/tags/list")).json()["tags"] == ["v2"]


@with_config
async def test_a_deleted_manifest_takes_its_tags_along_and_no_others(client: Client) -> None:
    other = manifest_of(EMPTY_JSON, annotations={"a": "b"})
    for tag in ("v1", "v2", "moved"):
        await put_manifest(client, "team/app", tag, MANIFEST)
    await put_manifest(client, "team/app", "moved", other)
    assert (await client.delete(f"{APP}/manifests/{DIGEST}")).status == 202
    for reference in ("v1", "v2", DIGEST):
        reply = await client.get(f"{APP}/manifests/{reference}")
        assert_oci_error(reply, 404, "MANIFEST_UNKNOWN")
    assert_oci_error(await client.delete(f"{APP}/manifests/{DIGEST}"), 404, "MANIFEST_UNKNOWN")
    assert (await client.get(f"{APP}/tags/list")).json()["tags"] == ["moved"]
    assert (await client.get(f"{APP}/manifests/moved")).body == other


async def test_a_manifest_without_its_bytes_can_be_deleted(
    client: Client, house: FakeService
) -> None:
    digest = parse_digest(await push_image(client, "team/app", "v1", "x"))
    await house.store.delete(blob_key(digest))
    house.manifests.forget(digest)
    assert_oci_error(await client.get(f"{APP}/manifests/v1"), 404, "MANIFEST_UNKNOWN")
    assert (await client.delete(f"{APP}/manifests/{digest}")).status == 202
    assert (await client.get(f"{APP}/tags/list")).json()["tags"] == []


@with_config
async def test_referrers_are_listed_and_filtered(client: Client) -> None:
    await put_manifest(client, "team/app", "v1", MANIFEST)
    found = {
        await push_referrer(client, "team/app", MANIFEST, text, kind): (text, kind)
        for text, kind in (("1", "a/sbom"), ("2", "a/sbom"), ("3", "a/signature"))
    }
    reply = await client.get(f"{APP}/referrers/{DIGEST}")
    assert (reply.status, reply.headers["content-type"]) == (200, OCI_INDEX)
    listed = reply.json()["manifests"]
    assert {
        one["digest"]: (one["annotations"]["text"], one["artifactType"]) for one in listed
    } == found
    assert all(one["mediaType"] == OCI_MANIFEST and one["size"] for one in listed)
    reply = await client.get(f"{APP}/referrers/{DIGEST}?artifactType=a/signature")
    assert reply.headers["oci-filters-applied"] == "artifactType"
    assert [found[one["digest"]][0] for one in reply.json()["manifests"]] == ["3"]
    gone = next(iter(found))
    assert (await client.delete(f"{APP}/manifests/{gone}")).status == 202
    listed = (await client.get(f"{APP}/referrers/{DIGEST}")).json()["manifests"]
    assert {one["digest"] for one in listed} == set(found) - {gone}
    assert (await client.get(f"/v2/team/else/referrers/{DIGEST}")).json()["manifests"] == []


async def test_a_referrer_without_a_type_has_that_of_its_config_and_an_index_none(
    client: Client,
) -> None:
    await push_blob(client, "team/app", EMPTY_JSON)
    subject = descriptor(b"not there", OCI_MANIFEST)
    for data in (manifest_of(EMPTY_JSON, subject=subject), index_of(subject=subject)):
        reply = await put_manifest(client, "team/app", digest_of(data), data)
        assert reply.headers["oci-subject"] == subject["digest"]
    listed = (await client.get(f"{APP}/referrers/{subject['digest']}")).json()["manifests"]
    kinds = {one["mediaType"]: one.get("artifactType") for one in listed}
    assert kinds == {OCI_MANIFEST: "application/vnd.oci.image.config.v1+json", OCI_INDEX: None}


async def test_all_referrers_are_got_page_by_page(client: Client) -> None:
    url, found = f"{APP}/referrers/{DIGEST}", set[str]()
    pushed = {
        await push_referrer(client, "team/app", MANIFEST, f"{n} {'x' * 150_000}", f"a/{n % 2}")
        for n in range(120)
    }
    pages = 0
    while url:
        reply = await client.get(url)
        page = {one["digest"] for one in reply.json()["manifests"]}
        assert page
        assert not page & found
        found |= page
        url = reply.headers.get("link", "").partition(";")[0].strip("<>")
        pages += 1
    assert found == pushed
    assert pages > 1


async def test_tags_are_listed_in_order_and_in_pages(client: Client) -> None:
    tags = ["A", "_", "a", "a-b", "a.b", "a.json", "b", "latest"]
    for tag in reversed(tags):
        await push_image(client, "team/app", tag, "x")
    assert (await client.get(f"{APP}/tags/list")).json() == {"name": "team/app", "tags": tags}
    url, found = f"{APP}/tags/list?n=3", []
    while url:
        reply = await client.get(url)
        found += reply.json()["tags"]
        url = reply.headers.get("link", "").partition(";")[0].strip("<>")
    assert found == tags
    reply = await client.get(f"{APP}/tags/list?n=0")
    assert (reply.json()["tags"], "link" in reply.headers) == ([], False)
    for last, first in (("a", "a-b"), ("a.c", "a.json"), ("a%00", "a-b"), ("%C3%A4", "A")):
        assert (await client.get(f"{APP}/tags/list?n=1&last={last}")).json()["tags"] == [first]
    assert_oci_error(await client.get("/v2/team/else/tags/list"), 404, "NAME_UNKNOWN")


async def test_repositories_are_listed_in_pages(client: Client) -> None:
    names = ["a/b", "a/b/c", "a-b", "b"]
    for name in names:
        await push_image(client, name, "v1", "x")
    assert (await client.get("/v2/_catalog")).json() == {"repositories": names}
    url, found = "/v2/_catalog?n=2", []
    while url:
        reply = await client.get(url)
        found += reply.json()["repositories"]
        url = reply.headers.get("link", "").partition(";")[0].strip("<>")
    assert found == names


async def test_of_many_pushes_of_one_tag_one_is_left_whole(
    client: Client, house: FakeService
) -> None:
    async with open_client(house.app()) as other:

        async def push(number: int) -> str:
            return await push_image((client, other)[number % 2], "team/app", "v1", str(number))

        digests = await asyncio.gather(*(push(number) for number in range(20)))
    reply = await client.get(f"{APP}/manifests/v1")
    assert reply.headers["docker-content-digest"] in digests
    for digest in digests:
        found = await client.get(f"{APP}/manifests/{digest}")
        assert digest_of(found.body) == digest
        for part in [found.json()["config"], *found.json()["layers"]]:
            blob = await client.get(f"{APP}/blobs/{part['digest']}")
            assert digest_of(blob.body) == part["digest"]


async def test_a_tag_is_not_lost_while_the_manifest_it_had_is_deleted(client: Client) -> None:
    first = await push_image(client, "team/app", "v1", "first")
    for number in range(20):
        second = asyncio.create_task(push_image(client, "team/app", "v1", str(number)))
        deleted = asyncio.create_task(client.delete(f"{APP}/manifests/{first}"))
        assert (await deleted).status == 202
        first = await second
        reply = await client.get(f"{APP}/manifests/v1")
        assert reply.headers["docker-content-digest"] == first


async def test_a_blob_taken_out_while_its_manifest_is_pushed_refuses_the_push(
    client: Client, house: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push_blob(client, "team/app", EMPTY_JSON)
    put = house.manifests.put

    async def put_late(*args: Any) -> object:
        await house.store.delete(pushed_key(digest_of(EMPTY_JSON), "team/app"))
        return await put(*args)

    monkeypatch.setattr(house.manifests, "put", put_late)
    reply = await put_manifest(client, "team/app", "v1", MANIFEST)
    assert_oci_error(reply, 404, "MANIFEST_BLOB_UNKNOWN")
    assert_oci_error(await client.get(f"{APP}/manifests/{DIGEST}"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("method", ["read", "size"])
async def test_a_store_that_is_down_is_no_answer_that_a_thing_is_missing(
    client: Client, house: FakeService, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    await push_image(client, "team/app", "v1", "x")

    async def down(*_: object) -> None:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(house.store, method, down)
    path = "manifests/v1" if method == "read" else f"blobs/{digest_of(b'layer of x')}"
    assert_oci_error(await client.get(f"{APP}/{path}"), 503, "UNAVAILABLE")
