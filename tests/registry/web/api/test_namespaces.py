from typing import Any

import pytest

from registry.catalog.grants import Grants
from registry.catalog.records import Actor, GrantRecord
from tests.registry.accounts import basic
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ended,
    made,
    make_notebook,
    refused,
    send,
    write_users,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def test_people_make_the_namespace_of_their_name_and_administrators_any(
    client: Client,
) -> None:
    reply = await send(client, "POST", NAMESPACES, ADA, {"name": "ada"})
    assert (reply.status, reply.headers["location"]) == (201, f"{NAMESPACES}/ada")
    assert reply.headers["etag"] == f'"{reply.json()["revision"]}"'
    assert reply.json()["owner"] == "ada"
    told = refused(await send(client, "POST", NAMESPACES, ADA, {"name": "team"}), 403, "DENIED")
    assert "administrator" in told
    body = {"name": "bob", "owner": "ada"}
    refused(await send(client, "POST", NAMESPACES, ADA, body), 403, "DENIED")
    body = {"name": "Team A", "owner": "bob"}
    assert (await made(client, NAMESPACES, ROOT, body))["slug"] == "team-a"
    assert (await send(client, "GET", f"{NAMESPACES}/team-a", BOB)).status == 200
    refused(await send(client, "POST", NAMESPACES, ADA, {"name": "ada"}), 409, "CATALOG_NAME_TAKEN")
    refused(await send(client, "POST", NAMESPACES, None, {"name": "eve"}), 401, "UNAUTHORIZED")


async def test_namespaces_of_ones_own_are_those_where_one_was_given_a_role(client: Client) -> None:
    for name, owner in (("ada", "ada"), ("bob", "bob"), ("open", "root"), ("team", "root")):
        await made(client, NAMESPACES, ROOT, {"name": name, "owner": owner})
    everybody = {"subject_kind": "authenticated", "role": "viewer"}
    await made(client, f"{NAMESPACES}/open/grants", ROOT, everybody)
    one = {"subject": "ada", "role": "viewer", "environment": "forecast"}
    await made(client, f"{NAMESPACES}/team/grants", ROOT, one)
    await made(client, f"{NAMESPACES}/team/environments", ROOT, {"name": "forecast"})

    async def slugs(who: str | None, query: str) -> list[str]:
        reply = await send(client, "GET", f"{NAMESPACES}?{query}", who)
        return [one["slug"] for one in reply.json()["items"]]

    assert await slugs(ADA, "") == ["ada", "open", "team"]
    assert await slugs(ADA, "mine=true") == ["ada", "team"]
    assert await slugs(ROOT, "mine=true") == ["open", "team"]
    assert await slugs(None, "mine=true") == []
    await made(client, f"{NAMESPACES}/open/environments", ROOT, {"name": "notebook"})
    found = (await send(client, "GET", "/api/v1/environments?mine=true", ADA)).json()["items"]
    assert [one["path"] for one in found] == ["team/forecast"]


async def test_what_one_may_not_see_is_answered_as_what_is_not_there(client: Client) -> None:
    await make_notebook(client)
    for path in ("ada", "ada/environments", "ada/grants", "ada/environments/notebook"):
        there = await send(client, "GET", f"{NAMESPACES}/{path}", BOB)
        nowhere = await send(client, "GET", f"{NAMESPACES}/{path.replace('ada', 'eve')}", BOB)
        assert there.status == nowhere.status == 404
        assert there.body.replace(b"'ada", b"'eve") == nowhere.body
        stranger = await send(client, "GET", f"{NAMESPACES}/{path}")
        assert stranger.status == 401
        assert stranger.headers["www-authenticate"].startswith("Basic realm=")
        other = await send(client, "GET", f"{NAMESPACES}/{path.replace('ada', 'eve')}")
        assert (other.status, other.body) == (stranger.status, stranger.body)
    assert (await send(client, "GET", NAMESPACES, BOB)).json() == {"items": [], "next": None}
    assert (await send(client, "GET", "/api/v1/environments")).json()["items"] == []


async def test_what_is_longer_than_any_name_is_not_there(client: Client) -> None:
    await make_notebook(client)
    grants = f"{NAMESPACES}/ada/grants"
    body = {"subject_kind": "authenticated", "role": "viewer", "environment": "*a*a*a*b"}
    await made(client, grants, ADA, body)
    for size in (101, 60_000):
        for path in ("a" * size, f"{'a' * size}/environments/x", f"ada/environments/{'a' * size}"):
            for who in (BOB, ROOT):
                reply = await send(client, "GET", f"{NAMESPACES}/{path}", who)
                assert (reply.status, len(reply.body) < 400) == (404, True)
            assert (await send(client, "GET", f"{NAMESPACES}/{path}")).status == 401
    told = refused(
        await send(client, "POST", grants, ADA, body | {"environment": "*a*a*a*a*"}),
        400,
        "GRANT_INVALID",
    )
    assert "more than 4 '*'" in told


