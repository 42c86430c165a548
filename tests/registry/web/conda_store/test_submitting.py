import asyncio
import json
from typing import Any

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import ADA, BOB, NAMESPACES, NOTEBOOK, ROOT, made, send
from tests.registry.web.conda_store.people import API, bearer, token
from tests.registry.web.conda_store.site import built, ended, message, specification, submit

pytestmark = pytest.mark.anyio

CEM, DAN = basic("cem"), basic("dan")


@pytest.fixture(scope="module")
def client(shared: Client) -> Client:
    return shared


async def test_what_is_sent_is_there_at_once_and_built_by_and_by(client: Client) -> None:
    text = specification("notebook", "library", description="'Ada's: the first # one'")
    reply = await submit(client, text)
    assert reply.status == 200, reply
    assert reply.json() == {
        "status": "ok",
        "data": {"build_id": reply.json()["data"]["build_id"]},
        "message": None,
    }
    environment = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert (environment["name"], environment["description"]) == (
        "notebook",
        "Ada's: the first # one",
    )
    first = int(reply.json()["data"]["build_id"])
    assert await ended(client, first) == "built"
    # As it is edited: the description is what it was, and nobody has quoted it.
    second = await built(client, specification("notebook", "tool", description="so: it is"))
    assert second > first
    environment = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert (environment["active"], environment["description"]) == (2, "so: it is")
    kept = (await send(client, "GET", f"{NOTEBOOK}/versions/2/specification", ADA)).body
    assert kept.endswith(b'\nname: "notebook"\n')
    third = await built(client, specification("notebook", "library"))
    assert third > second
    assert (await send(client, "GET", NOTEBOOK, ADA)).json()["description"] == "so: it is"


async def test_all_who_send_the_first_at_once_get_a_build(client: Client) -> None:
    text = specification("first", "tool")
    replies = await asyncio.gather(
        *(submit(client, text, ROOT, namespace="crowd") for _ in range(4))
    )
    assert [reply.status for reply in replies] == [200] * 4, replies
    assert client.services.catalog is not None
    for reply in replies:  # the same one, as long as it waits or is made
        place = await client.services.catalog.build_ids.place(reply.json()["data"]["build_id"])
        assert place.path == "crowd/first"


async def test_names_are_kept_as_they_are_written(client: Client) -> None:
    number = await built(client, specification("Note_Book 2", "tool"), ROOT, namespace="Team@X")
    assert client.services.catalog is not None
    place = await client.services.catalog.build_ids.place(number)
    assert place.path == "team-x/note_book-2"
    again = await built(client, specification("Note_Book 2", "library"), ROOT, namespace="team-x")
    assert again > number


async def test_a_lock_file_is_built_as_it_is(client: Client) -> None:
    origin = f"{NAMESPACES}/ada/environments/origin"
    await built(client, specification("origin", "tool"))
    lock = (await send(client, "GET", f"{origin}/versions/1/lock", ADA)).body
    more: dict[str, Any] = {"is_lockfile": True, "environment_description": "locked"}
    message(await submit(client, lock.decode(), **more), 400)
    number = await built(client, lock.decode(), environment_name="copy", **more)
    assert client.services.catalog is not None
    place = await client.services.catalog.build_ids.place(number)
    assert place.path == "ada/copy"
    copied = (await send(client, "GET", f"{NAMESPACES}/ada/environments/copy", ADA)).json()
    assert (copied["description"], copied["active"]) == ("locked", 1)


async def test_a_namespace_is_made_for_whoever_may_have_it_and_for_nothing_else(
    client: Client,
) -> None:
    text = specification("a", "tool")
    told = message(await submit(client, text, BOB, namespace="cem"), 403)
    await made(client, NAMESPACES, CEM, {"name": "cem"})
    # Whether it is there is not told.
    assert message(await submit(client, text, BOB, namespace="cem"), 403) == told
    assert "log in" in message(await submit(client, text, None, namespace="cem"), 403)
    message(await submit(client, text, None), 403)
    message(await submit(client, "name: a\ndependencies: [tool]\nodd: 1", BOB), 400)
    assert (await send(client, "GET", f"{NAMESPACES}/bob", BOB)).status == 404
    assert (await submit(client, text, BOB)).status == 200
    assert (await send(client, "GET", f"{NAMESPACES}/bob/environments/a", BOB)).status == 200
    message(await submit(client, text, ROOT, namespace="conda-store"), 400)


