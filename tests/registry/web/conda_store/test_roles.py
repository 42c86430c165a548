import pytest

from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    ROOT,
    made,
    make_notebook,
    send,
)
from tests.registry.web.conda_store.people import data, refusal

pytestmark = pytest.mark.anyio


ROLE = "/namespace/ada/role"


async def test_a_role_is_given_changed_told_and_taken(client: Client) -> None:
    await make_notebook(client)
    assert (
        await data(client, "POST", ROLE, ADA, {"other_namespace": "bob", "role": "viewer"}) is None
    )
    (told,) = [
        one
        for one in await data(client, "GET", "/namespace/ada/roles/", ADA)
        if one["other_namespace"] == "bob"
    ]
    assert told == {
        "id": told["id"],
        "namespace": "ada",
        "other_namespace": "bob",
        "role": "viewer",
    }
    assert (await send(client, "GET", f"{NAMESPACES}/ada", BOB)).status == 200
    again = {"other_namespace": "bob", "role": "editor"}
    assert (await refusal(client, "POST", ROLE, ADA, again))[0] == 400
    await data(client, "PUT", ROLE, ADA, again)
    found = await data(client, "GET", f"{ROLE}/?other_namespace=bob", BOB)
    assert found["role"] == "developer"
    await data(client, "DELETE", ROLE, ADA, {"other_namespace": "bob"})
    await data(client, "DELETE", ROLE, ADA, {"other_namespace": "bob"})
    assert (await refusal(client, "PUT", ROLE, ADA, again))[0] == 404
    assert (await refusal(client, "GET", f"{ROLE}?other_namespace=bob", ADA))[0] == 404
    assert (await send(client, "GET", f"{NAMESPACES}/ada", BOB)).status == 404


async def test_nobody_learns_by_roles_whose_a_namespace_is_that_they_do_not_see(
    client: Client,
) -> None:
    await make_notebook(client)
    await made(client, NAMESPACES, ROOT, {"name": "secret", "owner": "bob"})
    wanted = {"other_namespace": "secret", "role": "viewer"}
    told = await refusal(client, "PUT", ROLE, ADA, wanted)
    wanted["other_namespace"] = "nobody"
    assert told == tuple(
        one.replace("nobody", "secret") if isinstance(one, str) else one
        for one in await refusal(client, "PUT", ROLE, ADA, wanted)
    )
    wanted["other_namespace"] = "secret"
    await data(client, "POST", ROLE, ADA, wanted)
    names = [one["other_namespace"] for one in await data(client, "GET", "/namespace/ada/roles")]
    assert "bob" not in names


async def test_all_roles_are_taken_but_the_owners(client: Client) -> None:
    await make_notebook(client)
    await data(client, "POST", ROLE, ADA, {"other_namespace": "bob", "role": "admin"})
    await data(client, "DELETE", "/namespace/ada/roles", ADA)
    found = await data(client, "GET", "/namespace/ada/roles", ADA)
    assert [one["other_namespace"] for one in found] == ["ada"]


async def test_roles_elsewhere_are_given_by_those_who_may(client: Client) -> None:
    await make_notebook(client)
    await made(client, NAMESPACES, BOB, {"name": "bob"})
    mine = {"role_mappings": {"ada/*": ["admin"]}}
    status, _ = await refusal(client, "PUT", "/namespace/bob", BOB, mine)
    assert status == 404, "bob is nobody in ada, whatever he is at home"
    assert (await send(client, "GET", f"{NAMESPACES}/ada", BOB)).status == 404
    await data(client, "PUT", "/namespace/bob", ROOT, {"role_mappings": {"ada/*": ["developer"]}})
    found = await data(client, "GET", "/permission", BOB)
    assert found["entity_roles"] == {"ada/*": ["developer"], "bob/*": ["admin"]}
    told = (await data(client, "GET", "/namespace/bob", ROOT))["role_mappings"]
    assert [(one["entity"], one["role"]) for one in told] == [("ada/*", "developer")]
    await data(client, "PUT", "/namespace/bob", ROOT, {"role_mappings": {}})
    assert (await send(client, "GET", f"{NAMESPACES}/ada", BOB)).status == 404


async def test_what_is_no_role_is_refused(client: Client) -> None:
    await make_notebook(client)
    for body in (
        {},
        {"other_namespace": "bob"},
        {"other_namespace": "bob", "role": "owner"},
        {"other_namespace": "bob", "role": ["viewer"]},
        {"other_namespace": "", "role": "viewer"},
        {"other_namespace": {"a": 1}, "role": "viewer"},
        {"other_namespace": "\x00", "role": "viewer"},
        {"other_namespace": "x" * 5000, "role": "viewer"},
    ):
        for method in ("POST", "PUT"):
            status, _ = await refusal(client, method, ROLE, ADA, body)
            assert status in {400, 404, 422}, (method, body)
