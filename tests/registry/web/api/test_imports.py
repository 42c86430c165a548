"""Environments of a conda-store come here, and are pulled by their locks alone."""

import json
from typing import Any

import pytest

from registry.storage.layout import LOCKS
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, NAMESPACES, ROOT, made, refused, send
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio

SOURCE = "https://old.example/conda-store"
OLD: dict[str, Any] = {"source": SOURCE, "name": "Forecast 2"}
PLACE = f"{NAMESPACES}/ada/environments/forecast-2"
IMPORTED = f"{PLACE}/imported-versions"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


def entry(site: Site, name: str, **more: Any) -> dict[str, Any]:
    """Return a package of the site's channel as conda-lock writes it."""
    repodata = json.loads((site.channel / "noarch" / "repodata.json").read_bytes())
    listed = {**repodata["packages"], **repodata["packages.conda"]}
    file, said = next((file, one) for file, one in sorted(listed.items()) if one["name"] == name)
    return {
        "name": name,
        "version": said["version"],
        "manager": "conda",
        "platform": "linux-64",
        "dependencies": {},
        "url": f"file://{site.channel}/noarch/{file}",
        "hash": {"md5": said["md5"], "sha256": said["sha256"]},
        "category": "main",
        "optional": False,
        **more,
    }


def lock(*packages: dict[str, Any]) -> str:
    metadata = {
        "content_hash": {"linux-64": "0" * 64},
        "channels": [{"url": "main", "used_env_vars": []}],
        "platforms": ["linux-64"],
        "sources": ["environment.yaml"],
    }
    return json.dumps({"version": 1, "metadata": metadata, "package": packages})


def version(number: int, text: str | None, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "specification": {
            "name": "Forecast 2",
            "channels": ["main"],
            "dependencies": ["library", {"pip": ["requests"]}],
            "variables": None,
            "prefix": None,
            "description": "",
        },
        "lock": text,
        "state": "completed",
        "created_at": f"2025-03-{number:02}T12:00:00Z",
        "ended_at": f"2025-03-{number:02}T12:30:00Z",
        **more,
    }


async def put(client: Client, *versions: Any, who: str = ROOT, **more: Any) -> Reply:
    return await send(client, "PUT", IMPORTED, who, {**OLD, "versions": versions, **more})


