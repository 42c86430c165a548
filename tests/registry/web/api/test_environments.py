import json

import pytest

from registry.errors import ParameterInvalid
from registry.web.api.models import NewEnvironment, parse_body
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    made,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

ENVIRONMENTS = f"{NAMESPACES}/ada/environments"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def test_an_environment_is_made_from_a_file_and_found_by_what_is_in_it(
    client: Client,
) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    reply = await send(client, "POST", f"{ENVIRONMENTS}?name=Note%20book", ADA, wish("tool"))
    document = reply.json()
    assert reply.status == 201
    assert reply.headers["location"] == f"{ENVIRONMENTS}/note-book"
    assert document["image"] == "registry.test/ada/note-book"
    assert document["version"]["number"] == 1
    url = f"{ENVIRONMENTS}/note-book/versions"
    version = await send(client, "POST", url, ADA, wish("tool"), prefer="wait=25")
    assert (version.status, version.json()["state"]) == (200, "built")
    search = "/api/v1/environments"
    found = (await send(client, "GET", f"{search}?package=library", ADA)).json()["items"]
    assert [one["path"] for one in found] == ["ada/note-book"]
    for query in ("package=nothing", "package=library&version=99", "search=other"):
        assert (await send(client, "GET", f"{search}?{query}", ADA)).json()["items"] == []
    assert (await send(client, "GET", f"{search}?package=library", BOB)).json()["items"] == []
    refused(await send(client, "GET", f"{search}?version=1.0", ADA), 400, "PARAMETER_INVALID")


