"""People, groups, roles and logins of browsers: who may see and change them, and what it does."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from registry.auth.secret import hash_secret, new_token
from registry.catalog.services import CatalogServices
from registry.errors import LoginRefused
from tests.registry.accounts import HASH, basic, write_policy
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
    write_users,
)
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

USERS, GROUPS, SESSIONS = "/api/v1/users", "/api/v1/groups", "/api/v1/sessions"
GRANTS, TOKENS, ME = "/api/v1/grants", "/api/v1/tokens", "/api/v1/users/me"
EVE = basic("eve")


@pytest.fixture
async def client(catalog_site: Site) -> AsyncIterator[Client]:
    async with catalog_site.open() as client:
        yield client


def catalog_of(client: Client) -> CatalogServices:
    assert client.services.catalog is not None
    return client.services.catalog


async def listed(client: Client, url: str, who: str = ROOT) -> list[Any]:
    reply = await send(client, "GET", url, who)
    assert reply.status == 200, reply
    items: list[Any] = reply.json()["items"]
    return items


async def disable(client: Client, name: str, who: str = ROOT, **more: Any) -> Any:
    reply = await send(client, "PATCH", f"{USERS}/{name}", who, {"disabled": True, **more})
    assert reply.status == 200, reply
    return reply.json()


# Who there is.


async def test_people_are_listed_by_name_whichever_store_they_are_in(
    client: Client, catalog_site: Site
) -> None:
    catalog = catalog_of(client)
    for name in ("Zoe", "zoe", "ä", "eve"):
        await catalog.principals.log_in_oidc("https://id.example", name, name)
    await made(client, TOKENS, ROOT, {"name": "x", "kind": "robot", "user": "nodes"})
    names = ["Zoe", "ada", "bob", "eve", "nodes", "root", "zoe", "ä"]
    assert [one["name"] for one in await listed(client, USERS)] == names
    found, url = [], f"{USERS}?limit=3"
    while True:
        page = (await send(client, "GET", url, ROOT)).json()
        found += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        url = f"{USERS}?limit=3&after={page['next']}"
    assert found == names
    robots = await listed(client, f"{USERS}?kind=robot")
    assert [(one["name"], one["source"]) for one in robots] == [("nodes", "database")]
    assert [one["name"] for one in await listed(client, f"{USERS}?search=ZO")] == ["Zoe", "zoe"]
    await disable(client, "bob")
    assert [one["name"] for one in await listed(client, f"{USERS}?disabled")] == ["bob"]
    assert "bob" not in {one["name"] for one in await listed(client, f"{USERS}?disabled=false")}


async def test_somebody_is_told_with_groups_role_and_what_the_file_gives(client: Client) -> None:
    root = (await send(client, "GET", f"{USERS}/root", ROOT)).json()
    assert (root["is_in_file"], root["rights"], root["service_role"]) == (
        True,
        ["**:*"],
        "administrator",
    )
    assert root["created_at"] is None
    await send(client, "PUT", f"{GROUPS}/data/members/ada", ROOT)
    ada = (await send(client, "GET", f"{USERS}/ada", ROOT)).json()
    assert ada["groups"] == [{"group": "data", "source": "local"}]
    refused(await send(client, "GET", f"{USERS}/nobody", ROOT), 404, "PRINCIPAL_UNKNOWN")
    refused(await send(client, "GET", f"{USERS}/ada", ADA), 403, "DENIED")
    refused(await send(client, "GET", f"{USERS}/ada"), 401, "UNAUTHORIZED")


# Letting in or not.


async def test_whoever_is_disabled_is_refused_at_every_door_at_once(client: Client) -> None:
    await make_notebook(client)
    secret = (await made(client, TOKENS, ADA, {"name": "laptop"}))["secret"]
    limited = (await made(client, TOKENS, ADA, {"name": "x", "scopes": ["ada/**:pull"]}))["secret"]
    catalog = catalog_of(client)
    browser = await catalog.sessions.open("ada", "192.0.2.1")
    bearer = []
    for credentials in (ADA, basic("ada", secret)):
        url = "/v2/token?service=x&scope=repository:ada/notebook:pull"
        reply = await client.get(url, authorization=credentials)
        bearer.append(f"Bearer {reply.json()['token']}")
    assert (await client.get("/v2/", authorization=bearer[0])).status == 200
    assert catalog.sessions.owner(browser) == "ada"

    account = await disable(client, "ada")
    assert account["disabled_at"] is not None
    assert account["service_role"] is None
    assert catalog.sessions.owner(browser) is None
    doors = ("/v2/", "/v2/_catalog", "/v2/ada/notebook/tags/list", ME, NOTEBOOK, TOKENS, NAMESPACES)
    for who in (ADA, f"Bearer {secret}", f"Bearer {limited}", basic("ada", secret), *bearer):
        for url in doors:
            if url.startswith("/api/") and who in bearer:
                continue  # for images alone, whoever has it
            assert (await client.get(url, authorization=who)).status == 401, (who[:12], url)
    assert (await client.get("/v2/token", authorization=ADA)).status == 401
    form = b"grant_type=password&username=ada&password=x&service=x"
    assert (await client.post("/v2/token", form)).status == 401

    reply = await send(client, "PATCH", f"{USERS}/ada", ROOT, {"disabled": False})
    assert reply.json()["disabled_at"] is None
    assert (await client.get(ME, authorization=f"Bearer {secret}")).status == 200
    assert catalog.sessions.owner(browser) is None


async def test_tokens_end_for_good_if_that_is_said(client: Client) -> None:
    secret = (await made(client, TOKENS, ADA, {"name": "laptop"}))["secret"]
    other = (await made(client, TOKENS, BOB, {"name": "laptop"}))["secret"]
    await disable(client, "ada", end_tokens=True)
    await send(client, "PATCH", f"{USERS}/ada", ROOT, {"disabled": False})
    assert (await client.get(ME, authorization=f"Bearer {secret}")).status == 401
    assert (await client.get(ME, authorization=f"Bearer {other}")).status == 200
    body = {"disabled": False, "end_tokens": True}
    refused(await send(client, "PATCH", f"{USERS}/ada", ROOT, body), 400, "PARAMETER_INVALID")
    refused(
        await send(client, "PATCH", f"{USERS}/nobody", ROOT, {"disabled": True}),
        404,
        "PRINCIPAL_UNKNOWN",
    )


async def test_nothing_is_made_for_whoever_is_disabled_that_would_be_good_later(
    client: Client,
) -> None:
    await disable(client, "ada")
    catalog = catalog_of(client)
    with pytest.raises(LoginRefused):
        await catalog.sessions.open("ada", "192.0.2.1")
    with pytest.raises(LoginRefused):
        await catalog.sessions.create_token("ada", "pullforge login", "192.0.2.1")
    body = {"name": "x", "user": "ada"}
    assert "disabled" in refused(
        await send(client, "POST", TOKENS, ROOT, body), 403, "LOGIN_REFUSED"
    )


async def test_a_robot_of_the_auth_file_is_disabled_too(catalog_site: Site) -> None:
    secret = new_token()
    write_policy(
        catalog_site.root / "auth.toml",
        *("[users.root]", f"hash = '{HASH}'", 'rights = ["**:*"]'),
        *("[tokens.nodes]", f"hash = '{hash_secret(secret)}'", 'rights = ["team/*:pull"]'),
    )
    async with catalog_site.open() as client:
        robot = (await listed(client, f"{USERS}?kind=robot"))[0]
        assert (robot["name"], robot["source"], robot["rights"]) == (
            "nodes",
            "file",
            ["team/*:pull"],
        )
        for who in (basic("nodes", secret), f"Bearer {secret}"):
            assert (await client.get("/v2/", authorization=who)).status == 200
        await disable(client, "nodes")
        for who in (basic("nodes", secret), f"Bearer {secret}"):
            assert (await client.get("/v2/", authorization=who)).status == 401


async def test_nobody_disables_themselves(client: Client) -> None:
    reply = await send(client, "PATCH", f"{USERS}/root", ROOT, {"disabled": True})
    assert "nobody disables themselves" in refused(reply, 403, "DENIED")
    secret = (await made(client, TOKENS, ROOT, {"name": "laptop"}))["secret"]
    reply = await send(client, "PATCH", f"{USERS}/root", f"Bearer {secret}", {"disabled": True})
    refused(reply, 403, "DENIED")
    # Nor by another spelling, which some columns take for the same.
    for url in (f"{USERS}/root%00", f"{USERS}/%00root", f"{USERS}/root%20", f"{USERS}/ROOT"):
        reply = await send(client, "PATCH", url, ROOT, {"disabled": True})
        refused(reply, 404, "PRINCIPAL_UNKNOWN")
    assert (await send(client, "GET", ME, ROOT)).status == 200


async def test_the_last_administrator_stays(client: Client, catalog_site: Site) -> None:
    await made(client, GRANTS, ROOT, {"subject": "nodes", "role": "administrator"})
    robot = await made(client, TOKENS, ROOT, {"name": "x", "kind": "robot", "user": "nodes"})
    nodes = f"Bearer {robot['secret']}"
    reply = await send(client, "PATCH", f"{USERS}/root", nodes, {"disabled": True})
    told = refused(reply, 409, "LAST_ADMINISTRATOR")
    assert "'root' is the last administrator of the service" in told
    assert (await send(client, "GET", ME, ROOT)).status == 200
    # A grant to whom nobody knows, one that has ended, and somebody disabled are none.
    ends = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    await made(client, GRANTS, ROOT, {"subject": "unborn", "role": "administrator"})
    body = {"subject": "bob", "role": "administrator", "expires_at": ends}
    await made(client, GRANTS, ROOT, body)
    await send(client, "PATCH", f"{USERS}/bob", ROOT, {"disabled": True})
    reply = await send(client, "PATCH", f"{USERS}/root", nodes, {"disabled": True})
    refused(reply, 409, "LAST_ADMINISTRATOR")
    await send(client, "PATCH", f"{USERS}/bob", ROOT, {"disabled": False})
    await disable(client, "root", nodes)
    # Now bob is the last one: neither his role, nor his account, goes.
    (grant,) = [one for one in await listed(client, GRANTS, BOB) if one["subject"] == "bob"]
    url = f"{GRANTS}/{grant['id']}"
    refused(await send(client, "DELETE", url, BOB), 409, "LAST_ADMINISTRATOR")
    body = {"subject": "bob", "role": "auditor"}
    refused(await send(client, "POST", GRANTS, BOB, body), 409, "LAST_ADMINISTRATOR")
    assert (await send(client, "GET", ME, BOB)).json()["service_role"] == "administrator"


async def test_of_two_administrators_who_disable_each_other_one_stays(client: Client) -> None:
    for name in ("ada", "bob"):
        await made(client, TOKENS, basic(name), {"name": "x"})
        await made(client, GRANTS, ROOT, {"subject": name, "role": "administrator"})
    await disable(client, "root", ADA)
    replies = await asyncio.gather(
        send(client, "PATCH", f"{USERS}/bob", ADA, {"disabled": True}),
        send(client, "PATCH", f"{USERS}/ada", BOB, {"disabled": True}),
    )
    assert sorted(reply.status for reply in replies) in ([200, 401], [200, 409])
    alive = [(await send(client, "GET", ME, basic(name))).status for name in ("ada", "bob")]
    assert sorted(alive) == [200, 401]


async def test_the_last_administrator_by_a_group_stays_in_it(client: Client) -> None:
    for name in ("ada", "bob"):
        await made(client, TOKENS, basic(name), {"name": "x"})
        reply = await send(client, "PUT", f"{GROUPS}/it/members/{name}", ROOT)
        assert reply.json()["source"] == "local"
    body = {"subject_kind": "group", "subject": "it", "role": "administrator"}
    grant = await made(client, GRANTS, ROOT, body)
    await disable(client, "root", ADA)
    assert (await send(client, "DELETE", f"{GROUPS}/it/members/bob", ADA)).status == 204
    url = f"{GROUPS}/it/members/ada"
    refused(await send(client, "DELETE", url, ADA), 409, "LAST_ADMINISTRATOR")
    url = f"{GRANTS}/{grant['id']}"
    refused(await send(client, "DELETE", url, ADA), 409, "LAST_ADMINISTRATOR")
    refused(await send(client, "DELETE", f"{GROUPS}/it", ADA), 409, "GROUP_HAS_ROLES")
    assert (await send(client, "GET", ME, ADA)).json()["service_role"] == "administrator"


async def test_who_was_removed_from_the_file_is_no_administrator_any_more(
    client: Client, catalog_site: Site
) -> None:
    await made(client, TOKENS, BOB, {"name": "x"})
    for name in ("bob", "nodes"):
        await made(client, GRANTS, ROOT, {"subject": name, "role": "administrator"})
    robot = await made(client, TOKENS, ROOT, {"name": "x", "kind": "robot", "user": "nodes"})
    write_users(catalog_site, "ada")
    async with asyncio.timeout(10):
        while (await send(client, "GET", ME, BOB)).status != 401:
            await catalog_of(client).follower.changed(0.2)
    reply = await send(
        client, "PATCH", f"{USERS}/root", f"Bearer {robot['secret']}", {"disabled": True}
    )
    refused(reply, 409, "LAST_ADMINISTRATOR")


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("PATCH", f"{USERS}/bob", {"disabled": True}),
        ("PUT", f"{GROUPS}/it", None),
        ("DELETE", f"{GROUPS}/it", None),
        ("PUT", f"{GROUPS}/it/members/bob", None),
        ("DELETE", f"{GROUPS}/it/members/bob", None),
        ("GET", SESSIONS, None),
        ("GET", f"{SESSIONS}?user=bob", None),
        ("DELETE", SESSIONS, None),
        ("DELETE", f"{SESSIONS}?user=bob", None),
        ("DELETE", f"{SESSIONS}/1", None),
        ("GET", f"{ME}/roles", None),
    ],
)
async def test_limited_tokens_do_none_of_it_not_even_an_administrators(
    client: Client, method: str, url: str, body: Any
) -> None:
    made_ = await made(client, TOKENS, ROOT, {"name": "all", "scopes": ["**:*"]})
    who = f"Bearer {made_['secret']}"
    told = refused(await send(client, method, url, who, body), 403, "DENIED")
    assert "a token that is limited to some rights" in told
    assert (await send(client, "GET", ME, BOB)).status == 200


async def test_an_auditor_sees_all_of_it_and_changes_nothing(client: Client) -> None:
    await made(client, GRANTS, ROOT, {"subject": "bob", "role": "auditor"})
    await send(client, "PUT", f"{GROUPS}/it", ROOT)
    reading = (USERS, f"{USERS}/ada", f"{USERS}/ada/roles", GROUPS, f"{GROUPS}/it")
    for url in (*reading, f"{GROUPS}/it/members", f"{SESSIONS}?user=ada", "/api/v1/queue"):
        assert (await send(client, "GET", url, BOB)).status == 200, url
        if "user=ada" not in url:
            refused(await send(client, "GET", url, ADA), 403, "DENIED")
    for method, url in (
        ("PUT", f"{GROUPS}/x"),
        ("DELETE", f"{GROUPS}/it"),
        ("PUT", f"{GROUPS}/it/members/bob"),
        ("DELETE", f"{SESSIONS}?user=ada"),
    ):
        refused(await send(client, method, url, BOB), 403, "DENIED")
    refused(await send(client, "PATCH", f"{USERS}/ada", BOB, {"disabled": True}), 403, "DENIED")


# Groups.


async def test_a_group_gives_its_roles_to_whoever_is_in_it(client: Client) -> None:
    await make_notebook(client)
    name = quote("/staff/data", safe="")
    url = f"{GROUPS}/{name}"
    group = (await send(client, "PUT", url, ROOT)).json()
    assert (group["name"], group["members"], group["links"]["self"]) == ("/staff/data", 0, url)
    body = {"subject_kind": "group", "subject": "/staff/data", "role": "editor"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, body)
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 404
    member = await send(client, "PUT", f"{url}/members/bob", ROOT)
    assert member.json()["user"] == "bob"
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 200
    assert [one["user"] for one in await listed(client, f"{url}/members")] == ["bob"]
    (one,) = await listed(client, f"{GROUPS}?search=STAFF")
    assert (one["members"], one["grants"]) == (1, 1)
    refused(await send(client, "DELETE", url, ROOT), 409, "GROUP_HAS_ROLES")
    for _ in range(2):
        assert (await send(client, "DELETE", f"{url}/members/bob", ROOT)).status == 204
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 404
    (grant,) = await listed(client, f"{GRANTS}?group={name}")
    assert (await send(client, "DELETE", f"{GRANTS}/{grant['id']}", ROOT)).status == 204
    await send(client, "PUT", f"{url}/members/bob", ROOT)
    assert (await send(client, "DELETE", url, ROOT)).status == 204
    refused(await send(client, "GET", url, ROOT), 404, "GROUP_UNKNOWN")
    assert (await send(client, "GET", f"{USERS}/bob", ROOT)).json()["groups"] == []


async def test_members_and_groups_go_on_over_pages(client: Client) -> None:
    for number in range(5):
        await send(client, "PUT", f"{GROUPS}/g/members/u{number}", ROOT)
        await send(client, "PUT", f"{GROUPS}/h{number}", ROOT)
    for url, key, wanted in (
        (f"{GROUPS}/g/members", "user", [f"u{number}" for number in range(5)]),
        (GROUPS, "name", ["g", *(f"h{number}" for number in range(5))]),
    ):
        found: list[str] = []
        after = ""
        while True:
            page = (await send(client, "GET", f"{url}?limit=2{after}", ROOT)).json()
            found += [one[key] for one in page["items"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found == wanted
    refused(await send(client, "PUT", f"{GROUPS}/{'x' * 201}", ROOT), 400, "CATALOG_NAME_INVALID")


# Roles.


async def test_roles_are_told_with_their_reasons_and_only_ones_own(client: Client) -> None:
    await make_notebook(client)
    await send(client, "PUT", f"{GROUPS}/data/members/bob", ROOT)
    grants = f"{NAMESPACES}/ada/grants"
    for body in (
        {"subject": "bob", "role": "viewer", "environment": "notebook"},
        {"subject": "eve", "role": "admin"},
        {"subject_kind": "group", "subject": "data", "role": "editor"},
        {"subject_kind": "group", "subject": "other", "role": "editor"},
        {"subject_kind": "authenticated", "role": "viewer"},
    ):
        await made(client, grants, ADA, body)
    mine = (await send(client, "GET", f"{ME}/roles", BOB)).json()
    assert mine["groups"] == ["data"]
    assert [(one["role"], one["subject_kind"], one["subject"]) for one in mine["items"]] == [
        ("viewer", "user", "bob"),
        ("editor", "group", "data"),
        ("viewer", "authenticated", None),
    ]
    assert mine["items"][1]["reason"].startswith("editor through group 'data', by ada, ")
    assert (await send(client, "GET", f"{USERS}/bob/roles", ROOT)).json() == mine
    refused(await send(client, "GET", f"{ME}/roles"), 401, "UNAUTHORIZED")


# Logins of browsers.


async def test_browsers_are_listed_and_logged_out(client: Client) -> None:
    catalog = catalog_of(client)
    secrets = [await catalog.sessions.open("ada", "192.0.2.1") for _ in range(3)]
    secret = await catalog.sessions.open("bob", "192.0.2.2")
    items = await listed(client, SESSIONS, ADA)
    assert [(one["user"], one["address"]) for one in items] == [("ada", "192.0.2.1")] * 3
    assert not any(one["is_current"] for one in items)
    assert await listed(client, TOKENS, ADA) == []
    assert (await send(client, "DELETE", items[0]["links"]["self"], ADA)).status == 204
    assert [catalog.sessions.owner(one) for one in secrets] == ["ada", "ada", None]
    (other,) = await listed(client, f"{SESSIONS}?user=bob")
    told = refused(await send(client, "DELETE", other["links"]["self"], ADA), 404, "TOKEN_UNKNOWN")
    assert "no login of a browser" in told
    refused(await send(client, "GET", f"{SESSIONS}?user=bob", ADA), 403, "DENIED")
    refused(await send(client, "DELETE", f"{SESSIONS}?user=bob", ADA), 403, "DENIED")
    reply = await send(client, "DELETE", SESSIONS, ADA)
    assert reply.json() == {"user": "ada", "ended": 2}
    assert catalog.sessions.owner(secret) == "bob"
    reply = await send(client, "DELETE", f"{SESSIONS}?user=bob", ROOT)
    assert reply.json() == {"user": "bob", "ended": 1}
    assert catalog.sessions.owner(secret) is None
    token = await made(client, TOKENS, ADA, {"name": "laptop"})
    url = f"{SESSIONS}/{token['id']}"
    refused(await send(client, "DELETE", url, ADA), 404, "TOKEN_UNKNOWN")


async def test_tokens_of_everybody_are_for_the_service(client: Client) -> None:
    await made(client, TOKENS, ADA, {"name": "laptop"})
    await made(client, TOKENS, ROOT, {"name": "x", "kind": "robot", "user": "nodes"})
    refused(await send(client, "GET", f"{TOKENS}?everybody", ADA), 403, "DENIED")
    assert [one["user"] for one in await listed(client, f"{TOKENS}?everybody")] == ["nodes", "ada"]
    found = await listed(client, f"{TOKENS}?everybody=1&kind=robot")
    assert [one["user"] for one in found] == ["nodes"]


async def test_what_is_done_is_in_the_audit_log(client: Client) -> None:
    catalog = catalog_of(client)
    await catalog.sessions.open("ada", "192.0.2.1")
    await send(client, "PUT", f"{GROUPS}/it", ROOT)
    await send(client, "PUT", f"{GROUPS}/it/members/ada", ROOT)
    await disable(client, "ada", end_tokens=True)
    await send(client, "DELETE", f"{GROUPS}/it", ROOT)
    await send(client, "GET", USERS, ROOT)
    events = await listed(client, "/api/v1/audit?actor=root")
    found = {one["action"]: one["detail"] for one in events}
    assert found["group.created"] == {"group": "it"}
    assert found["group.deleted"] == {"group": "it", "members": ["ada"]}
    assert found["member.added"] == {"group": "it", "member": "ada"}
    assert found["principal.disabled"]["principal"] == "ada"
    assert found["principal.disabled"]["sessions_ended"] == 1
    assert "pft_" not in json.dumps(events)