async def test_roles_are_given_replaced_and_taken_and_admins_make_no_owners(
    client: Client,
) -> None:
    await make_notebook(client)
    grants = f"{NAMESPACES}/ada/grants"
    grant = await made(client, grants, ADA, {"subject": "bob", "role": "viewer"})
    assert (grant["namespace"], grant["environment"]) == ("ada", "*")
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 200
    told = refused(await send(client, "DELETE", NOTEBOOK, BOB), 403, "DENIED")
    assert "'bob' is viewer there" in told
    refused(await send(client, "GET", grants, BOB), 403, "DENIED")
    grant = await made(client, grants, ADA, {"subject": "bob", "role": "admin"})
    refused(
        await send(client, "POST", grants, BOB, {"subject": "bob", "role": "owner"}), 403, "DENIED"
    )
    mine = (await send(client, "GET", grants, BOB)).json()["items"]
    (owner,) = [one for one in mine if one["role"] == "owner"]
    refused(await send(client, "DELETE", f"{grants}/{owner['id']}", BOB), 403, "DENIED")
    refused(await send(client, "PATCH", f"{NAMESPACES}/ada", BOB, {"owner": "bob"}), 403, "DENIED")
    assert (await send(client, "DELETE", f"{grants}/{grant['id']}", ADA)).status == 204
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 404
    refused(await send(client, "DELETE", f"{grants}/{grant['id']}", ADA), 404, "GRANT_UNKNOWN")


async def test_an_admin_does_not_replace_the_role_of_an_owner(client: Client) -> None:
    await make_notebook(client)
    grants = f"{NAMESPACES}/ada/grants"
    await made(client, grants, ADA, {"subject": "eve", "role": "owner"})
    await made(client, grants, ADA, {"subject": "bob", "role": "admin"})
    body = {"subject": "eve", "role": "viewer"}
    refused(await send(client, "POST", grants, BOB, body), 403, "DENIED")
    assert (await made(client, grants, ADA, body))["role"] == "viewer"


async def test_an_admin_does_not_replace_what_became_an_owners_in_the_meantime(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_notebook(client)
    grants = f"{NAMESPACES}/ada/grants"
    for subject, role in (("eve", "viewer"), ("bob", "admin")):
        await made(client, grants, ADA, {"subject": subject, "role": role})
    give = Grants.give

    async def give_later(self: Grants, actor: Actor, **grant: Any) -> GrantRecord:
        """Do as an owner who comes right before the admin's transaction."""
        if actor.name == "bob":
            await give(self, Actor("ada"), **{**grant, "role": "owner", "on_replace": id})
        return await give(self, actor, **grant)

    monkeypatch.setattr(Grants, "give", give_later)
    refused(
        await send(client, "POST", grants, BOB, {"subject": "eve", "role": "editor"}),
        403,
        "DENIED",
    )
    roles = {
        one["subject"]: one["role"]
        for one in (await send(client, "GET", grants, ADA)).json()["items"]
    }
    assert roles["eve"] == "owner"


async def test_a_role_on_one_environment_shows_that_one_and_its_namespace(client: Client) -> None:
    await make_notebook(client)
    await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "secret"})
    body = {"subject": "bob", "role": "viewer", "environment": "note*"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, body)
    listed = (await send(client, "GET", f"{NAMESPACES}/ada/environments", BOB)).json()
    assert [one["path"] for one in listed["items"]] == ["ada/notebook"]
    assert (await send(client, "GET", f"{NAMESPACES}/ada", BOB)).json()["slug"] == "ada"
    assert (await send(client, "GET", f"{NAMESPACES}/ada/environments/secret", BOB)).status == 404
    events = (await send(client, "GET", f"{NAMESPACES}/ada/events", BOB)).json()["items"]
    assert {one["environment"] for one in events} == {"notebook"}
    assert {one["address"] for one in events} == {None}
    refused(
        await send(client, "POST", f"{NAMESPACES}/ada/environments", BOB, {"name": "x"}),
        403,
        "DENIED",
    )


async def test_the_roles_of_the_service_are_given_by_administrators_alone(client: Client) -> None:
    await make_notebook(client)
    body = {"subject": "bob", "role": "auditor"}
    refused(await send(client, "POST", "/api/v1/grants", ADA, body), 403, "DENIED")
    refused(await send(client, "GET", "/api/v1/grants", BOB), 403, "DENIED")
    grant = await made(client, "/api/v1/grants", ROOT, body)
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 200
    refused(await send(client, "DELETE", NOTEBOOK, BOB), 403, "DENIED")
    refused(await send(client, "POST", "/api/v1/grants", BOB, body), 403, "DENIED")
    events = (await send(client, "GET", "/api/v1/events", BOB)).json()["items"]
    given = next(event for event in events if event["action"] == "grant.given")
    assert (given["detail"]["role"], given["address"]) == ("auditor", "192.0.2.1")
    reply = await send(client, "DELETE", f"/api/v1/grants/{grant['id']}", ROOT)
    assert reply.status == 204
    assert (await send(client, "GET", NOTEBOOK, BOB)).status == 404