async def test_what_cannot_be_read_makes_nothing(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    reply = await send(client, "POST", f"{ENVIRONMENTS}?name=x", ADA, b"dependencies: [")
    refused(reply, 400, "INPUT_ERROR")
    reply = await send(client, "POST", f"{ENVIRONMENTS}?name=---", ADA, wish("tool"))
    refused(reply, 400, "CATALOG_NAME_INVALID")
    assert (await send(client, "GET", ENVIRONMENTS, ADA)).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x", "description": "y" * 4001}, "description"),
        ({"name": "a\nb"}, "name"),
        ({}, "name"),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_a_body_that_means_nothing_is_told_by_its_field(body: object, field: str | None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ParameterInvalid) as caught:
        parse_body(NewEnvironment, data)
    assert caught.value.field == field
    assert "\n" not in caught.value.message


async def test_an_environment_is_changed_by_who_has_read_it(client: Client) -> None:
    await make_notebook(client)
    tag = (await send(client, "GET", NOTEBOOK, ADA)).headers["etag"]
    changed = await send(client, "PATCH", NOTEBOOK, ADA, {"description": "of ada"}, if_match=tag)
    assert (changed.status, changed.json()["description"]) == (200, "of ada")
    assert changed.headers["etag"] != tag
    late = await send(client, "PATCH", NOTEBOOK, ADA, {"description": "old"}, if_match=tag)
    refused(late, 412, "REVISION_CONFLICT")
    odd = await send(client, "PATCH", NOTEBOOK, ADA, {"description": "old"}, if_match="odd")
    refused(odd, 400, "PARAMETER_INVALID")
    late = await send(client, "DELETE", NOTEBOOK, ADA, if_match=tag)
    refused(late, 412, "REVISION_CONFLICT")
    assert (await send(client, "PATCH", NOTEBOOK, ADA, {"name": "book"})).status == 200
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 404
    assert (await send(client, "GET", f"{ENVIRONMENTS}/book", ADA)).status == 200


async def test_an_environment_is_deleted_and_restored(client: Client) -> None:
    await make_notebook(client)
    assert (await send(client, "DELETE", NOTEBOOK, ADA)).status == 204
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 404
    (kept,) = (await send(client, "GET", f"{ENVIRONMENTS}?deleted", ADA)).json()["items"]
    assert kept["deleted_at"] is not None
    assert (await send(client, "GET", f"{ENVIRONMENTS}?deleted=only", ADA)).json()["items"] == [
        kept
    ]
    assert (await send(client, "POST", f"{NOTEBOOK}/restore", BOB)).status == 404
    restored = await send(client, "POST", f"{NOTEBOOK}/restore", ADA)
    assert (restored.status, restored.json()["deleted_at"]) == (200, None)
    assert (await send(client, "GET", f"{ENVIRONMENTS}?deleted=only", ADA)).json()["items"] == []


async def test_moving_and_copying_need_a_role_there_too(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    await made(client, NAMESPACES, ROOT, {"name": "team", "owner": "bob"})
    url, target = f"{NOTEBOOK}/copy", {"namespace": "team"}
    refused(await send(client, "POST", url, ADA, target), 404, "NAMESPACE_UNKNOWN")
    await made(client, f"{NAMESPACES}/team/grants", BOB, {"subject": "ada", "role": "viewer"})
    refused(await send(client, "POST", url, ADA, target), 403, "DENIED")
    await made(client, f"{NAMESPACES}/team/grants", BOB, {"subject": "ada", "role": "editor"})
    copied = await send(client, "POST", url, ADA, target)
    assert (copied.status, copied.json()["path"]) == (201, "team/notebook")
    version = (await send(client, "GET", f"{copied.json()['links']['active']}", BOB)).json()
    assert version["image"] == "registry.test/team/notebook:v1"
    refused(await send(client, "POST", f"{NOTEBOOK}/move", ADA, target), 409, "CATALOG_NAME_TAKEN")
    moved = await send(client, "POST", f"{NOTEBOOK}/move", ADA, {**target, "name": "forecast"})
    assert (moved.status, moved.json()["path"]) == (200, "team/forecast")
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 404
    refused(
        await send(
            client,
            "POST",
            f"{NAMESPACES}/team/environments/forecast/move",
            ADA,
            {"namespace": "ada"},
        ),
        403,
        "DENIED",
    )


async def test_whoever_asks_is_told_why_they_may(client: Client) -> None:
    await make_notebook(client)
    await made(client, f"{NAMESPACES}/ada/grants", ADA, {"subject": "bob", "role": "editor"})
    access = (await send(client, "GET", f"{NOTEBOOK}/access", BOB)).json()
    assert (access["user"], access["role"]) == ("bob", "editor")
    assert access["may"]["change, build, activate"]
    assert not access["may"]["give roles"]
    assert any(reason.startswith("editor, by ada, ") for reason in access["reasons"])
    assert (await send(client, "GET", f"{NOTEBOOK}/access", ROOT)).json()["role"] == "owner"


async def test_a_list_goes_on_until_its_end_at_every_page_size(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    for number in range(7):
        await made(client, ENVIRONMENTS, ADA, {"name": f"e{number}"})
    for path in (ENVIRONMENTS, "/api/v1/environments", f"{NAMESPACES}/ada/events"):
        for limit in (1, 3, 7, 100):
            found: list[object] = []
            url = f"{path}?limit={limit}"
            while url:
                reply = await send(client, "GET", url, ADA)
                assert reply.status == 200, reply
                page = reply.json()
                found += [one.get("path") or one["id"] for one in page["items"]]
                assert len(page["items"]) <= limit
                assert ("link" in reply.headers) == (page["next"] is not None)
                link = reply.headers.get("link", "")
                url = link.removeprefix("<").removesuffix('>; rel="next"')
            assert len(found) == len(set(found)) >= 7
    for query in (
        "limit=0",
        "limit=101",
        "limit=x",
        "after=%00",
        "after=",
        "odd=1",
        "limit=1&limit=2",
    ):
        reply = await send(client, "GET", f"{ENVIRONMENTS}?{query}", ADA)
        assert reply.status == 400, (query, reply)


async def test_what_is_public_is_seen_by_everybody_and_changed_by_nobody(client: Client) -> None:
    await make_notebook(client)
    body = {"subject_kind": "everyone", "role": "viewer"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, body)
    assert (await send(client, "GET", NOTEBOOK)).status == 200
    assert len((await send(client, "GET", "/api/v1/environments")).json()["items"]) == 1
    refused(await send(client, "DELETE", NOTEBOOK), 401, "UNAUTHORIZED")
    refused(await send(client, "DELETE", NOTEBOOK, BOB), 403, "DENIED")
    refused(
        await send(client, "GET", f"{NAMESPACES}/ada/environments?deleted"), 401, "UNAUTHORIZED"
    )