async def test_what_was_locked_elsewhere_is_pulled_here_without_a_solve(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        text = lock(entry(site, "library"))
        gone = version(4, None, state="failed", message="Unsatisfiable")
        reply = await put(client, version(3, text), gone, active=3)
        assert reply.status == 200, reply
        done = reply.json()
        assert [(one["id"], one["number"], one["version_id"]) for one in done["made"]] == [
            (3, 1, 3),
            (4, 2, 4),
        ]
        assert (done["known"], done["refused"], done["active"]) == ([], [], 3)
        key = done["made"][0]["key"]
        assert [path.name for path in site.files(LOCKS)] == [f"{key}.yml"]
        assert not site.files("images")
        read = await send(client, "GET", f"{PLACE}/versions/1", ADA)
        document = read.json()
        assert (document["state"], document["key"], document["reason"]) == ("built", key, "import")
        assert document["created_at"] == "2025-03-03T12:00:00Z"
        specification = await send(client, "GET", f"{PLACE}/versions/1/specification", ADA)
        assert specification.body.decode() == (
            "name: Forecast 2\nchannels:\n- main\ndependencies:\n- library\n- pip:\n  - requests\n"
        )
        logs = [await send(client, "GET", f"{PLACE}/versions/{one}/log", ADA) for one in (1, 2)]
        assert ["is imported" in one.body.decode() for one in logs] == [True, True]
        assert logs[1].body.endswith(b"\nUnsatisfiable\n")
        for tag in ("latest", "v1", key, "2025-03-05"):
            pulled, _ = await client.follow(
                "GET", f"/v2/ada/forecast-2/manifests/{tag}", [("authorization", ADA)]
            )
            assert pulled.status == 200, (tag, pulled)
        # As if the file had been sent to be built.
        assert (await build(client, text.encode())).json()["key"] == key


async def test_builds_are_taken_over_once_and_listed(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        absent = await send(client, "GET", f"{IMPORTED}?source={SOURCE}", ROOT)
        refused(absent, 404, "ENVIRONMENT_UNKNOWN")
        first, second = (
            version(3, lock(entry(site, "library"))),
            version(4, lock(entry(site, "tool"))),
        )
        await put(client, first, second)
        address = SOURCE.replace("//", "//ada:secret@")
        again = (await put(client, first, second, source=f"{address}/")).json()
        assert (again["made"], again["known"]) == ([], [3, 4])
        listed = (await send(client, "GET", f"{IMPORTED}?source={SOURCE}&limit=1", ROOT)).json()
        assert [one["id"] for one in listed["items"]] == [3]
        rest = f"{IMPORTED}?source={SOURCE}&after={listed['next']}"
        listed = (await send(client, "GET", rest, ROOT)).json()
        assert ([one["id"] for one in listed["items"]], listed["next"]) == ([4], None)


async def test_what_cannot_be_used_here_is_refused_with_a_sentence(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        strange = entry(
            site, "library", url="https://elsewhere.example/linux-64/library-1.0-0.conda"
        )
        changed = entry(site, "library", hash={"md5": "0" * 32, "sha256": "0" * 64})
        sent = [
            version(1, lock(strange)),
            version(2, lock(changed)),
            version(3, "dependencies: [tool]"),
            version(4, "no lock at all"),
            version(5, lock(entry(site, "tool"))),
        ]
        done = (await put(client, *sent, active=1)).json()
        assert [one["id"] for one in done["made"]] == [5]
        assert [one["id"] for one in done["refused"]] == [1, 2, 3, 4]
        for one in done["refused"]:
            assert one["message"].startswith("its lock cannot be used here: "), one
        assert "names packages that are to be solved" in done["refused"][2]["message"]
        assert len(done["messages"]) == 1


async def test_administrators_alone_import_and_what_means_nothing_is_told(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        good = version(3, None, state="failed")
        refused(await put(client, good, who=ADA), 403, "DENIED")
        for said in (
            {"source": "a#b"},
            {"source": " "},
            {"name": "x" * 200},
            {"active": 0},
            {"versions": [good, good]},
            {"versions": [{**good, "id": 2**31}]},
            {"versions": [{**good, "specification": None}]},
            {"versions": [{**good, "state": "queued"}]},
            {"versions": [{**good, "created_at": "2025-03-01T12:00:00"}]},
            {"versions": [{**good, "odd": 1}]},
            {"versions": [{**good, "requested_by": "a\0b"}]},
            {"versions": [{**good, "specification": "\ud800"}]},
            {"versions": [{**good, "specification": {"name": "\ud800"}}]},
            {"versions": [{**good, "lock": "\ud800"}]},
        ):
            reply = await send(client, "PUT", IMPORTED, ROOT, {**OLD, "versions": [good], **said})
            assert reply.status == 400, (said, reply)
        deep: Any = {}
        for _ in range(150):
            deep = {"a": deep}
        odd = version(2, None, state="cancelled", message="a\0b")
        assert (await put(client, odd)).json()["made"][0]["message"] == "ab"
        nested = await put(client, version(3, None, state="failed", specification=deep))
        assert nested.status in {200, 400}, nested
        other = await put(client, good, name="Other")
        assert "ends in 'other'" in refused(other, 400, "CATALOG_NAME_INVALID")


async def test_a_request_may_be_as_large_as_some_lock_files(site: Site) -> None:
    async with site.open(max_request_bytes=100_000) as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        long = "# " + "x" * 90_000
        reply = await put(
            client, *(version(n, None, state="failed", specification=long) for n in (1, 2, 3, 4))
        )
        assert reply.status == 200, reply
        more = await put(
            client, *(version(n, None, state="failed", specification=long) for n in range(5, 10))
        )
        assert more.status == 413, more


async def test_what_was_imported_can_be_asked_for_anew(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        await put(client, version(3, None, specification=wish("tool").decode()))
        specification = await send(client, "GET", f"{PLACE}/versions/1/specification", ADA)
        asked = await send(client, "POST", f"{PLACE}/versions", ADA, specification.body)
        assert asked.status in {200, 201, 202}, asked
        assert asked.json()["number"] == 2
