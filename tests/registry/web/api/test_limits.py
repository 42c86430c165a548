"""Quotas, retention and usage through the API; a freed version comes back by a real pull."""

import time
from typing import Any

import pytest

from builder.oci.models import OCI_INDEX, OCI_MANIFEST
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    made,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

QUOTA = f"{NAMESPACES}/ada/quota"
RETENTION = f"{NAMESPACES}/ada/retention"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def pulled(client: Client, tag: str) -> dict[str, bytes]:
    """Return every part of an image of ada's notebook, as a client takes it."""
    headers = {"authorization": ADA, "accept": f"{OCI_INDEX}, {OCI_MANIFEST}"}
    reply = await client.get(f"/v2/ada/notebook/manifests/{tag}", **headers)
    assert reply.status == 200, reply
    found = {reply.headers["docker-content-digest"]: reply.body}
    document = reply.json()
    for part in (document["config"], *document["layers"]):
        blob = await client.get(f"/v2/ada/notebook/blobs/{part['digest']}", authorization=ADA)
        assert blob.status == 200, blob
        found[part["digest"]] = blob.body
    return found


def sizes(site: Site) -> dict[str, int]:
    """Return every blob of the store, in any flavour."""
    return {f"sha256:{path.name}": path.stat().st_size for path in site.files("blobs")}


async def put(client: Client, url: str, body: Any, who: str = ROOT, **headers: str) -> Any:
    reply = await send(client, "PUT", url, who, body, **headers)
    assert reply.status == 200, reply
    return reply.json()


async def test_a_freed_version_comes_back_bit_for_bit_by_pulling_it(site: Site) -> None:
    site.clock.now = time.time()
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        before = await pulled(client, "v1")
        second = (await ask(client, wish("library"))).json()
        assert second["number"] == 2
        active = await pulled(client, "latest")
        site.clock.now += 3 * 3600
        rule = await put(client, RETENTION, {"days": 0, "keep": 0}, ADA)
        assert rule["keeping"] == {"days": 0, "keep": 0}
        preview = (await send(client, "POST", f"{RETENTION}/preview", ADA, {})).json()
        assert [one["version"] for one in preview["versions"]] == [1]
        had = sizes(site)
        gone = await send(client, "POST", f"{RETENTION}/free", ADA)
        freed = gone.json()
        assert freed == preview
        has = sizes(site)
        assert freed["size_bytes"] == sum(had.values()) - sum(has.values()) > 0
        assert set(before) - has.keys()
        assert set(active) <= has.keys()
        version = (await send(client, "GET", f"{NOTEBOOK}/versions/1", ADA)).json()
        assert version["freed_at"] is not None
        assert (await send(client, "GET", f"{NOTEBOOK}/versions/1/lock", ADA)).status == 200
        quota = (await send(client, "GET", QUOTA, ADA)).json()
    # On a server that has nothing of it in memory, too.
    async with site.open() as client:
        assert await pulled(client, "v1") == before
        assert await pulled(client, "latest") == active
    async with site.open() as client:
        version = (await send(client, "GET", f"{NOTEBOOK}/versions/1", ADA)).json()
        assert version["freed_at"] is None
        again = (await send(client, "GET", QUOTA, ADA)).json()
        assert again["used"]["size_bytes"] > quota["used"]["size_bytes"]
        usage = (await send(client, "GET", f"{NOTEBOOK}/usage", ADA)).json()
        assert usage["pulls"] == 4
        events = (await send(client, "GET", f"{NOTEBOOK}/events?limit=100", ADA)).json()["items"]
        told = [(one["action"], one["version"]) for one in events]
        assert told[0] == ("version.restored", 1)
        assert ("version.freed", 1) in told


async def test_files_that_are_missing_are_made_again_while_the_manifest_is_in_memory(
    site: Site,
) -> None:
    site.clock.now = time.time()
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        await ask(client, wish("library"))
        before = await pulled(client, "v1")
        site.clock.now += 3 * 3600
        await put(client, RETENTION, {"days": 0, "keep": 0}, ADA)
        assert (await send(client, "POST", f"{RETENTION}/free", ADA)).json()["size_bytes"] > 0
        assert await pulled(client, "v1") == before


async def test_only_administrators_set_quotas_and_admins_see_theirs(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client)
        values = {"environments": 2, "size_bytes": "none", "builds_a_day": None}
        document = await put(client, QUOTA, values)
        assert document["quota"] == {**values, "builds_at_once": None}
        assert document["limits"]["environments"] == 2
        assert document["used"] == {
            "size_bytes": 0,
            "environments": 1,
            "builds_a_day": 0,
            "builds_at_once": 0,
        }
        seen = await send(client, "GET", QUOTA, ADA)
        assert seen.json() == document
        refused(await send(client, "PUT", QUOTA, ADA, {"environments": 9}), 403, "DENIED")
        refused(await send(client, "GET", QUOTA, BOB), 404, "NAMESPACE_UNKNOWN")
        lost = await send(client, "PUT", QUOTA, ROOT, values, if_match='"0"')
        refused(lost, 412, "REVISION_CONFLICT")
        await put(client, QUOTA, {"environments": 1}, if_match=seen.headers["etag"])
        url = f"{NAMESPACES}/ada/environments"
        sentence = refused(
            await send(client, "POST", url, ADA, {"name": "other"}), 403, "QUOTA_EXCEEDED"
        )
        assert sentence.startswith("'ada' may have 1 environment, and would have 2: ")
        refused(
            await send(client, "PUT", f"{NAMESPACES}/b/quota", ROOT, {}), 404, "NAMESPACE_UNKNOWN"
        )


