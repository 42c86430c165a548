"""A build that is blocked is had through no door; the doors are found in the tables of routes."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from builder.oci.models import OCI_INDEX, OCI_MANIFEST
from registry.images.blocked import BlockedBuilds, dump_block
from registry.images.judging import BuildJudge
from registry.storage.layout import blocked_key
from registry.telemetry.access_log import NoAccessLog
from registry.web.distribution.memory_cache import WarmManifests
from tests.registry.asgi import Client, Reply
from tests.registry.doors import DOORS, Door
from tests.registry.pulling import built
from tests.registry.web.api.catalog import (
    ADA,
    NOTEBOOK,
    ROOT,
    ended,
    make_notebook,
    make_site,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

REASON: Final = "a library in it sends passwords away; ask it@example.org"
#: What of an address can say which build is meant.
_FIELDS: Final = ("{key}", "{number}", "{a}", "{other}", "{reference}", "{digest}")
#: What tells of a build, or ends something, and gives nobody any of it; and what is about other
#: things than builds made here.
OPEN: Final = {
    "GET /api/v1/namespaces/{namespace}/environments/{environment}/versions/{number}",
    "DELETE /api/v1/namespaces/{namespace}/environments/{environment}/versions/{number}",
    "GET /api/v1/namespaces/{namespace}/environments/{environment}/versions/{number}/specification",
    "GET /api/v1/namespaces/{namespace}/environments/{environment}/versions/{number}/log",
    "GET /api/v1/namespaces/{namespace}/environments/{environment}/versions/{number}/progress",
    "POST /api/v1/namespaces/{namespace}/environments/{environment}/versions/{number}/cancel",
    "GET /api/v1/blocks/{key}",
    "DELETE /api/v1/blocks/{key}",
    "PUT /v2/{name}/manifests/{reference}",
    "DELETE /v2/{name}/manifests/{reference}",
    "DELETE /v2/{name}/blobs/{digest}",
}
TAKES_ALL: Final = f"{OCI_INDEX}, {OCI_MANIFEST}"


@dataclass
class House:
    """A service whose environment has two versions, and what the first one consists of."""

    client: Client
    key: str
    other: str
    #: Of a package of the first version.
    package: str
    #: Digests of its image.
    manifest: str
    config: str
    layer: str
    artifact: str

    @property
    def blocked(self) -> BlockedBuilds:
        judge: BuildJudge = built(self.client.services)._judge
        return judge.blocked

    async def get(self, url: str, method: str = "GET") -> Reply:
        return await send(self.client, method, url, ROOT, accept=TAKES_ALL)

    async def pull(self, name: str) -> Reply:
        return await self.get(f"/v2/{name}")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def house(site: Site, anyio_backend: str) -> AsyncIterator[House]:
    async with site.open() as client:
        yield await fill(client)


async def fill(client: Client) -> House:
    first = await make_notebook(client, wish("tool"))
    await send(client, "POST", f"{NOTEBOOK}/versions", ADA, wish("library"))
    second = await ended(client, f"{NOTEBOOK}/versions/2", ADA)
    key = first["key"]
    image = await send(client, "GET", f"/v2/build/{key}/manifests/latest", ROOT, accept=TAKES_ALL)
    digest = image.headers["docker-content-digest"]
    document = json.loads(image.body)
    lock = await send(client, "GET", f"/api/v1/builds/{key}/lock", ROOT)
    artifacts = await send(client, "GET", f"/v2/build/{key}/referrers/{digest}", ROOT)
    return House(
        client,
        key,
        second["key"],
        re.findall("sha256: ([0-9a-f]{64})", lock.body.decode())[0],
        digest,
        document["config"]["digest"],
        document["layers"][-1]["digest"],
        artifacts.json()["manifests"][0]["digest"],
    )


def addresses(door: Door, house: House) -> list[str]:
    """Return the addresses behind a door that lead to what is of the first version's build."""
    fields = {"namespace": "ada", "environment": "notebook", "number": "1", "a": "2", "b": "1"}
    fields |= {"key": house.key, "other": house.other, "id": "1"}
    fields["sha256"] = house.package
    if not door.template.startswith("/v2"):
        return [door.url(**fields)]
    found = []
    for name, tag in (
        ("env/tool", "latest"),
        (f"build/{house.key}", "latest"),
        (f"build/{house.key}", "bare"),
        ("ada/notebook", "v1"),
        ("ada/notebook", house.key),
        ("ada/notebook", "v1-bare"),
    ):
        if "manifests" in door.template:
            references = [tag, house.manifest, house.artifact]
        elif "blobs" in door.template:
            references = [house.config, house.manifest]
        else:
            references = [house.manifest]
        found += [door.url(name=name, reference=one, digest=one) for one in references]
    return list(dict.fromkeys(found))


def doors_to_builds() -> list[Door]:
    return [
        door
        for door in DOORS
        if str(door).replace("HEAD ", "GET ") not in OPEN
        and any(field in door.template for field in _FIELDS)
    ]


