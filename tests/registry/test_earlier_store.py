"""A store that the version before wrote goes on working: what it answered is answered again.

``earlier/store.tar.zst`` is such a store, of a service on the tiny channel
(``tests/tiny_channel.py``): names that were pulled in both flavours, a locked and pinned build with
its forms and artifacts, pushed images with tags, a signature, an upload that is half way.
``earlier/answers.json`` is what was answered. The channel and the base are gone since.
"""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from builder.keys import blob_key
from builder.oci.digest import digest_of
from tests.registry.asgi import Client
from tests.registry.web.api.site import ADA, BUILDS, Site

pytestmark = pytest.mark.anyio

EARLIER = Path(__file__).parent / "earlier"
NOTES = json.loads((EARLIER / "answers.json").read_bytes())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    data = zstandard.ZstdDecompressor().decompress((EARLIER / "store.tar.zst").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        # Python 3.11.2 has no filters, and 3.12 warns where none is chosen.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        archive.extractall(tmp_path)
    return Site(tmp_path)


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with site.open(repodata_ttl_seconds=3600) as client:
        yield client


async def assert_answered(client: Client, answer: dict[str, Any]) -> None:
    reply = await client.get(answer["url"], **answer["headers"])
    assert reply.status == 200, (answer["url"], reply)
    assert (reply.headers["content-type"], digest_of(reply.body)) == (
        answer["type"],
        answer["digest"],
    ), answer["url"]


async def test_what_was_answered_is_answered_again(client: Client) -> None:
    for answer in NOTES["answers"]:
        await assert_answered(client, answer)


async def test_a_pinned_build_is_made_again_from_its_lock(site: Site, client: Client) -> None:
    """Its packages and the base's layers are kept for it; all else of it is taken away."""
    of_build = [answer for answer in NOTES["answers"] if NOTES["key"] in answer["url"]]
    top = next(answer for answer in of_build if answer["url"].endswith("/manifests/latest"))
    manifest = json.loads((await client.get(top["url"])).body)
    for folder in ("images", "layers", "forms", "origins", "contents"):
        for path in site.files(folder):
            path.unlink()
    for digest in (top["digest"], manifest["config"]["digest"], manifest["layers"][-1]["digest"]):
        (site.store / blob_key(digest)).unlink()
    async with site.open(repodata_ttl_seconds=3600) as another:
        for answer in of_build:
            await assert_answered(another, answer)


async def test_an_upload_goes_on_where_it_was(client: Client) -> None:
    whole = b"half of it"
    reply = await client.patch(NOTES["upload"], b" it", content_range="7-9", authorization=ADA)
    assert reply.status == 202, reply
    url = f"{reply.headers['location']}?digest={digest_of(whole)}"
    assert (await client.put(url, authorization=ADA)).status == 201
    reply = await client.get(f"/v2/public/app/blobs/{digest_of(whole)}")
    assert reply.body == whole


async def test_private_repositories_stay_private(client: Client) -> None:
    reply = await client.get("/v2/team/app/manifests/latest")
    assert reply.status == 401


async def test_a_build_says_that_it_is_pinned(client: Client) -> None:
    reply = await client.get(f"{BUILDS}/{NOTES['key']}")
    assert reply.json()["pinned"] is True
