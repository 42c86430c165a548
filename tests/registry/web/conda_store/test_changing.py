import json
from typing import Any

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, BOB, NAMESPACES, NOTEBOOK, ROOT, made, send
from tests.registry.web.api.conftest import Gate
from tests.registry.web.conda_store.people import API
from tests.registry.web.conda_store.site import built, ended, message, specification, submit

pytestmark = pytest.mark.anyio

ENVIRONMENT = f"{API}/environment/ada/notebook/"
CEM = basic("cem")


@pytest.fixture(scope="module")
def client(shared: Client) -> Client:
    return shared


async def put(client: Client, url: str, body: Any = None, who: str | None = ADA) -> Reply:
    return await send(client, "PUT", url, who, body)


async def environment(client: Client) -> Any:
    return (await send(client, "GET", NOTEBOOK, ADA)).json()


async def test_a_build_is_activated_and_an_environment_described(client: Client) -> None:
    first = await built(client, specification("notebook", "library"))
    second = await built(client, specification("notebook", "tool"))
    other = await built(client, specification("other", "tool"))
    reply = await put(client, ENVIRONMENT, {"build_id": first, "description": "mine"})
    assert (reply.status, reply.json()) == (200, {"status": "ok", "message": None})
    found = await environment(client)
    assert (found["active"], found["description"]) == (1, "mine")
    assert (await put(client, ENVIRONMENT, {"description": ""})).status == 200
    assert (await put(client, ENVIRONMENT.rstrip("/"), {"build_id": second})).status == 200
    found = await environment(client)
    assert (found["active"], found["description"]) == (2, "")
    for wrong in (other, 999, 2**62):
        told = message(await put(client, ENVIRONMENT, {"build_id": wrong}), 400)
        assert told == f"there is no build {wrong} of 'ada/notebook': choose one of its own"
    odd: list[Any] = [True, "x", -1, 0, 2**64, 1.5, []]
    for wrong in odd:
        message(await put(client, ENVIRONMENT, {"build_id": wrong}), 400)
    for odd_text in (1, "x" * 5000, "\a"):  # then nothing else of it is done either
        message(await put(client, ENVIRONMENT, {"build_id": first, "description": odd_text}), 400)
    assert (await environment(client))["active"] == 2
    message(await put(client, ENVIRONMENT, {"build_id": first}, BOB), 404)
    message(await put(client, ENVIRONMENT, {"build_id": first}, None), 403)
    message(await put(client, f"{API}/environment/ada/nothing", {"build_id": first}), 404)
    message(await put(client, f"{API}/environment/ada/%3F", {"build_id": first}), 404)


async def test_a_build_is_made_once_more(client: Client) -> None:
    first = await built(client, specification("again", "tool"))
    reply = await put(client, f"{API}/build/{first}/")
    assert reply.status == 200, reply
    document = reply.json()
    assert (document["status"], document["message"]) == ("ok", "rebuild triggered")
    again = document["data"]["build_id"]
    assert again > first
    assert await ended(client, again) == "unchanged"
    asked = [
        (
            await send(
                client,
                "GET",
                f"{NAMESPACES}/ada/environments/again/versions/{number}/specification",
                ADA,
            )
        ).body
        for number in (1, 2)
    ]
    assert asked[0] == asked[1]
    message(await put(client, f"{API}/build/{first}", who=BOB), 404)
    message(await put(client, f"{API}/build/x"), 404)
    message(await put(client, f"{API}/build/99999999999999999999"), 404)


async def test_a_build_is_cancelled_while_it_is_made(client: Client, gate: Gate) -> None:
    reply = await submit(client, specification("held", "tool >1"))  # which nobody else wants
    number = reply.json()["data"]["build_id"]
    await gate.arrived.wait()
    message(await put(client, f"{API}/build/{number}/cancel/", who=BOB), 404)
    message(await send(client, "DELETE", f"{API}/build/{number}/", ADA), 409)
    for _ in range(2):
        reply = await put(client, f"{API}/build/{number}/cancel/")
        told = {"status": "ok", "message": f"build {number} canceled"}
        assert (reply.status, reply.json()) == (200, told)
    gate.open.set()
    assert await ended(client, number) == "cancelled"