async def test_a_namespace_is_renamed_deleted_and_restored_with_all_in_it(client: Client) -> None:
    await make_notebook(client)
    url = f"{NAMESPACES}/ada"
    tag = (await send(client, "GET", url, ADA)).headers["etag"]
    reply = await send(client, "PATCH", url, ADA, {"description": "of ada"}, if_match=tag)
    assert reply.json()["description"] == "of ada"
    told = refused(
        await send(client, "PATCH", url, ADA, {"description": "x"}, if_match=tag),
        412,
        "REVISION_CONFLICT",
    )
    assert "read it again" in told
    refused(await send(client, "DELETE", url, ADA, if_match=tag), 412, "REVISION_CONFLICT")
    refused(await send(client, "PATCH", url, ADA, {"name": "lovelace"}), 403, "DENIED")
    renamed = await send(client, "PATCH", url, ROOT, {"name": "lovelace"})
    assert renamed.json()["links"]["self"] == f"{NAMESPACES}/lovelace"
    assert (await send(client, "GET", f"{NAMESPACES}/lovelace/environments/notebook", ADA)).status
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 404
    assert (await send(client, "PATCH", f"{NAMESPACES}/lovelace", ROOT, {"name": "ada"})).status
    assert (await send(client, "DELETE", url, ADA, if_match=reply.headers["etag"])).status == 412
    assert (await send(client, "DELETE", url, ADA)).status == 204
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 404
    refused(await send(client, "POST", f"{url}/restore", BOB), 403, "DENIED")
    assert (await send(client, "POST", f"{url}/restore", ADA)).status == 200
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 200


async def test_what_is_deleted_is_restored_by_its_owner_and_by_nobody_who_is_called_so(
    catalog_site: Site,
) -> None:
    write_users(catalog_site, "ada", "bob", "team", "Ada")
    team, twin = basic("team"), basic("Ada")
    async with catalog_site.open() as client:
        await made(client, NAMESPACES, ROOT, {"name": "team", "owner": "ada"})
        await made(client, f"{NAMESPACES}/team/environments", ADA, {"name": "plan"})
        assert (await send(client, "DELETE", f"{NAMESPACES}/team", ADA)).status == 204
        for who in (team, BOB):
            refused(await send(client, "POST", f"{NAMESPACES}/team/restore", who), 403, "DENIED")
        assert (await send(client, "POST", f"{NAMESPACES}/team/restore", ADA)).status == 200
        assert (await send(client, "DELETE", f"{NAMESPACES}/team", ADA)).status == 204
        await made(client, NAMESPACES, team, {"name": "team"})
        for kept in ("environments?deleted", "events?limit=1&after=2"):
            reply = await send(client, "GET", f"{NAMESPACES}/team/{kept}", team)
            assert (reply.status, reply.json()["items"]) == (200, []), kept
        # Two users whose names are written the same in addresses.
        reply = await send(client, "POST", NAMESPACES, twin, {"name": "Ada"})
        assert "administrator" in refused(reply, 409, "CATALOG_NAME_TAKEN")
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        assert (await send(client, "DELETE", f"{NAMESPACES}/ada", ADA)).status == 204
        refused(await send(client, "POST", f"{NAMESPACES}/ada/restore", twin), 403, "DENIED")
        assert (await send(client, "POST", f"{NAMESPACES}/ada/restore", ROOT)).status == 200


async def test_viewers_are_not_told_of_where_a_copy_comes_from_or_of_the_roles_of_others(
    client: Client,
) -> None:
    await made(client, NAMESPACES, ROOT, {"name": "secret", "owner": "ada"})
    await made(client, f"{NAMESPACES}/secret/environments?name=merger", ADA, wish("tool"))
    await ended(client, f"{NAMESPACES}/secret/environments/merger/versions/1", ADA)
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    grants = f"{NAMESPACES}/ada/grants"
    await made(client, grants, ADA, {"subject_kind": "everyone", "role": "viewer"})
    await made(client, grants, ADA, {"subject": "bob", "role": "admin", "environment": "payroll"})
    copy = {"namespace": "ada", "name": "shown"}
    await made(client, f"{NAMESPACES}/secret/environments/merger/copy", ADA, copy)
    for url in ("events", "environments/shown/events", "environments/shown/versions/1"):
        reply = await send(client, "GET", f"{NAMESPACES}/ada/{url}")
        assert reply.status == 200, reply
        assert b"merger" not in reply.body, url
        assert b"bob" not in reply.body, url
    events = (await send(client, "GET", f"{NAMESPACES}/ada/events", ADA)).json()["items"]
    assert "bob" in {event["detail"].get("subject") for event in events}


async def test_before_the_database_has_answered_nothing_is_said_not_to_be_there(site: Site) -> None:
    async with site.open(database="postgresql://nobody@127.0.0.1:1/none") as client:
        for method, url in (("GET", NOTEBOOK), ("DELETE", NOTEBOOK), ("GET", NAMESPACES)):
            told = refused(await send(client, method, url, ADA), 503, "DATABASE_UNAVAILABLE")
            assert "try again in a moment" in told
