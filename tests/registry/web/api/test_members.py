"""Who may do what in a namespace, and why."""

from pathlib import Path
from typing import Any

import pytest

from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import ADA, BOB, NAMESPACES, ROOT, made, refused, send
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

MEMBERS = f"{NAMESPACES}/ada/members"


@pytest.fixture
def site(tmp_path: Path, tables: str) -> Site:
    """Return a site with people to whom the auth file gives rights as well."""
    site = Site.make(tmp_path, database=tables)
    users = {
        "root": "**:*",
        "eve": "ada/fore*:pull,push",
        "carl": "ada/**:pull",
        "watch": "**:pull,catalog",
    }
    lines = []
    for name in ("ada", "bob", *users):
        rights = [users[name]] if name in users else []
        lines += [f"[users.{name}]", f"hash = '{HASH}'", f"rights = {rights}"]
    write_policy(site.root / "auth.toml", *lines)
    return site


async def give(client: Client, role: str, environment: str = "*", **more: Any) -> Any:
    body = {"role": role, "environment": environment, **more}
    return await made(client, f"{NAMESPACES}/ada/grants", ADA, body)


async def members(client: Client, who: str, query: str = "") -> Any:
    reply = await send(client, "GET", f"{MEMBERS}{query}", who)
    assert reply.status == 200, reply
    return reply.json()


async def test_members_are_told_with_their_role_and_admins_why(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        for member in ("bob", "zoe"):
            reply = await send(client, "PUT", f"/api/v1/groups/data/members/{member}", ROOT)
            assert reply.status == 200, reply
        group = await give(client, "viewer", subject_kind="group", subject="data")
        await give(client, "editor", "fore*", subject="bob")
        wide = {"role": "admin", "namespace": "a*", "subject": "dave"}
        await made(client, "/api/v1/grants", ROOT, wide)
        found = await members(client, ADA)
        by_name = {one["name"]: one for one in found["items"]}
        assert list(by_name) == ["ada", "bob", "carl", "dave", "eve", "zoe"]
        assert found["owner"] == "ada"
        assert found["next"] is None
        ada = by_name["ada"]
        assert (ada["role"], ada["reasons"][0]["kind"]) == ("owner", "owner")
        bob = by_name["bob"]
        assert bob["role"] == "viewer"
        assert bob["parts"] == [{"environment": "fore*", "role": "editor"}]
        assert [one["kind"] for one in bob["reasons"]] == ["grant", "group"]
        assert bob["reasons"][1]["grant"] == group["id"]
        assert "viewer through group 'data', by ada" in bob["reasons"][1]["sentence"]
        assert by_name["carl"]["reasons"][0]["sentence"] == "viewer through the auth file"
        assert by_name["eve"]["role"] is None
        assert by_name["eve"]["parts"] == [{"environment": "fore*", "role": "editor"}]
        assert by_name["dave"]["reasons"][0]["is_wide"]
        [shared] = found["shared"]
        assert (shared["subject"], shared["members"], shared["role"]) == ("data", 2, "viewer")


async def test_viewers_are_told_names_and_roles_and_not_why(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        await give(client, "viewer", subject="bob")
        found = await members(client, BOB)
        assert {one["name"]: one["role"] for one in found["items"]} == {
            "ada": "owner",
            "bob": "viewer",
            "carl": "viewer",
            "eve": None,
        }
        assert all(one["reasons"] is None for one in found["items"])


async def test_who_sees_a_part_alone_is_not_told_of_members(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "forecast"})
        await give(client, "viewer", "forecast", subject="bob")
        refused(await send(client, "GET", MEMBERS, BOB), 403, "DENIED")


async def test_strangers_are_told_no_names_of_what_is_public(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        await give(client, "viewer", subject_kind="everyone")
        refused(await send(client, "GET", MEMBERS), 401, "UNAUTHORIZED")
        found = await members(client, BOB)
        assert [one["subject_kind"] for one in found["shared"]] == ["everyone"]


async def test_somebody_who_is_refused_is_told_so(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        await give(client, "editor", subject="bob")
        reply = await send(client, "PATCH", "/api/v1/users/bob", ROOT, {"disabled": True})
        assert reply.status == 200, reply
        [bob] = [one for one in (await members(client, ADA))["items"] if one["name"] == "bob"]
        assert (bob["role"], bob["is_refused"]) == (None, True)
        assert bob["reasons"][0]["role"] == "editor"


async def test_members_come_in_pages(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        for number in range(3):
            await give(client, "viewer", subject=f"u{number}")
        names: list[str] = []
        query = "?limit=2"
        while True:
            page = await members(client, ADA, query)
            names += [one["name"] for one in page["items"]]
            if page["next"] is None:
                break
            query = f"?limit=2&after={page['next']}"
        assert names == ["ada", "carl", "eve", "u0", "u1", "u2"]
        refused(await send(client, "GET", f"{MEMBERS}?after=%21", ADA), 400, "CURSOR_INVALID")


async def test_access_tells_what_one_may_and_why(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        url = f"{NAMESPACES}/ada/access"
        mine = (await send(client, "GET", url, ADA)).json()
        assert (mine["role"], mine["may"]["give it away"]) == ("owner", True)
        assert mine["reasons"]
        viewer = (await send(client, "GET", url, basic("carl"))).json()
        assert viewer["may"] == {
            "see all of it": True,
            "make environments": False,
            "give roles, change it": False,
            "give it away": False,
        }
        refused(await send(client, "GET", url, BOB), 404, "NAMESPACE_UNKNOWN")