async def test_editors_make_environments_in_shared_namespaces_and_viewers_do_not(
    client: Client,
) -> None:
    async def may_create(who: str) -> bool:
        """Return whether conda-store's interface shows the button."""
        told = (await send(client, "GET", f"{API}/permission/", who)).json()["data"]
        return "environment:create" in told["entity_permissions"]["team/*"]

    await made(client, NAMESPACES, ROOT, {"name": "team"})
    role = {"other_namespace": "bob", "role": "viewer"}
    assert (await send(client, "POST", f"{API}/namespace/team/role", ROOT, role)).status == 200
    text = specification("shared", "tool")
    assert "editor" in message(await submit(client, text, BOB, namespace="team"), 403)
    assert not await may_create(BOB)
    role["role"] = "developer"
    assert (await send(client, "PUT", f"{API}/namespace/team/role", ROOT, role)).status == 200
    assert await may_create(BOB)
    first = await built(client, text, BOB, namespace="team")
    second = await built(client, specification("shared", "library"), BOB, namespace="team")
    url = f"{API}/environment/team/shared/"
    reply = await send(client, "PUT", url, BOB, {"build_id": first, "description": "ours"})
    assert reply.status == 200, reply
    found = (await send(client, "GET", url, ROOT)).json()["data"]
    assert (found["current_build_id"], found["description"]) == (first, "ours")
    message(await send(client, "DELETE", f"{API}/build/{second}/", BOB), 403)
    message(await send(client, "DELETE", url, BOB), 403)


async def test_what_cannot_be_understood_is_refused_and_nothing_is_made(client: Client) -> None:
    bodies = (
        b"{",
        b"[]",
        b'{"specification": 1}',
        b'{"specification": "name: a", "namespace": ["a"]}',
        b'{"specification": "name: a\\ndependencies: [tool]", "is_lockfile": "maybe"}',
        b'{"specification": "{}", "is_lockfile": true, "environment_name": "a"}',
        b'{"specification": "\\ud800", "namespace": "dan"}',
        b'{"specification": "name: a\\ndependencies: [tool]", "namespace": "\\ud800"}',
        b'{"specification": "name: a\\ndependencies: [tool]", "namespace": "///"}',
        b'{"specification": "name: \'?\'\\ndependencies: [tool]", "namespace": "dan"}',
        b'{"specification": "name: a\\ndependencies: [tool]\\ndescription: \\"\\\\u0007\\""}',
        json.dumps({"specification": specification("a", "tool", description="x" * 5000)}).encode(),
        b"{}",
    )
    for body in bodies:
        assert message(await send(client, "POST", f"{API}/specification", DAN, body), 400), body
    assert (await send(client, "GET", f"{NAMESPACES}/dan", DAN)).status == 404
    await made(client, NAMESPACES, DAN, {"name": "dan"})
    for body in bodies:
        assert message(await send(client, "POST", f"{API}/specification", DAN, body), 400), body
    listed = await send(client, "GET", f"{NAMESPACES}/dan/environments", DAN)
    assert json.loads(listed.body)["items"] == []


async def test_who_names_no_namespace_means_that_of_their_token(client: Client) -> None:
    await made(client, NAMESPACES, ROOT, {"name": "robots"})
    given = bearer(await token(client, ROOT, primary_namespace="robots"))
    assert (await submit(client, specification("nightly", "tool"), given)).status == 200
    url = f"{NAMESPACES}/robots/environments/nightly"
    assert (await send(client, "GET", url, ROOT)).status == 200


async def test_settings_say_what_a_specification_leaves_empty(client: Client) -> None:
    await made(client, NAMESPACES, ROOT, {"name": "defaults"})
    sent = {"conda_default_packages": ["tool"]}
    assert (await send(client, "PUT", f"{API}/setting/defaults/", ROOT, sent)).status == 200
    assert (await submit(client, "name: a\n", ROOT, namespace="defaults")).status == 200
    url = f"{NAMESPACES}/defaults/environments/a/versions/1/specification"
    kept = (await send(client, "GET", url, ROOT)).body
    assert kept == b"name: a\ndependencies:\n- tool\n"
