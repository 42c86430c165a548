from typing import Any

import pytest

from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NOTEBOOK,
    ROOT,
    ask,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

VERSIONS = f"{NOTEBOOK}/versions"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def get(client: Client, url: str, who: str = ADA) -> Any:
    reply = await send(client, "GET", url, who)
    assert reply.status == 200, reply
    return reply.json()


async def test_a_version_tells_its_packages_beside_what_was_asked_for(client: Client) -> None:
    await make_notebook(client, wish("tool >=1"))
    found = await get(client, f"{VERSIONS}/1/packages")
    assert (found["environment"], found["version"]) == ("ada/notebook", 1)
    assert (found["platform"], found["platforms"]) == ("linux-64", ["linux-64"])
    assert (found["packages"], found["asked_by"], found["next"]) == (2, "specification", None)
    (wanted,) = found["requested"]
    assert (wanted["spec"], wanted["version"], wanted["because"]) == ("tool >=1", "2.0", None)
    library, tool = found["items"]
    assert (library["name"], library["channel"], library["is_requested"]) == (
        "library",
        "main",
        False,
    )
    assert (tool["name"], tool["is_requested"], tool["advisories"]) == ("tool", True, [])
    assert tool["size_bytes"] + library["size_bytes"] == found["size_bytes"]
    assert tool["published_at"].startswith("2025")


