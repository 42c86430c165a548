"""The page of a namespace's members."""

import re

import pytest

from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_namespaces import make

pytestmark = pytest.mark.anyio

MEMBERS = "/ada/-/members"


async def test_an_admin_gives_a_role_sees_why_it_is_had_and_takes_it_back(house: House) -> None:
    await make(house, "forecast")
    given = await house.submit(
        "ada", MEMBERS, do="give", kind="user", subject="bob", role="editor", environment="fore*"
    )
    assert (given.status_code, given.headers["location"]) == (303, MEMBERS)
    page = await house.show("ada", MEMBERS)
    assert "bob is editor of fore* now." in page.get_text()
    [row] = [row for row in page.select("table.members tr") if "bob" in row.get_text()]
    assert "editor, by ada" in row.get_text()
    await house.show("bob", "/ada/forecast")
    number = row.select_one("input[name=grant]")
    assert number is not None
    taken = await house.submit("ada", MEMBERS, do="take", grant=str(number["value"]))
    assert taken.status_code == 303
    await house.show("bob", "/ada", 404)


async def test_a_role_can_have_an_end_and_be_for_a_group_or_everyone(house: House) -> None:
    await make(house)
    await house.submit(
        "ada", MEMBERS, do="give", kind="group", subject="data", role="viewer", until="2031-05-01"
    )
    await house.submit("ada", MEMBERS, do="give", kind="everyone", role="viewer")
    text = re.sub(r"\s+", " ", (await house.show("ada", MEMBERS)).get_text())
    assert "until 2031-05-01 23:59 UTC" in text
    assert "Group data (0)" in text
    assert "Everyone, logged in or not" in text
    public = await house.show(None, "/ada")
    assert "Members" not in public.get_text()


async def test_what_is_wrong_is_said_and_what_was_typed_stays(house: House) -> None:
    await make(house)
    reply = await house.submit(
        "ada", MEMBERS, do="give", kind="user", subject="", role="editor", environment="Fore cast"
    )
    assert reply.status_code == 400
    assert 'role="alert"' in reply.text
    assert 'value="Fore cast"' in reply.text


async def test_a_viewer_sees_names_and_roles_without_reasons_or_buttons(house: House) -> None:
    await make(house)
    await house.submit("ada", MEMBERS, do="give", kind="user", subject="bob", role="viewer")
    page = await house.show("bob", MEMBERS)
    assert "ada" in page.get_text()
    assert "Why" not in page.get_text()
    assert page.select("main form") == []
    refused = await house.submit("bob", MEMBERS, do="give", kind="user", subject="x", role="viewer")
    assert refused.status_code == 403


async def test_an_admin_is_offered_to_make_no_owner_and_to_remove_none(house: House) -> None:
    await make(house)
    await house.submit("ada", MEMBERS, do="give", kind="user", subject="bob", role="admin")
    page = await house.show("bob", MEMBERS)
    assert [one["value"] for one in page.select("select[name=role] option")] == [
        *("viewer", "editor", "admin")
    ]
    [row] = [row for row in page.select("table.members tr") if "owns the namespace" in str(row)]
    assert row.select("form") == []


async def test_a_role_that_has_ended_is_not_given(house: House) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    body = {"subject": "bob", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}
    reply = await house.ask("ada", "POST", "/namespaces/ada/grants", body)
    assert reply.status_code == 400
    assert "ends after it is given" in reply.json()["error"]["message"]
    odd = {"subject": "bob", "role": "viewer", "environment": "ch urn"}
    reply = await house.ask("ada", "POST", "/namespaces/ada/grants", odd)
    assert "'ch urn' is no name" in reply.json()["error"]["message"]


async def test_a_role_on_some_environments_is_changed_for_those_alone(house: House) -> None:
    await make(house, "forecast")
    fields = {"kind": "user", "subject": "bob", "role": "viewer", "environment": "forecast"}
    await house.submit("ada", MEMBERS, do="give", **fields)
    page = await house.show("ada", MEMBERS)
    [row] = [row for row in page.select("table.members tr") if "bob" in row.get_text()]
    change = row.find("a", string="Change")
    assert change is not None
    form = await house.show("ada", str(change["href"]))
    kept = form.select_one("input[name=environment]")
    assert kept is not None
    assert kept["value"] == "forecast"
