"""What a specification would be, and what may be asked for, before anything is built."""

from urllib.parse import urlencode

import pytest

from tests.registry.asgi import Client
from tests.registry.web.api.catalog import ADA, BOB, NAMESPACES, make_notebook, send
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio

SOLVE = "/api/v1/solve"


async def test_a_specification_says_what_it_comes_to_and_builds_nothing(
    site: Site, client: Client
) -> None:
    reply = await client.post(SOLVE, wish("tool"))
    assert reply.status == 200, reply.body
    document = reply.json()
    assert document["name"] == "env/tool:latest"
    assert document["image"] == "registry.test/env/tool:latest"
    platform = document["platforms"]["linux-64"]
    assert platform["packages"] == len(platform["installed"]) == 2
    assert [one["name"] for one in platform["installed"] if one["is_requested"]] == ["tool"]
    assert platform["size_bytes"] == sum(layer["size_bytes"] for layer in platform["layers"]) > 0
    assert document["is_built"] is False
    assert site.files("locks") == site.files("solves") == site.files("requests") == []


async def test_what_was_tried_is_what_is_pulled_next_without_another_solve(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (await client.post(SOLVE, wish("tool"))).json()

    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is solved again")

    monkeypatch.setattr(type(client.services.builds.requests._making.builds), "_solve", refuse)
    pulled = await client.get("/v2/env/tool/manifests/latest", user_agent="docker/28.0")
    assert pulled.headers["pullforge-build"] == document["key"]
    again = (await client.post(SOLVE, wish("tool"))).json()
    assert again["is_built"] is True
    assert again["key"] == document["key"]


async def test_a_name_is_written_as_people_write_it_and_only_where_it_means_the_same(
    client: Client,
) -> None:
    two = (await client.post(SOLVE, wish("tool", "library"))).json()
    assert two["name"] == "env/library.tool:latest"
    with_variables = (await client.post(SOLVE, wish("tool", variables={"A": "b"}))).json()
    assert with_variables["name"] is None
    assert with_variables["image"] is None
    built = await build(client, b"name: x\ndependencies:\n- tool =1.0\n")
    said = (await client.post(SOLVE, b"name: x\ndependencies:\n- tool =1.0\n")).json()
    assert said["key"] == built.json()["key"]
    assert said["is_built"] is True


async def test_a_misspelt_name_is_an_error_at_its_line_with_what_may_be_meant(
    client: Client,
) -> None:
    body = b"channels: [main]\ndependencies:\n  - library  # needed\n  - toool\n"
    reply = await client.post(SOLVE, body)
    assert reply.status == 422
    error = reply.json()["error"]
    assert error["code"] == "UNKNOWN_PACKAGE"
    assert (error["field"], error["line"]) == ("dependencies[1]", 4)
    assert error["suggestions"] == ["tool"]


async def test_what_does_not_go_together_is_an_error_at_the_line_of_a_package(
    client: Client,
) -> None:
    reply = await client.post(SOLVE, b"dependencies:\n- library\n- tool =99\n")
    assert reply.status == 422
    error = reply.json()["error"]
    assert error["code"] == "UNSATISFIABLE"
    assert error["line"] == 3


async def test_what_cannot_be_read_is_an_error_at_its_line(client: Client) -> None:
    reply = await client.post(SOLVE, b"dependencies:\n- tool\n- 'a b c d e f'\n")
    assert reply.status == 400
    assert reply.json()["error"]["line"] == 3


async def test_strangers_have_so_many_solves_and_what_was_solved_costs_none(site: Site) -> None:
    async with site.open(new_images=2, new_images_per_minute=1) as client:
        assert (await client.post(SOLVE, wish("tool"))).status == 200
        assert (await client.post(SOLVE, wish("library"))).status == 200
        refused = await client.post(SOLVE, wish("tool", "library"))
        assert refused.status == 429
        assert "retry-after" in refused.headers
        assert (await client.post(SOLVE, wish("tool"))).status == 200


async def test_packages_are_found_by_parts_of_their_names_the_exact_one_first(
    client: Client,
) -> None:
    reply = await client.get("/api/v1/packages?search=TOOL")
    assert reply.status == 200, reply.body
    document = reply.json()
    assert document["items"][0] == {"name": "tool", "channels": ["main"]}
    assert document["unavailable"] == []
    inside = (await client.get("/api/v1/packages?search=ool&limit=1")).json()
    assert len(inside["items"]) == 1
    assert inside["count"] >= 1
    nothing = (await client.get("/api/v1/packages?search=nothing-like-it")).json()
    assert nothing == {"items": [], "count": 0, "unavailable": []}


async def test_a_package_tells_its_versions_newest_first(client: Client) -> None:
    document = (await client.get("/api/v1/packages/tool/versions")).json()
    assert [one["version"] for one in document["items"]] == ["2.0", "1.0"]
    assert document["items"][0]["channel"] == "main"
    assert document["items"][0]["platforms"] == ["linux-64"]
    none = (await client.get("/api/v1/packages/nothing/versions")).json()
    assert none["items"] == []


async def test_channels_are_told_by_priority_and_which_are_meant(site: Site) -> None:
    other = "http://127.0.0.1:9/channel"
    async with site.open(channels={"main": f"file://{site.channel}", "other": other}) as client:
        document = (await client.get("/api/v1/channels")).json()
    assert [one["name"] for one in document["items"]] == ["main", "other"]
    assert [one["is_default"] for one in document["items"]] == [True, False]
    assert document["platforms"] == ["linux-64"]


async def test_a_channel_that_does_not_answer_is_named_beside_what_the_others_have(
    site: Site,
) -> None:
    down = "http://127.0.0.1:9/channel"
    async with site.open(channels={"main": f"file://{site.channel}", "down": down}) as client:
        document = (await client.get("/api/v1/packages?search=tool")).json()
        assert document["unavailable"] == ["down"]
        assert document["items"][0]["name"] == "tool"


@pytest.mark.parametrize("path", ["packages", "packages/tool/versions"])
async def test_a_channel_that_there_is_not_is_refused_by_a_sentence(
    client: Client, path: str
) -> None:
    reply = await client.get(f"/api/v1/{path}?{urlencode({'channel': 'elsewhere'})}")
    assert reply.status == 422
    assert "offers main" in reply.json()["error"]["message"]


async def test_in_a_namespace_its_policies_hold_and_only_who_sees_it_may_ask(
    catalog_site: Site,
) -> None:
    text = b'[packages]\ndenied = ["tool ==2.0"]\n'
    async with catalog_site.open() as client:
        await make_notebook(client)
        put = await send(client, "PUT", f"{NAMESPACES}/ada/policy", ADA, text)
        assert put.status == 200, put.body
        there = f"{SOLVE}?namespace=ada&environment=notebook"
        mine = (await send(client, "POST", there, ADA, wish("tool"))).json()
        (tool,) = [
            one for one in mine["platforms"]["linux-64"]["installed"] if one["name"] == "tool"
        ]
        assert tool["version"] == "1.0"
        assert mine["policy"]["left_out"]
        assert mine["name"] is None
        refused = await send(client, "POST", there, ADA, wish("tool =2.0"))
        assert refused.status in {403, 422}
        assert refused.json()["error"]["refusal"]["packages"] == ["tool ==2.0"]
        everybody = (await client.post(SOLVE, wish("tool"))).json()
        assert everybody["key"] != mine["key"]
        for url in (there, f"{SOLVE}?namespace=nothing-there"):
            assert (await send(client, "POST", url, BOB, wish("tool"))).status == 404
            assert (await client.post(url, wish("tool"))).status == 401
        for path in ("channels", "packages", "packages/tool/versions"):
            url = f"/api/v1/{path}?namespace=ada"
            assert (await send(client, "GET", url, ADA)).status == 200
            assert (await send(client, "GET", url, BOB)).status == 404


async def test_a_channel_that_policies_do_not_allow_is_not_offered_where_they_hold(
    catalog_site: Site,
) -> None:
    channels = {"main": f"file://{catalog_site.channel}", "other": "http://127.0.0.1:9/channel"}
    async with catalog_site.open(channels=channels) as client:
        await make_notebook(client)
        put = await send(
            client, "PUT", f"{NAMESPACES}/ada/policy", ADA, b'[channels]\nallowed = ["main"]\n'
        )
        assert put.status == 200, put.body
        mine = (await send(client, "GET", "/api/v1/channels?namespace=ada", ADA)).json()
        assert [one["name"] for one in mine["items"]] == ["main"]
        found = (await send(client, "GET", "/api/v1/packages?search=t&namespace=ada", ADA)).json()
        assert found["unavailable"] == []
        assert [one["name"] for one in (await client.get("/api/v1/channels")).json()["items"]] == [
            "main",
            "other",
        ]