async def test_builds_that_are_used_up_are_429_with_the_time_when_it_goes_on(site: Site) -> None:
    async with site.open(quota_builds_a_day=1) as client:
        await make_notebook(client, wish("tool"))
        reply = await ask(client, wish("library"))
        sentence = refused(reply, 429, "BUILDS_USED_UP")
        assert sentence.startswith("'ada' has asked for 1 build today, which is the most a day: ")
        seconds = int(reply.headers["retry-after"])
        assert 0 < seconds <= 86_400
        document = (await send(client, "GET", QUOTA, ADA)).json()
        assert document["builds_go_on_at"] in f"{sentence}{document['builds_go_on_at']}"
        assert document["defaults"]["builds_a_day"] == 1
        assert [one.name for one in site.files("inputs")] == []
        # What it has is pulled as ever, and copying builds nothing.
        assert await pulled(client, "latest")
        await made(client, f"{NOTEBOOK}/copy", ADA, {"name": "copied"})


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (QUOTA, b'{"environments": true}'),
        (QUOTA, b'{"environments": -1}'),
        (QUOTA, b'{"environments": 1.0}'),
        (QUOTA, b'{"environments": 1e3}'),
        (QUOTA, b'{"environments": "5"}'),
        (QUOTA, b'{"environments": "None"}'),
        (QUOTA, b'{"environments": 1000000001}'),
        (QUOTA, b'{"size_bytes": 1152921504606846977}'),
        (QUOTA, b'{"size_bytes": 1' + b"0" * 5000 + b"}"),
        (QUOTA, b'{"size_bytes": NaN}'),
        (QUOTA, b'{"size_bytes": [1]}'),
        (QUOTA, b'{"builds_at_once": 0}'),
        (QUOTA, b'{"builds": 1}'),
        (QUOTA, b"[]"),
        (RETENTION, b'{"days": false}'),
        (RETENTION, b'{"days": -1}'),
        (RETENTION, b'{"days": "none"}'),
        (RETENTION, b'{"days": 36501}'),
        (RETENTION, b'{"keep": "never"}'),
        (RETENTION, b'{"keep": 2147483648}'),
    ],
)
async def test_what_is_no_number_is_refused_with_its_field_and_changes_nothing(
    site: Site, url: str, body: bytes
) -> None:
    async with site.open() as client:
        await make_notebook(client)
        reply = await send(client, "PUT", url, ROOT, body)
        assert len(refused(reply, 400, "PARAMETER_INVALID")) <= 400
        document = (await send(client, "GET", url, ROOT)).json()
        assert document["revision"] == 0


async def test_the_largest_numbers_are_kept(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client)
        most = {
            "size_bytes": 2**60,
            "environments": 10**9,
            "builds_a_day": 10**9,
            "builds_at_once": 10**9,
        }
        document = await put(client, QUOTA, most)
        assert document["quota"] == document["limits"] == most
        document = await put(client, RETENTION, {"days": 36_500, "keep": 10**9})
        assert document["keeping"] == {"days": 36_500, "keep": 10**9}
        done = (await send(client, "POST", f"{RETENTION}/free", ROOT)).json()
        assert (done["state"], done["versions"], done["more"]) == ("done", [], False)


async def test_usage_is_for_those_who_see_all_of_it(site: Site) -> None:
    site.clock.now = time.time()
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        for _ in range(2):
            await pulled(client, "v1")
        for form in ("archive.tar.gz", "installation.json", "bytecode.tar.zst", "lock"):
            reply = await send(client, "GET", f"{NOTEBOOK}/versions/1/{form}", ADA)
            assert reply.status == 200
    async with site.open() as client:
        found = (await send(client, "GET", f"{NAMESPACES}/ada/usage?days=1", ADA)).json()
        assert (found["pulls"], found["environments"]) == (4, 1)
        assert [one["environment"] for one in found["items"]] == ["ada/notebook"]
        assert [(one["pulls"], one["builds"]) for one in found["days"]] == [(4, 1)]
        refused(await send(client, "GET", f"{NAMESPACES}/ada/usage", BOB), 404, "NAMESPACE_UNKNOWN")
        refused(await send(client, "GET", "/api/v1/usage", ADA), 403, "DENIED")
        page: Reply = await send(client, "GET", "/api/v1/usage", ROOT)
        assert [one["namespace"] for one in page.json()["items"]] == ["ada"]
        for days in ("0", "367", "true", "-1"):
            reply = await send(client, "GET", f"/api/v1/usage?days={days}", ROOT)
            refused(reply, 400, "PARAMETER_INVALID")
