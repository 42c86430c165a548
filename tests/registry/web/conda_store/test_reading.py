"""Everything that is read: namespaces, environments, builds, packages, channels, usage."""

import base64
import json
from datetime import datetime
from typing import Any

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    ended,
    made,
    send,
)
from tests.registry.web.api.site import wish

pytestmark = pytest.mark.anyio

FACE = "/conda-store/api/v1"
FACE_2 = "/conda-store/api/v2"
SPACE = f"{NAMESPACES}/ada/environments"
NOTHING = wish("nothing-like-this")
WRITTEN = b"name: other\nchannels: [main]\ndependencies: [tool]\nvariables: {A: 1.10, B: 2}\n"
#: Somebody who sees nothing.
CEM = basic("cem")
#: What ada has, in the order of its addresses; one more has no build, and one was deleted.
ADAS = ["b-2", "blocked", "failed", "notebook", "other"]


@pytest.fixture(scope="module")
async def client(shared: Client) -> Client:
    """Return a client of a service in which there is something of each kind."""
    client = shared
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    await made(client, NAMESPACES, ROOT, {"name": "Team One"})
    asked = {
        f"{SPACE}?name=notebook": (ADA, wish("tool")),
        f"{SPACE}?name=other": (ADA, WRITTEN),
        f"{SPACE}?name=blocked": (ADA, wish("library")),
        f"{SPACE}?name=failed": (ADA, wish("nothing-like-this", pip=["flask"])),
        f"{SPACE}?name=gone": (ADA, NOTHING),
        f"{SPACE}?name=b-2": (ADA, NOTHING),
        f"{NAMESPACES}/team-one/environments?name=a": (ROOT, NOTHING),
        f"{NAMESPACES}/team-one/environments?name=z": (ROOT, NOTHING),
    }
    for url, (who, body) in asked.items():
        await made(client, url, who, body)
    await made(client, SPACE, ADA, {"name": "empty"})
    versions = {}
    for url in asked:
        path = url.replace("?name=", "/")
        versions[path] = await ended(client, f"{path}/versions/1", ROOT)
    await ask(client, NOTHING)
    await ended(client, f"{NOTEBOOK}/versions/2", ADA)
    block = {"key": versions[f"{SPACE}/blocked"]["key"], "reason": "it is compromised"}
    await made(client, "/api/v1/blocks", ROOT, block)
    reply = await send(client, "DELETE", f"{SPACE}/gone", ADA)
    assert reply.status == 204, reply
    share = {"subject_kind": "user", "subject": "bob", "role": "viewer", "environment": "notebook"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, share)
    return client


async def get(client: Client, path: str, who: str | None = ADA) -> Any:
    reply = await send(client, "GET", path if path.startswith("/") else f"{FACE}/{path}", who)
    assert reply.status == 200, reply
    return reply.json()


async def refused(client: Client, path: str, status: int, who: str | None = ADA) -> str:
    reply = await send(client, "GET", path if path.startswith("/") else f"{FACE}/{path}", who)
    assert reply.status == status, reply
    document = reply.json()
    assert document.keys() == {"status", "message"}
    assert document["status"] == "error"
    return str(document["message"])


async def current(client: Client, name: str) -> int:
    """Return the number of the current build of one of ada's environments."""
    return int((await get(client, f"environment/ada/{name}/"))["data"]["current_build_id"])


def names(found: Any) -> list[str]:
    return [one["name"] for one in found["data"]]


async def test_namespaces_are_told_as_they_are_written(client: Client) -> None:
    found = await get(client, "namespace/?page=1&size=100", ROOT)
    assert found.keys() == {"status", "data", "page", "size", "count"}
    assert names(found) == ["ada", "Team One"]
    assert (found["page"], found["size"], found["count"]) == (1, 100, 2)
    assert all(one.keys() == {"id", "name"} for one in found["data"])
    assert names(await get(client, "namespace/")) == ["ada"]
    reverse = await get(client, "namespace/?order=desc&sort_by=name", ROOT)
    assert names(reverse) == ["Team One", "ada"]
    for name in ("Team%20One", "team-one"):
        found = await get(client, f"namespace/{name}/", ROOT)
        assert found["message"] is None
        assert found["data"]["name"] == "Team One"
        assert found["data"].keys() == {"id", "name", "metadata_", "role_mappings"}
    assert "no namespace" in await refused(client, "namespace/team-one", 404)
    assert "no namespace" in await refused(client, "namespace/nothing", 404)
    await refused(client, "namespace/team-one", 403, None)


