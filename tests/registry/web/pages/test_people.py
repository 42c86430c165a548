"""Users: who there is, what each may, and who is let in."""

import pytest
from bs4 import BeautifulSoup

from tests.registry.accounts import PASSWORD
from tests.registry.web.pages.conftest import House

pytestmark = pytest.mark.anyio


def told(page: object) -> str:
    return " ".join(page.main.get_text(" ").split())  # type: ignore[attr-defined]


async def test_everybody_is_listed_those_of_the_auth_file_too(house: House) -> None:
    page = await house.show("root", "/ui/users")
    names = [link.get_text() for link in page.select("td[data-label=Name] a")]
    assert names == ["ada", "bob", "root"]
    page = await house.show("root", "/ui/users?search=bo")
    assert [link.get_text() for link in page.select("td[data-label=Name] a")] == ["bob"]
    page = await house.show("root", "/ui/users?search=nobody-here")
    assert "Nobody is called so" in told(page)
    await house.show("ada", "/ui/users", 403)


async def test_a_user_is_disabled_and_let_in_again(house: House) -> None:
    assert "ada" in told(await house.show("ada", "/me"))
    token = (await house.ask("ada", "POST", "/tokens", {"name": "laptop"})).json()
    page = await house.show("root", "/ui/users/ada")
    assert "Disable" in told(page)
    reply = await house.submit("root", "/ui/users/ada", do="disable")
    assert (reply.status_code, reply.headers["location"]) == (303, "/ui/users/ada")
    page = await house.show("root", "/ui/users/ada")
    assert "ada is refused everywhere from now on." in told(page)
    assert "Logged in with no browser." in told(page)
    assert token["hint"] in told(page)
    browser = await house.browser("ada")
    assert (await browser.get("/me")).headers["location"] == "/login?next=%2Fme"
    # With the right password one is told why; with a wrong one, nothing.
    told_why = "'ada' is disabled here: ask the administrator"
    refused = await house.ask("ada", "GET", "/users/me")
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, told_why)
    page = BeautifulSoup(
        (await browser.submit("/login", name="ada", password=PASSWORD)).text, "html.parser"
    )
    assert told_why in told(page)
    page = BeautifulSoup(
        (await browser.submit("/login", name="ada", password="guessed")).text, "html.parser"
    )
    assert "disabled" not in told(page)
    reply = await house.submit("root", "/ui/users/ada", do="enable")
    assert reply.status_code == 303
    assert (await house.ask("ada", "GET", "/users/me")).status_code == 200
    # The browser stays logged out.
    assert (await browser.get("/me")).status_code == 303


async def test_tokens_end_for_good_with_the_box(house: House) -> None:
    secret = (await house.ask("ada", "POST", "/tokens", {"name": "laptop"})).json()["secret"]
    assert (await house.submit("root", "/ui/users/ada", do="disable", end_tokens="on")).is_redirect
    assert (await house.submit("root", "/ui/users/ada", do="enable")).is_redirect
    browser = await house.browser(None)
    reply = await browser.http.get(
        "/api/v1/users/me", headers={"authorization": f"Bearer {secret}"}
    )
    assert reply.status_code == 401


async def test_nobody_disables_themselves(house: House) -> None:
    page = await house.show("root", "/ui/users/root")
    assert "Nobody disables themselves" in told(page)
    assert not page.select("form[data-confirm]")
    reply = await house.submit("root", "/ui/users/root", do="disable")
    assert reply.status_code == 403
    assert "nobody disables themselves" in reply.text
    await house.show("root", "/ui/users/root")


async def test_groups_are_given_and_taken(house: House) -> None:
    grant = {"subject_kind": "group", "subject": "/staff/data", "role": "auditor"}
    assert (await house.ask("root", "POST", "/grants", grant)).status_code == 201
    reply = await house.submit("root", "/ui/users/bob", do="join", group="/staff/data")
    assert reply.status_code == 303, reply.text
    page = await house.show("root", "/ui/users/bob")
    assert "auditor of the service" in told(page)
    assert "auditor through group '/staff/data', by root" in told(page)
    reply = await house.submit("root", "/ui/users/bob", do="join", group=" ")
    assert reply.status_code == 400
    assert "Say the name of a group." in reply.text
    page = await house.show("bob", "/ui/users/ada")  # an auditor sees, and changes nothing
    assert not page.main.select("form")  # type: ignore[union-attr]
    reply = await house.submit("bob", "/ui/users/ada", do="disable")
    assert reply.status_code == 403
    reply = await house.submit("root", "/ui/users/bob", do="leave", group="/staff/data")
    assert reply.status_code == 303
    await house.show("bob", "/ui/users", 403)


async def test_who_is_not_there_has_no_page(house: House) -> None:
    page = await house.show("root", "/ui/users/nobody", 404)
    assert "there is no user or robot 'nobody' here" in told(page)
    reply = await house.submit("root", "/ui/users/ada", do="nonsense")
    assert reply.status_code == 400
