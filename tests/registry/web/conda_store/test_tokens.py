import datetime
from typing import Final

import pytest

from registry.auth.child_tokens import ChildToken
from registry.web.conda_store.tokens import read_place
from tests.registry.accounts import PASSWORD, basic
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
from tests.registry.web.conda_store.people import API, bearer, data, refusal, token

pytestmark = pytest.mark.anyio


async def test_a_token_may_what_its_maker_may_and_ends_after_a_day(client: Client) -> None:
    await make_notebook(client)
    made_one = await token(client)
    for who in (bearer(made_one), basic("anything", made_one)):
        found = await data(client, "GET", "/permission/", who)
        assert found["authenticated"]
        assert found["primary_namespace"] == "ada"
        assert found["entity_roles"] == {"ada/*": ["admin"]}
        assert (await send(client, "GET", f"{NAMESPACES}/ada", who)).status == 200
    ends = datetime.datetime.fromisoformat(found["expiration"])
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert ends.tzinfo is None
    assert now + datetime.timedelta(hours=23) < ends <= now + datetime.timedelta(days=1)


async def test_a_token_is_limited_to_what_was_asked_for(client: Client) -> None:
    await make_notebook(client)
    limited = await token(client, role_bindings={"ada/*": ["viewer"]}, primary_namespace="ada")
    found = await data(client, "GET", "/permission/", bearer(limited))
    assert found["entity_roles"] == {"ada/*": ["viewer"]}
    reply = await send(
        client, "POST", f"{NAMESPACES}/ada/environments", bearer(limited), {"name": "other"}
    )
    assert reply.status == 403
    nothing = await token(client, role_bindings={"ada/*": []})
    found = await data(client, "GET", "/permission/", bearer(nothing))
    assert found["entity_roles"] == {}


async def test_a_token_makes_no_token_that_outlives_it_or_may_more(client: Client) -> None:
    await make_notebook(client)
    limited = await token(client, role_bindings={"ada/*": ["viewer"]})
    status, sentence = await refusal(
        client, "POST", "/token", bearer(limited), {"role_bindings": {"ada/*": ["developer"]}}
    )
    assert status == 400
    assert "no more than you" in sentence
    again = await token(client, bearer(limited))
    assert (await data(client, "GET", "/permission", bearer(again)))["entity_roles"] == {
        "ada/*": ["viewer"]
    }
    later = {"expiration": "2100-01-01T00:00:00"}
    status, sentence = await refusal(client, "POST", "/token", bearer(limited), later)
    assert status == 400
    assert "no later than" in sentence
    reply = await send(client, "POST", "/api/v1/tokens", bearer(await token(client)), {"name": "x"})
    assert reply.status == 403, "it would outlive its parent"


async def test_a_token_ends_with_the_token_that_made_it(client: Client) -> None:
    await make_notebook(client)
    parent = await made(client, "/api/v1/tokens", ADA, {"name": "laptop"})
    secret = parent["secret"]
    child = await token(client, bearer(secret))
    await data(client, "GET", "/permission", bearer(child))
    assert (await send(client, "DELETE", f"/api/v1/tokens/{parent['id']}", ADA)).status in {
        200,
        204,
    }
    for path in ("/conda-store/api/v1/permission", "/api/v1/namespaces"):
        assert (await send(client, "GET", path, bearer(child))).status in {401, 403}


async def test_a_token_does_not_end_the_token_that_made_it(client: Client) -> None:
    parent = await made(client, "/api/v1/tokens", ADA, {"name": "laptop"})
    child = await token(client, bearer(parent["secret"]))
    for which in ("current", parent["id"]):
        reply = await send(client, "DELETE", f"/api/v1/tokens/{which}", bearer(child))
        assert reply.status in {403, 404}
    await data(client, "GET", "/permission", bearer(parent["secret"]))


async def test_what_was_made_with_a_login_is_no_login_as_a_cookie_either(client: Client) -> None:
    named = {"username": "ada", "password": PASSWORD}
    login = await send(client, "POST", "/conda-store/login/", None, named)
    name, _, value = login.headers["set-cookie"].partition(";")[0].partition("=")
    later = client.services.access.entitlements.now() + 3600
    short = await token(client, bearer(value), expiration=later - 3000)
    cookie = f"{name}={short}"
    found = await data(client, "GET", "/permission", None, cookie=cookie)
    assert found["authenticated"]
    asked = {"expiration": later}
    status, sentence = await refusal(client, "POST", "/token", None, asked, cookie=cookie)
    assert (status, "no later than" in sentence) == (400, True)
    assert (await send(client, "POST", "/conda-store/logout/", cookie=cookie)).status == 303
    own = f"{name}={value}"
    assert (await data(client, "GET", "/permission", None, cookie=own))["authenticated"]
    assert (await send(client, "POST", "/conda-store/logout/", cookie=own)).status == 303
    assert (await refusal(client, "GET", "/permission", bearer(value)))[0] == 403