async def test_environments_are_told_with_their_active_build_or_else_the_newest(
    client: Client,
) -> None:
    found = await get(client, "environment/?page=1&size=100")
    assert names(found) == ADAS
    assert (found["page"], found["size"], found["count"]) == (1, 100, 5)
    builds = {one["id"]: one["status"] for one in (await get(client, "build/"))["data"]}
    for one in found["data"]:
        assert one.keys() == {
            *("id", "namespace", "name", "current_build_id", "current_build", "description"),
        }
        assert one["namespace"].keys() == {"id", "name", "metadata_", "role_mappings"}
        assert one["current_build"] is None
        status = builds[one["current_build_id"]]
        # Whatever came later: the newest of one has failed.
        assert status == ("FAILED" if one["name"] in {"b-2", "failed"} else "COMPLETED")
        assert (await get(client, f"environment/ada/{one['name']}"))["data"] == one
    query = "namespace=ada&name=notebook&order=desc&sort_by=scheduled_on"
    both = await get(client, f"build/?{query}")
    assert [one["status"] for one in both["data"]] == ["FAILED", "COMPLETED"]
    await refused(client, "environment/ada/empty", 404)


async def test_the_first_list_of_environments_says_that_it_ends_one_day(client: Client) -> None:
    for path, said in ((f"{FACE}/environment/", "True"), (f"{FACE_2}/environment/", None)):
        reply = await send(client, "GET", path, ADA)
        assert reply.headers.get("deprecation") == said
        assert ("sunset" in reply.headers) == (said is not None)
        head = await send(client, "HEAD", path, ADA)
        assert (head.status, head.body) == (200, b"")


async def test_all_is_told_at_once_where_no_page_is_asked_for(client: Client) -> None:
    first = await get(client, "environment/?size=3")
    assert (names(first), first["count"]) == (ADAS[:3], 5)
    second = await get(client, "environment/?size=3&page=2/")
    assert (names(second), second["page"]) == (ADAS[3:], 2)
    after = await get(client, "environment/?size=2&page=1000")
    assert (after["data"], after["count"]) == ([], 5)
    everything = await get(client, "environment")
    assert (len(everything["data"]), everything["count"], everything["size"]) == (5, 5, 100)
    assert (await get(client, "environment/?size=100000"))["size"] == 100