async def test_packages_come_in_pages_and_are_searched(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    url = f"{VERSIONS}/1/packages"
    first = await get(client, f"{url}?limit=1")
    assert [one["name"] for one in first["items"]] == ["library"]
    assert first["packages"] == 2
    reply = await send(client, "GET", f"{url}?limit=1&after={first['next']}", ADA)
    assert [one["name"] for one in reply.json()["items"]] == ["tool"]
    assert (reply.json()["next"], "link" in reply.headers) == (None, False)
    found = await get(client, f"{url}?search=BRAR")
    assert [one["name"] for one in found["items"]] == ["library"]
    found = await get(client, f"{url}?requested")
    assert [one["name"] for one in found["items"]] == ["tool"]
    assert (await get(client, f"{url}?advisories"))["items"] == []
    assert (await get(client, f"{url}?search=%25"))["items"] == []
    refused(await send(client, "GET", f"{url}?after=ä", ADA), 400, "CURSOR_INVALID")
    refused(await send(client, "GET", f"{url}?platform=win-64", ADA), 400, "PARAMETER_INVALID")
    other = await send(client, "GET", f"{url}?platform=linux-aarch64", ADA)
    assert "is for linux-64" in refused(other, 422, "LOCK_ERROR")


async def test_what_was_not_built_has_no_packages_and_no_layers(client: Client) -> None:
    await make_notebook(client)
    await ask(client, wish("nothing-like-this"))
    for part in ("packages", "layers"):
        reply = await send(client, "GET", f"{VERSIONS}/1/{part}", ADA)
        assert "is failed" in refused(reply, 409, "VERSION_NOT_BUILT")
        refused(await send(client, "GET", f"{VERSIONS}/7/{part}", ADA), 404, "VERSION_UNKNOWN")


async def test_a_blocked_build_shows_neither_packages_nor_layers(client: Client) -> None:
    version = await make_notebook(client, wish("tool"))
    block = {"key": version["key"], "reason": "it is compromised"}
    assert (await send(client, "POST", "/api/v1/blocks", ROOT, block)).status == 201
    for part in ("packages", "layers"):
        reply = await send(client, "GET", f"{VERSIONS}/1/{part}", ADA)
        assert "compromised" in refused(reply, 403, "BUILD_BLOCKED")
    details = (await get(client, f"{NOTEBOOK}?details"))["details"]
    assert "compromised" in details["blocked"]
    assert (await get(client, f"{VERSIONS}/1/progress"))["state"] == "built"


async def test_layers_have_their_packages_and_say_what_a_node_fetches(client: Client) -> None:
    await make_notebook(client, wish("library"))
    await ask(client, wish("tool"))
    first = await get(client, f"{VERSIONS}/1/layers")
    base, ours = first["layers"]
    assert (base["kind"], base["packages"], base["is_new"]) == ("base", [], None)
    assert (ours["kind"], ours["packages"]) == ("packages", ["library 1.0"])
    assert (first["fetched"], first["is_there"]) == (None, True)
    second = await get(client, f"{VERSIONS}/2/layers")
    assert [one["is_new"] for one in second["layers"]] == [False, True]
    assert (second["fetched"]["version"], second["fetched"]["layers"]) == (1, 1)
    diff = await get(client, f"{NOTEBOOK}/diff/1/2")
    assert second["fetched"]["bytes"] == diff["fetched_bytes"]["linux-64"]
    other = await send(client, "GET", f"{VERSIONS}/2/layers?platform=linux-aarch64", ADA)
    assert "is for linux-64" in refused(other, 422, "LOCK_ERROR")
    back = await get(client, f"{VERSIONS}/1/layers?before=2")
    assert back["fetched"]["version"] == 2
    url = f"/v2/ada/notebook/manifests/{second['digest']}"
    manifest = await send(client, "GET", url, ADA, accept="*/*")
    assert [one["digest"] for one in manifest.json()["layers"]] == [
        one["digest"] for one in second["layers"]
    ]


async def test_a_diff_says_which_way_packages_go(client: Client) -> None:
    await make_notebook(client, wish("library"))
    await ask(client, wish("tool"))
    diff = await get(client, f"{NOTEBOOK}/diff/1/2")
    (change,) = diff["packages"]["linux-64"]
    assert (change["name"], change["direction"], change["after"]) == ("tool", "added", "2.0 0")
    assert diff["counts"] == {"linux-64": {"added": 1}}
    assert diff["licences"] == {"linux-64": {"added": [], "removed": []}}
    back = await get(client, f"{NOTEBOOK}/diff/2/1?quick")
    assert back["counts"] == {"linux-64": {"removed": 1}}
    assert diff["base"] is None
    assert (diff["variables"], back["fetched_bytes"]) == ({}, back["fetched_bytes"])


async def test_a_list_says_how_environments_are_doing(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    await ask(client, wish("nothing-like-this"))
    for url in ("/api/v1/environments", "/api/v1/namespaces/ada/environments"):
        (one,) = (await get(client, f"{url}?details=1"))["items"]
        details = one["details"]
        assert (details["versions"], details["packages"], details["platforms"]) == (
            2,
            2,
            ["linux-64"],
        )
        assert (details["newest"]["state"], details["newest"]["percent"]) == ("failed", None)
        assert "nothing-like-this" in details["newest"]["message"]
        assert details["size_bytes"] > 1000
        assert (details["last_used_at"], details["findings"], details["blocked"]) == (None, 0, None)
        assert "details" not in (await get(client, url))["items"][0]


async def test_it_is_found_who_has_a_package_and_in_which_version(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    url = "/api/v1/packages/tool/environments"
    found = await get(client, url)
    (user,) = found["items"]
    assert (user["environment"], user["owner"], user["version"]) == ("ada/notebook", "ada", "2.0")
    assert found["versions"] == ["2.0"]
    assert len((await get(client, f"{url}?version=%3E%3D2,%3C3"))["items"]) == 1
    assert len((await get(client, f"{url}?version=2.0"))["items"]) == 1
    assert (await get(client, f"{url}?version=%3E2"))["items"] == []
    assert (await get(client, f"{url}?manager=pypi"))["items"] == []
    assert (await get(client, f"{url}?namespace=bob"))["items"] == []
    # Nothing tells somebody else that there is such a package.
    hidden = await get(client, url, BOB)
    assert (hidden["items"], hidden["versions"]) == ([], [])
    assert hidden == await get(client, "/api/v1/packages/tool/environments?version=9", BOB)
    assert len((await get(client, url, ROOT))["items"]) == 1
    reply = await send(client, "GET", f"{url}?version=%3E%3D%3D", ADA)
    assert "condition" in refused(reply, 400, "PARAMETER_INVALID")


async def test_what_a_policy_added_stands_beside_what_was_asked_for(client: Client) -> None:
    await make_notebook(client)
    text = b'[packages]\nrequired = [{ spec = "tool >=2", reason = "all have it" }]\n'
    reply = await send(client, "PUT", "/api/v1/policies/company", ROOT, text)
    assert reply.status == 200, reply
    await ask(client, wish("library"))
    found = await get(client, f"{VERSIONS}/1/packages?requested")
    library, tool = found["requested"]
    assert (library["name"], library["because"]) == ("library", None)
    assert (tool["name"], tool["version"]) == ("tool", "2.0")
    assert tool["because"] == "tool >=2 is added by policy 'company': all have it"
    assert [one["added_because"] for one in found["items"]] == [None, tool["because"]]
    assert [one["is_requested"] for one in found["items"]] == [True, False]


@pytest.mark.parametrize(
    ("package", "version", "said"),
    [
        ("pandas%3C3.5", "", "is no name of a package"),
        ("pandas", "foo+bar+", "is no condition"),
        ("pandas", "%3D%3E3", "is no condition"),
    ],
)
async def test_what_is_not_understood_is_not_answered_by_nobody(
    client: Client, package: str, version: str, said: str
) -> None:
    reply = await send(
        client, "GET", f"/api/v1/packages/{package}/environments?version={version}", ADA
    )
    assert reply.status == 400
    assert said in reply.json()["error"]["message"]