async def test_a_service_asks_for_namespaces_that_need_not_be_there(client: Client) -> None:
    made_one = await token(
        client,
        ROOT,
        primary_namespace="Eve@x.org",
        role_bindings={"Eve@x.org/*": ["viewer"], "global-*/*": ["viewer"]},
    )
    found = await data(client, "GET", "/permission", bearer(made_one))
    assert found["primary_namespace"] == "Eve@x.org"
    assert found["entity_roles"] == {}
    own = await token(client, BOB, role_bindings={"bob/*": ["admin"]})
    assert (await data(client, "GET", "/permission", bearer(own)))["entity_roles"] == {}
    assert (await send(client, "POST", NAMESPACES, BOB, {"name": "bob"})).status == 201
    found = await data(client, "GET", "/permission", bearer(own))
    assert found["entity_roles"] == {"bob/*": ["admin"]}


#: What is more than ada has, or makes no sense.
REFUSED: Final[tuple[object, ...]] = (
    {"role_bindings": {"bob/*": ["viewer"]}},
    {"role_bindings": {"*/*": ["viewer"]}},
    {"role_bindings": {"a*/*": ["viewer"]}},
    {"role_bindings": {"ada/*": ["owner"]}},
    {"role_bindings": {"ada/*": "viewer"}},
    {"role_bindings": {"ada": ["viewer"]}},
    {"role_bindings": {"ada/*/*": ["viewer"]}},
    {"role_bindings": {"ada/\n*": ["viewer"]}},
    {"role_bindings": {"*" * 200 + "/*": ["viewer"]}},
    {"role_bindings": ["ada/*"]},
    {"role_bindings": {f"ada/x{number}": ["viewer"] for number in range(900)}},
    {"role_bindings": {f"ada/x{number}": ["viewer"] for number in range(9000)}},
    {"expiration": "never"},
    {"expiration": "2001-01-01T00:00:00"},
    {"expiration": 1e300},
    {"expiration": [1]},
    {"exp": "9999-12-31T23:59:59+00:00"},
    {"exp": True},
    {"primary_namespace": "../x"},
    {"primary_namespace": 5},
    b"[]",
    b"{",
    b"\xff",
)


async def test_what_is_more_than_one_has_or_makes_no_sense_is_refused(client: Client) -> None:
    await make_notebook(client)
    for body in REFUSED:
        status, sentence = await refusal(client, "POST", "/token/", ADA, body)
        assert status in {400, 413}, body
        assert sentence


async def test_whoever_has_not_logged_in_has_no_token_made(client: Client) -> None:
    assert (await refusal(client, "POST", "/token", None, {}))[0] == 403


async def test_an_administrators_token_for_everything_is_one(client: Client) -> None:
    whole = await token(client, ROOT, role_bindings={"*/*": ["admin"]})
    assert (await data(client, "GET", "/permission", bearer(whole)))["entity_roles"] == {
        "*/*": ["admin"]
    }
    seeing = await token(client, ROOT, role_bindings={"*/*": ["viewer"]})
    await make_notebook(client)
    found = await data(client, "GET", "/permission", bearer(seeing))
    assert found["entity_roles"] == {"ada/*": ["viewer"]}


async def test_the_command_lines_field_for_the_end_is_understood(client: Client) -> None:
    ends = (await data(client, "GET", "/permission", bearer(await token(client))))["expiration"]
    soon = datetime.datetime.fromisoformat(ends) - datetime.timedelta(hours=3)
    for field in ("exp", "expiration"):
        made_one = await token(client, **{field: soon.isoformat()})
        found = await data(client, "GET", "/permission", bearer(made_one))
        assert found["expiration"][:19] == soon.isoformat()[:19]


async def test_all_that_one_may_can_be_asked_for_as_it_is_told(client: Client) -> None:
    await make_notebook(client)
    await made(client, NAMESPACES, ROOT, {"name": "Team X", "owner": "ada"})
    told = await data(client, "GET", "/permission")
    made_one = await token(
        client,
        primary_namespace=told["primary_namespace"],
        role_bindings=told["entity_roles"],
        exp=told["expiration"],
    )
    found = await data(client, "GET", "/permission", bearer(made_one))
    assert found["entity_permissions"] == told["entity_permissions"]


