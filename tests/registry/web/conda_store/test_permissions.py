from typing import Final

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
from tests.registry.web.conda_store.people import bearer, data

pytestmark = pytest.mark.anyio


#: As conda-store-server 2025.2.2 answers whoever has one role in a namespace.
VIEWER: Final = ["environment::read", "namespace-role-mapping::read", "namespace::read"]
DEVELOPER: Final = [
    *("build::cancel", "environment::read", "environment::solve", "environment::update"),
    *("environment:create", "namespace-role-mapping::read", "namespace::read", "setting::read"),
]
ADMIN: Final = [
    *("build::cancel", "build::delete", "environment::delete", "environment::read"),
    *("environment::solve", "environment::update", "environment:create"),
    *("namespace-role-mapping::create", "namespace-role-mapping::delete"),
    *("namespace-role-mapping::read", "namespace-role-mapping::update", "namespace::create"),
    *("namespace::delete", "namespace::read", "namespace::update", "setting::read"),
    "setting::update",
]
#: What conda-store does not tell editors: its interface lets them make environments by this alone.
CREATES: Final = "namespace::create"


async def test_each_role_is_told_as_conda_store_tells_it(client: Client) -> None:
    await made(client, NAMESPACES, ROOT, {"name": "Team X"})
    grants = f"{NAMESPACES}/team-x/grants"
    for role, told, permissions in (
        ("viewer", "viewer", VIEWER),
        ("editor", "developer", sorted([*DEVELOPER, CREATES])),
        ("admin", "admin", ADMIN),
    ):
        await made(client, grants, ROOT, {"subject": "bob", "role": role})
        found = await data(client, "GET", "/permission", BOB)
        assert found["entity_roles"]["Team X/*"] == [told]
        assert found["entity_permissions"]["Team X/*"] == permissions
    everything = await data(client, "GET", "/permission", ROOT)
    assert everything["entity_roles"] == {"*/*": ["admin"]}
    assert everything["entity_permissions"] == {"*/*": ADMIN}


async def test_whoever_has_a_part_of_a_namespace_is_told_of_that_part(client: Client) -> None:
    await make_notebook(client)
    given = {"subject": "bob", "role": "editor", "environment": "note*"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, given)
    found = await data(client, "GET", "/permission", BOB)
    assert found["entity_roles"] == {"ada/note*": ["developer"], "bob/*": ["admin"]}
    assert CREATES not in found["entity_permissions"]["ada/note*"]


async def test_a_stranger_is_told_of_what_is_public(client: Client) -> None:
    await make_notebook(client)
    found = await data(client, "GET", "/permission", None)
    assert found == {
        "authenticated": False,
        "primary_namespace": "default",
        "entity_permissions": {},
        "entity_roles": {},
        "expiration": None,
    }
    given = {"subject_kind": "everyone", "role": "viewer"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, given)
    found = await data(client, "GET", "/permission", None)
    assert found["entity_permissions"] == {"ada/*": VIEWER}


async def test_a_limited_token_is_told_what_it_may(client: Client) -> None:
    await make_notebook(client)
    scopes = {"name": "x", "scopes": ["ada/*:pull"], "expires_at": "2026-12-31T00:00:00Z"}
    secret = (await made(client, "/api/v1/tokens", ADA, scopes))["secret"]
    found = await data(client, "GET", "/permission", bearer(secret))
    assert found["entity_roles"] == {"ada/*": ["viewer"]}
    assert found["expiration"] == "2026-12-31T00:00:00"


async def test_the_namespace_of_ones_own_name_is_ones_own_before_it_is_there(
    client: Client,
) -> None:
    found = await data(client, "GET", "/permission", BOB)
    assert found["entity_roles"] == {"bob/*": ["admin"]}
    assert (await send(client, "POST", NAMESPACES, BOB, {"name": "bob"})).status == 201
    assert (await data(client, "GET", "/permission", BOB))["entity_roles"] == {"bob/*": ["admin"]}