async def test_a_build_is_deleted_unless_it_is_the_active_one(client: Client) -> None:
    url, page = f"{API}/environment/ada/kept", f"{NAMESPACES}/ada/environments/kept"
    first = await built(client, specification("kept", "library"))
    second = await built(client, specification("kept", "tool"))
    assert "active" in message(await send(client, "DELETE", f"{API}/build/{second}/", ADA), 409)
    grant = {"subject_kind": "user", "subject": "bob", "environment": "kept", "role": "editor"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)
    message(await send(client, "DELETE", f"{API}/build/{first}/", BOB), 403)
    reply = await send(client, "DELETE", f"{API}/build/{first}/", ADA)
    assert (reply.status, reply.json()) == (200, {"status": "ok", "message": None})
    message(await send(client, "DELETE", f"{API}/build/{first}/", ADA), 404)
    message(await put(client, url, {"build_id": first}), 400)
    # It stays in the history, and comes back with whoever makes it active there.
    version = (await send(client, "GET", f"{page}/versions/1", ADA)).json()
    assert version["state"] == "built"
    assert version["freed_at"] is not None
    assert (await put(client, f"{page}/active", {"version": 1})).status == 200
    assert (await put(client, f"{API}/build/{first}/")).status == 200


async def test_environments_and_namespaces_are_deleted(client: Client) -> None:
    assert (await submit(client, specification("a", "tool"), CEM)).status == 200
    url = f"{API}/environment/cem/a/"
    message(await send(client, "DELETE", url, BOB), 404)
    reply = await send(client, "DELETE", url, CEM)
    assert (reply.status, reply.json()) == (200, {"status": "ok", "message": None})
    message(await send(client, "DELETE", url, CEM), 404)
    message(await send(client, "DELETE", f"{API}/namespace/cem/", BOB), 404)
    assert (await send(client, "DELETE", f"{API}/namespace/cem/", CEM)).status == 200
    message(await send(client, "DELETE", f"{API}/namespace/cem/", CEM), 404)


async def test_namespaces_are_made_and_noted_of(client: Client) -> None:
    url = f"{API}/namespace/Team%20A/"
    assert (await send(client, "POST", url, ROOT)).json() == {"status": "ok", "message": None}
    message(await send(client, "POST", url, ROOT), 409)
    message(await send(client, "POST", f"{API}/namespace/team-b/", BOB), 403)
    message(await send(client, "POST", f"{API}/namespace/bob", None), 403)
    message(await send(client, "POST", f"{API}/namespace/conda-store", ROOT), 400)
    note = {"purpose": {"rooms": [1, 2.5, None]}}
    assert (await put(client, url, {"metadata": note}, ROOT)).status == 200
    assert client.services.catalog is not None
    settings = client.services.catalog.conda_store_settings
    assert await settings.metadata("team-a") == note
    assert (await put(client, f"{url}metadata", {"other": True}, ROOT)).status == 200
    assert await settings.metadata("team-a") == {"other": True}
    assert (await put(client, url, {}, ROOT)).status == 200
    message(await put(client, url, {"metadata": note}, BOB), 404)
    message(await put(client, url, {"metadata": []}, ROOT), 400)
    message(await put(client, url, {"role_mappings": {"*/*": "admin"}}, ROOT), 400)
    message(await put(client, f"{API}/namespace/none/metadata", note, ROOT), 404)
    for odd in (b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\u0000"}', b'{"\\ud800": 1}'):
        message(await put(client, f"{url}metadata", odd, ROOT), 400)
    large = json.dumps({"a": "x" * 70_000}).encode()
    message(await put(client, f"{url}metadata", large, ROOT), 400)
    assert await settings.metadata("team-a") == {"other": True}