async def test_no_door_gives_any_of_a_build_that_is_blocked(house: House) -> None:
    await house.pull("env/tool/manifests/latest")
    house.blocked.put(house.key, REASON)
    wrong = []
    for door in doors_to_builds():
        for url in addresses(door, house):
            reply = await house.get(url, door.method)
            said = door.method == "HEAD" or REASON in reply.body.decode()
            if reply.status != 403 or not said:
                wrong.append(f"{door.method} {url}: {reply.status} {reply.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


async def test_the_same_doors_are_open_before_and_after(house: House) -> None:
    house.blocked.put(house.key, REASON)
    assert (await house.pull(f"build/{house.key}/manifests/latest")).status == 403
    house.blocked.remove(house.key)
    wrong = []
    for door in doors_to_builds():
        for url in addresses(door, house):
            reply = await house.get(url, door.method)
            if reply.status not in {200, 201}:
                wrong.append(f"{door.method} {url}: {reply.status} {reply.body[:200]!r}")
    assert not wrong, "\n".join(wrong)


async def test_layers_and_other_builds_are_read_as_before(house: House) -> None:
    house.blocked.put(house.key, REASON)
    assert (await house.pull(f"env/tool/blobs/{house.layer}")).status == 200
    assert (await house.pull("ada/notebook/manifests/latest")).status == 200
    assert (await house.pull(f"build/{house.other}/manifests/latest")).status == 200
    assert (await house.pull("env/library/manifests/latest")).status == 200


async def test_it_is_told_of_a_version_and_none_such_becomes_active(house: House) -> None:
    house.blocked.put(house.key, REASON)
    listed = (await house.get(f"{NOTEBOOK}/versions")).json()["items"]
    assert [REASON in (one["blocked"] or "") for one in listed] == [False, True]
    reply = await send(house.client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 1})
    assert reply.status == 403, reply
    assert REASON in reply.json()["error"]["message"]
    assert (await house.get(f"{NOTEBOOK}/active")).json()["number"] == 2


async def test_a_copy_of_it_is_blocked_too(house: House) -> None:
    await send(house.client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 1})
    house.blocked.put(house.key, REASON)
    place = {"namespace": "ada", "name": "copy"}
    assert (await send(house.client, "POST", f"{NOTEBOOK}/copy", ADA, place)).status == 201
    assert (await house.pull("ada/copy/manifests/latest")).status == 403
    copy = (await house.get("/api/v1/namespaces/ada/environments/copy/active")).json()
    assert copy["key"] == house.key
    assert REASON in copy["blocked"]


async def test_asking_again_for_it_is_refused(house: House) -> None:
    house.blocked.put(house.key, REASON)
    for query in ("", "?renew=1"):
        url = f"/api/v1/builds{query}"
        reply = await send(house.client, "POST", url, ROOT, wish("tool"), prefer="wait=25")
        assert reply.status == 403, reply
        assert reply.json()["error"]["code"] == "BUILD_BLOCKED"
        assert REASON in reply.json()["error"]["message"]
    await send(house.client, "POST", f"{NOTEBOOK}/versions", ADA, wish("tool"))
    version = await ended(house.client, f"{NOTEBOOK}/versions/3", ADA)
    assert (version["state"], version["key"]) == ("failed", None)
    assert REASON in version["message"]


async def test_a_manifest_that_was_answered_before_the_application_is_not_any_more(
    house: House,
) -> None:
    warm = WarmManifests(house.client.services, NoAccessLog())
    headers = [(b"accept", TAKES_ALL.encode())]
    names = [f"build/{house.key}", "ada/notebook"]
    urls = [f"/v2/build/{house.key}/manifests/latest".encode()]
    urls += [f"/v2/{name}/manifests/{house.manifest}".encode() for name in names[:1]]
    for url in urls:
        await house.get(url.decode())
        await house.get(url.decode())
        assert warm.answer(b"GET", url, headers) is not None, url
    house.blocked.put(house.key, REASON)
    for url in urls:
        assert warm.answer(b"GET", url, headers) is None, url
    house.blocked.remove(house.key)
    for url in urls:
        assert warm.answer(b"GET", url, headers) is not None, url
    house.blocked.put(house.other, REASON)
    for url in urls:
        await house.get(url.decode())
        assert warm.answer(b"GET", url, headers) is not None, url


async def test_a_server_without_a_database_knows_it_by_the_store(site: Site) -> None:
    async with site.open() as client:
        house = await fill(client)
    path = site.store / blocked_key(house.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(dump_block(REASON))
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    async with site.open(database=nowhere) as client:
        reply = await send(client, "GET", f"/v2/build/{house.key}/manifests/latest", ROOT)
        assert reply.status == 403, reply
        assert REASON in reply.body.decode()
        path.unlink()
        await built(client.services)._judge.blocked.read()
        reply = await send(client, "GET", f"/v2/build/{house.key}/manifests/latest", ROOT)
        assert reply.status == 200, reply
