import re

import pytest

from builder.oci.digest import digest_of
from builder.oci.models import OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.ports import Progress
from registry.errors import ReferrersUnavailable, StillBuilding
from tests.registry.asgi import Client, assert_oci_error
from tests.registry.fakes import FakeBuiltSource

pytestmark = pytest.mark.anyio

TAGS = ("2026-11-01", "bare", "latest", "py3.12")
LIST = "/v2/env/numpy/tags/list"


@pytest.fixture(autouse=True)
def _tags(pulls: FakeBuiltSource) -> None:
    pulls.known_tags = TAGS


async def test_all_tags_are_listed(client: Client) -> None:
    reply = await client.get(LIST)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"name": "env/numpy", "tags": list(TAGS)}
    assert "link" not in reply.headers


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 999_999_999])
async def test_pages_follow_each_other_to_the_end(client: Client, size: int) -> None:
    url, found = f"{LIST}?n={size}", []
    while url:
        reply = await client.get(url)
        page = reply.json()["tags"]
        assert 0 < len(page) <= size
        found += page
        link = re.fullmatch(r'<(/v2/[^>]+)>; rel="next"', reply.headers.get("link", ""))
        url = link.group(1) if link else ""
    assert found == list(TAGS)


async def test_last_need_not_be_a_tag(client: Client) -> None:
    assert (await client.get(f"{LIST}?last=c")).json()["tags"] == ["latest", "py3.12"]
    assert (await client.get(f"{LIST}?last=zzz&n=1")).json()["tags"] == []
    assert (await client.get(f"{LIST}?last=")).json()["tags"] == list(TAGS)


async def test_a_page_of_none_is_empty_and_has_no_next(client: Client) -> None:
    reply = await client.get(f"{LIST}?n=0")
    assert reply.json()["tags"] == []
    assert "link" not in reply.headers


@pytest.mark.parametrize("number", ["-1", "x", "", "1.5", "1" * 10, "%D9%A3"])
async def test_a_page_size_that_is_no_number_is_refused(client: Client, number: str) -> None:
    reply = await client.get(f"{LIST}?n={number}")
    assert_oci_error(reply, 400, "PAGINATION_NUMBER_INVALID")


async def test_a_repository_never_pulled_has_no_tags(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.known_tags = ()
    assert_oci_error(await client.get(LIST), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("name", ["env/numpy", "no/such/repository"])
async def test_nothing_refers_to_anything(client: Client, name: str) -> None:
    reply = await client.get(f"/v2/{name}/referrers/{digest_of(b'')}")
    assert reply.status == 200
    assert reply.headers["content-type"] == OCI_INDEX
    assert reply.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    assert "oci-filters-applied" not in reply.headers


def artifact(kind: str) -> Descriptor:
    return Descriptor(
        media_type=OCI_MANIFEST,
        digest=digest_of(kind.encode()),
        size=7,
        artifact_type=kind,
        annotations={"a": "b"},
    )


SUBJECT = digest_of(b"an image")
SBOM, LOCK = artifact("application/spdx+json"), artifact("application/vnd.conda-lock.v1+yaml")


async def test_what_refers_to_an_image_is_listed(client: Client, pulls: FakeBuiltSource) -> None:
    pulls.artifacts[SUBJECT] = [SBOM, LOCK]
    reply = await client.get(f"/v2/env/a/referrers/{SUBJECT}")
    assert reply.status == 200
    assert reply.headers["content-type"] == OCI_INDEX
    assert reply.json()["manifests"] == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": one.digest,
            "size": 7,
            "annotations": {"a": "b"},
            "artifactType": one.artifact_type,
        }
        for one in (SBOM, LOCK)
    ]


async def test_referrers_are_filtered_by_type(client: Client, pulls: FakeBuiltSource) -> None:
    pulls.artifacts[SUBJECT] = [SBOM, LOCK]
    url = f"/v2/env/a/referrers/{SUBJECT}?artifactType="
    reply = await client.get(url + "application/spdx%2Bjson")
    assert reply.headers["oci-filters-applied"] == "artifactType"
    assert [one["digest"] for one in reply.json()["manifests"]] == [SBOM.digest]
    assert (await client.get(url + "application/x")).json()["manifests"] == []


async def test_referrers_that_are_being_made_are_asked_for_again(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.referrer_error = StillBuilding(Progress("finish"))
    reply = await client.get(f"/v2/env/a/referrers/{SUBJECT}")
    assert_oci_error(reply, 429, "TOOMANYREQUESTS")
    assert "retry-after" in reply.headers


async def test_referrers_that_cannot_be_made_are_no_404_which_would_mean_no_such_api(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.referrer_error = ReferrersUnavailable("the channel does not answer")
    reply = await client.get(f"/v2/env/a/referrers/{SUBJECT}")
    assert_oci_error(reply, 503, "UNAVAILABLE")
    assert "retry-after" in reply.headers


async def test_a_filter_of_referrers_is_confirmed(client: Client) -> None:
    reply = await client.get(f"/v2/env/a/referrers/{digest_of(b'')}?artifactType=application/x")
    assert reply.headers["oci-filters-applied"] == "artifactType"
    assert_oci_error(await client.get("/v2/env/a/referrers/sha256:x"), 400, "DIGEST_INVALID")