async def test_docker_takes_a_token_as_a_password(client: Client) -> None:
    await make_notebook(client)
    limited = await token(client, role_bindings={"ada/*": ["viewer"]})
    scope = "/v2/token?service=pullforge&scope=repository:ada/other:pull,push"
    issued = (await send(client, "GET", scope, basic("ada", limited))).json()["token"]
    upload = "/v2/ada/other/blobs/uploads/"
    assert (await send(client, "POST", upload, bearer(issued))).status in {401, 403}
    assert (await send(client, "GET", "/v2/ada/other/tags/list", bearer(issued))).status in {
        200,
        404,
    }


def test_places_are_read_as_clients_write_them() -> None:
    assert read_place("*/*") == ("*", "*")
    assert API.endswith("v1")


async def test_a_token_loses_what_its_maker_loses_and_gains_nothing(client: Client) -> None:
    await make_notebook(client)
    grants = f"{NAMESPACES}/ada/grants"
    given = await made(client, grants, ADA, {"subject": "bob", "role": "editor"})
    whole = await token(client, BOB)
    editing = await token(client, BOB, role_bindings={"ada/*": ["developer"]})
    seeing = await token(client, bearer(editing), role_bindings={"ada/*": ["viewer"]})

    async def roles() -> list[dict[str, list[str]]]:
        tokens = (whole, editing, seeing)
        found = [await data(client, "GET", "/permission", bearer(one)) for one in tokens]
        return [one["entity_roles"] for one in found]

    own = {"bob/*": ["admin"]}
    assert await roles() == [
        {"ada/*": ["developer"], **own},
        {"ada/*": ["developer"]},
        {"ada/*": ["viewer"]},
    ]
    await made(client, grants, ADA, {"subject": "bob", "role": "admin"})
    assert await roles() == [
        {"ada/*": ["admin"], **own},
        {"ada/*": ["developer"]},
        {"ada/*": ["viewer"]},
    ]
    await made(client, grants, ADA, {"subject": "bob", "role": "viewer"})
    assert await roles() == [
        {"ada/*": ["viewer"], **own},
        {"ada/*": ["viewer"]},
        {"ada/*": ["viewer"]},
    ]
    for one in (await send(client, "GET", grants, ADA)).json()["items"]:
        if one["subject"] == "bob":
            await send(client, "DELETE", f"{grants}/{one['id']}", ADA)
    assert given["subject"] == "bob"
    assert await roles() == [own, {}, {}]


async def test_a_token_of_a_token_may_no_more_however_often_one_is_made(client: Client) -> None:
    await make_notebook(client)
    chain, wanted = await token(client), ["admin", "developer", "viewer"]
    for role in wanted:
        chain = await token(client, bearer(chain), role_bindings={"ada/*": [role]})
    for role in ("admin", "developer"):
        status, _ = await refusal(
            client, "POST", "/token", bearer(chain), {"role_bindings": {"ada/*": [role]}}
        )
        assert status == 400
    for place in ("*/*", "ada/*/*", "a*/*", "bob/*"):
        asked = {"role_bindings": {place: ["viewer"]}}
        assert (await refusal(client, "POST", "/token", bearer(chain), asked))[0] == 400
    for method, path in (
        ("DELETE", "/environment/ada/notebook"),
        ("PUT", "/namespace/ada"),
        ("PUT", "/setting/ada"),
        ("POST", "/specification"),
    ):
        body = {"namespace": "ada", "specification": "name: a\ndependencies: [tool]"}
        status, _ = await refusal(client, method, path, bearer(chain), body)
        assert status == 403, path
    chain = await token(client, bearer(chain), role_bindings={"ada/note*": ["viewer"]})
    asked = {"role_bindings": {"ada/notebook": ["viewer"]}}
    status, sentence = await refusal(client, "POST", "/token", bearer(chain), asked)
    assert (status, "4 times at most" in sentence) == (400, True)


async def test_a_token_that_has_ended_is_none_at_any_address(client: Client) -> None:
    await make_notebook(client)
    access = client.services.access
    identity = access.named("ada").identity
    assert identity is not None
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    ended = access.write_child(ChildToken("ada", None, identity.generation, (), past))
    assert (await refusal(client, "GET", "/permission", bearer(ended)))[0] == 403
    assert (await refusal(client, "POST", "/token", basic("ada", ended), {}))[0] == 403
    assert (await refusal(client, "GET", f"/environment?jwt={ended}", ADA))[0] == 403
    assert (await send(client, "GET", NAMESPACES, bearer(ended))).status == 401
    login = {"username": "ada", "password": ended}
    assert (await send(client, "POST", "/conda-store/login/", None, login)).status == 403