async def test_a_long_list_is_read_in_parts_and_told_whole(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.web.conda_store.paging._BATCH", 2)
    monkeypatch.setattr("registry.web.conda_store.paging.MAX_SIZE", 2)
    found = await get(client, "environment/")
    assert names(found) == ADAS
    assert (found["count"], found["size"], found["page"]) == (5, 5, 1)
    monkeypatch.setattr("registry.web.conda_store.paging._WHOLE", 2)
    found = await get(client, "environment/")
    assert (len(found["data"]), found["count"], found["size"]) == (2, 5, 2)


async def test_environments_are_filtered(client: Client) -> None:
    with_tool, with_files = ["notebook", "other"], ["blocked", "notebook", "other"]
    for query, wanted in (
        ("search=OTEBOO", ["notebook"]),
        ("search=%25", []),
        ("namespace=ada", ADAS),
        ("namespace=Ada", ADAS),
        ("namespace=nobody", []),
        ("namespace=%E2%82%AC", []),
        ("name=notebook&namespace=ada", ["notebook"]),
        ("name=note", []),
        ("status=COMPLETED", with_files),
        ("status=FAILED", ["b-2", "failed"]),
        ("status=QUEUED", []),
        ("packages=tool", with_tool),
        ("packages=library", with_files),
        ("packages=tool&packages=library/", with_tool),
        ("packages=tool&packages=nothing", []),
        ("artifact=LOGS", ADAS),
        ("artifact=LOCKFILE", with_files),
        ("artifact=CONDA_PACK&status=FAILED", []),
        ("artifact=DIRECTORY", []),
        ("", ADAS),
    ):
        found = await get(client, f"environment/?{query}")
        assert (names(found), found["count"]) == (wanted, len(wanted)), query
        found = await get(client, f"{FACE_2}/environment/?{query}")
        assert sorted(names(found)) == wanted, query
    assert "QUEUED" in await refused(client, "environment/?status=bogus", 400)
    assert "LOCKFILE" in await refused(client, "environment/?artifact=bogus", 400)


async def test_a_token_shows_what_both_see(client: Client) -> None:
    theirs = await made(client, "/api/v1/tokens", BOB, {"name": "laptop"})
    for path in (FACE, FACE_2):
        found = await get(client, f"{path}/environment/?jwt={theirs['secret']}", ROOT)
        assert (names(found), found["count"]) == (["notebook"], 1)
    mine = await made(client, "/api/v1/tokens", ADA, {"name": "laptop"})
    found = await get(client, f"environment/?jwt={mine['secret']}", ROOT)
    assert names(found) == ADAS
    found = await get(client, f"environment/?jwt={mine['secret']}", BOB)
    assert names(found) == ["notebook"]
    assert "token" in await refused(client, "environment/?jwt=nonsense", 403)


@pytest.mark.parametrize("sort_by", ["", "namespace", "name", "namespace,name", "name,namespace"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_that_follow_each_other_have_everything_once(
    client: Client, sort_by: str, order: str
) -> None:
    query = f"limit=2&order={order}" + (f"&sort_by={sort_by}" if sort_by else "")
    found: list[Any] = []
    cursor = ""
    while True:
        page = await get(client, f"{FACE_2}/environment/?{query}&cursor={cursor}", ROOT)
        assert page.keys() == {"status", "data", "message", "cursor", "count"}
        assert page["count"] == 7
        if not page["data"]:
            break
        found += page["data"]
        cursor = page["cursor"].replace("=", "%3D").replace("+", "%2B")
    assert json.loads(base64.b64decode(page["cursor"])) == {"last_id": None, "last_value": None}
    keys = [
        {
            "": one["id"],
            "namespace": (one["namespace"]["name"].lower(), one["id"]),
            "name": (one["name"], one["id"]),
            "namespace,name": (one["namespace"]["name"].lower(), one["name"]),
            "name,namespace": (one["name"], one["namespace"]["name"].lower()),
        }[sort_by]
        for one in found
    ]
    assert len(set(map(str, keys))) == 7
    assert keys == sorted(keys, reverse=order == "desc")
    assert all("current_build" not in one for one in found)


async def test_builds_are_told_by_environment_and_with_times_without_a_zone(
    client: Client,
) -> None:
    query = "namespace=ada&name=notebook&status=COMPLETED"
    found = await get(client, f"build/?{query}")
    assert (len(found["data"]), found["count"], found["size"]) == (1, 1, 100)
    build = found["data"][0]
    assert build.keys() == {
        *("id", "environment_id", "specification", "packages", "status", "status_info", "size"),
        *("scheduled_on", "started_on", "ended_on", "build_artifacts"),
    }
    assert (build["status"], build["status_info"]) == ("COMPLETED", None)
    assert build["size"] > 0
    for name in ("scheduled_on", "started_on", "ended_on"):
        assert datetime.fromisoformat(build[name]).tzinfo is None
    for query, count in (
        (f"environment_id={build['environment_id']}", 2),
        ("environment_id=0", 0),
        ("status=COMPLETED", 3),
        ("status=FAILED", 3),
        ("packages=tool", 2),
        ("packages=library", 3),
        ("artifact=LOGS", 6),
        ("artifact=CONDA_PACK", 3),
        ("name=other", 1),
        ("namespace=nobody", 0),
    ):
        assert (await get(client, f"build/?{query}"))["count"] == count, query
    for sort_by in ("sort_by=id", "sort_by=scheduled_on", "sort_by=bogus", ""):
        ids = [one["id"] for one in (await get(client, f"build/?{sort_by}"))["data"]]
        assert ids == sorted(ids)
    for name in ("started_on", "ended_on"):
        at = [one[name] for one in (await get(client, f"build/?sort_by={name}"))["data"]]
        assert at == sorted(at)


async def test_a_build_tells_what_was_asked_for_and_which_files_there_are(client: Client) -> None:
    number = await current(client, "other")
    build = (await get(client, f"build/{number}/"))["data"]
    specification = build["specification"]
    assert specification.keys() == {"id", "name", "spec", "sha256", "created_on"}
    assert specification["spec"] == {
        "name": "other",
        "channels": ["main"],
        "dependencies": ["tool"],
        "description": "",
        "prefix": None,
        "variables": {"A": "1.10", "B": 2},
    }
    artifacts = build["build_artifacts"]
    assert [one["artifact_type"] for one in artifacts] == [
        *("LOGS", "LOCKFILE", "YAML", "CONDA_PACK", "DOCKER_MANIFEST"),
    ]
    assert all(one["id"] // 16 == number for one in artifacts)
    assert build["packages"] is None
    failed = (await get(client, f"build/{await current(client, 'failed')}"))["data"]
    assert failed["status"] == "FAILED"
    assert "nothing-like-this" in failed["status_info"]
    assert [one["artifact_type"] for one in failed["build_artifacts"]] == ["LOGS"]
    spec = failed["specification"]["spec"]
    assert spec["dependencies"] == ["nothing-like-this", {"pip": ["flask"]}]
    assert spec["name"] == "failed"  # under which it is edited, whatever the text says


async def test_packages_of_a_build_are_told_with_their_channels(client: Client) -> None:
    url = f"build/{await current(client, 'notebook')}/packages"
    found = await get(client, f"{url}/?page=1&size=100")
    assert names(found) == ["library", "tool"]
    tool = found["data"][1]
    assert tool.keys() == {"id", "channel", "license", "name", "version", "summary"}
    (channel,) = (await get(client, "channel/"))["data"]
    assert tool["channel"] == channel
    assert channel["id"] == 1
    assert (tool["version"], found["count"]) == ("2.0", 2)
    ids = [one["id"] for one in found["data"]]
    assert [one["id"] for one in (await get(client, url))["data"]] == ids
    assert all(0 <= one < 2**31 for one in ids)
    for query, wanted in (
        ("search=BRAR", ["library"]),
        ("search=brar&exact=true", []),
        ("search=library&exact=true", ["library"]),
        ("search=%25", []),
        ("order=desc&sort_by=name", ["tool", "library"]),
        ("size=1&page=2", ["tool"]),
        ("build=no-such", []),
    ):
        assert names(await get(client, f"{url}/?{query}")) == wanted, query
    failed = await get(client, f"build/{await current(client, 'failed')}/packages/")
    assert (failed["data"], failed["count"]) == ([], 0)
    blocked = f"build/{await current(client, 'blocked')}/packages/"
    assert "compromised" in await refused(client, blocked, 403)


async def test_packages_of_channels_are_found_by_names_and_versions(client: Client) -> None:
    found = await get(client, "package/?search=TOO&distinct_on=name&page=1&size=100")
    assert names(found) == ["tool"]
    assert found["count"] == 1
    query = "search=tool&exact=true&distinct_on=version&sort_by=version"
    newest = await get(client, f"package/?{query}&order=desc")
    assert [one["version"] for one in newest["data"]] == ["2.0", "1.0"]
    assert newest["count"] == 2
    oldest = await get(client, f"package/?{query}")
    assert [one["version"] for one in oldest["data"]] == ["1.0", "2.0"]
    assert (await get(client, "package/?search=nothing-like-this"))["data"] == []
    assert (await get(client, "package/?search=too&size=1&page=900"))["data"] == []


async def test_where_builds_are_private_channels_are_for_those_who_see_something(
    client: Client,
) -> None:
    for path in ("channel/", "package/?search=tool"):
        await refused(client, path, 403, None)
        await refused(client, path, 403, CEM)
        await get(client, path, BOB)
        await get(client, path, ROOT)


async def test_usage_is_told_by_namespace_of_what_is_seen(client: Client) -> None:
    found = (await get(client, "usage/"))["data"]
    assert found.keys() == {"ada"}
    assert (found["ada"]["num_environments"], found["ada"]["num_builds"]) == (5, 6)
    assert found["ada"]["storage"] > 0
    assert (await get(client, "usage/", ROOT))["data"].keys() == {"ada", "Team One"}
    theirs = (await get(client, "usage/", BOB))["data"]
    assert theirs == {"ada": {"num_environments": 1, "num_builds": 2, "storage": None}}


async def test_who_sees_one_environment_is_told_of_that_alone(client: Client) -> None:
    assert names(await get(client, "environment/", BOB)) == ["notebook"]
    assert (await get(client, "build/", BOB))["count"] == 2
    assert names(await get(client, "namespace/", BOB)) == ["ada"]
    secret = await current(client, "other")
    await refused(client, "environment/ada/other", 404, BOB)
    for path in ("", "packages/"):
        theirs = await refused(client, f"build/{secret}/{path}", 404, BOB)
        nobodys = await refused(client, f"build/999999/{path}", 404, BOB)
        assert theirs.replace(str(secret), "N") == nobodys.replace("999999", "N")
    # Nor is anything told to those who have not logged in.
    for path in ("environment/", "build/", "namespace/", f"{FACE_2}/environment/"):
        assert (await get(client, path, None))["count"] == 0
    await refused(client, f"build/{secret}", 404, None)


async def test_what_was_deleted_is_told_no_more(client: Client) -> None:
    ids = {one["id"] for one in (await get(client, "build/", ROOT))["data"]}
    (gone,) = set(range(min(ids), max(ids))) - ids
    await refused(client, f"build/{gone}", 404)
    await refused(client, "environment/ada/gone", 404)


async def test_pages_that_cannot_be_are_refused_with_a_sentence(client: Client) -> None:
    for path in ("environment/", "build/", "namespace/", "package/", "channel/"):
        for query in ("page=0", "page=-1", "page=x", "size=0", "size=1e3", f"page={'9' * 30}"):
            assert "write a number" in await refused(client, f"{path}?{query}", 400)
        assert (await get(client, f"{path}?page=999999999"))["data"] == []
    number = await current(client, "notebook")
    for path in ("environment/", f"build/{number}/packages/", "package/"):
        assert "at most 200" in await refused(client, f"{path}?search={'x' * 60_000}", 400)
    many = "&".join(f"packages=tool{one}" for one in range(190))
    for path in ("environment/", "build/"):
        assert "at most 20" in await refused(client, f"{path}?{many}", 400)
        assert (await get(client, f"{path}?{'&'.join(many.split('&')[:20])}"))["count"] == 0
        await get(client, f"{path}?name={'x' * 60_000}&packages={'x' * 60_000}")
    await refused(client, "build/x", 404)
    await refused(client, f"build/{'9' * 30}", 404)


async def test_odd_cursors_are_refused(client: Client) -> None:
    def packed(content: Any) -> str:
        return base64.b64encode(json.dumps(content).encode()).decode().replace("=", "%3D")

    url = f"{FACE_2}/environment/"
    odd = (["x"], {"last_id": "x"}, {"last_id": 1, "last_value": {"name": 3}}, {"last_id": True})
    for cursor in ("xx", "%C3%A4", *map(packed, odd)):
        await refused(client, f"{url}?cursor={cursor}", 400)
    for content in ({"last_id": 10**40}, {"last_id": -1, "last_value": {"name": "\0"}}):
        await get(client, f"{url}?sort_by=name&cursor={packed(content)}")
    assert "namespace or name" in await refused(client, f"{url}?sort_by=bogus", 400)
    await refused(client, f"{url}?order=up", 400)
    await refused(client, f"{url}?limit=0", 400)
