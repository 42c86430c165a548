"""Me: what I may and why, my browsers, my tokens."""

import pytest

from tests.registry.accounts import PASSWORD
from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_people import told

pytestmark = pytest.mark.anyio


async def test_my_roles_are_told_with_their_reasons(house: House) -> None:
    for name in ("ada", "bob"):
        assert (await house.ask(name, "POST", "/namespaces", {"name": name})).status_code == 201
    grant = {"subject": "ada", "role": "editor"}
    assert (await house.ask("bob", "POST", "/namespaces/bob/grants", grant)).status_code == 201
    page = told(await house.show("ada", "/me"))
    assert "editor bob editor, by bob" in page
    assert "owner ada owner" in page
    assert "**:*" in told(await house.show("root", "/me"))


async def test_browsers_are_logged_out(house: House) -> None:
    page = await house.show("ada", "/me")
    assert "this browser 192.0.2.8" in told(page)
    assert "Log out all others" not in told(page)
    other = house.free.pop()
    assert (await other.submit("/login", name="ada", password=PASSWORD)).is_redirect
    page = await house.show("ada", "/me")
    number = page.select_one("input[name=id]")["value"]  # type: ignore[index]
    assert (await other.get("/me")).status_code == 200
    reply = await house.submit("ada", "/me", do="end_session", id=str(number))
    assert reply.status_code == 303
    assert (await other.get("/me")).status_code == 303
    assert (await other.submit("/login", name="ada", password=PASSWORD)).is_redirect
    assert (await house.submit("ada", "/me", do="end_others")).is_redirect
    assert "1 other browsers are logged out." in told(await house.show("ada", "/me"))
    assert (await other.get("/me")).status_code == 303
    # Those of others are nobody's to end.
    await house.show("bob", "/me")
    reply = await house.submit("bob", "/me", do="end_session", id="1")
    assert reply.status_code == 404
    assert "there is no login of a browser 1 here" in reply.text


async def test_a_token_is_made_and_its_secret_is_shown_once(house: House) -> None:
    page = await house.show("ada", "/me/tokens")
    key = page.select_one("input[name=key]")["value"]  # type: ignore[index]
    fields = {
        "do": "create",
        "name": "laptop",
        "days": "30",
        "scopes": "ada/*:pull",
        "key": str(key),
    }
    reply = await house.submit("ada", "/me/tokens", **fields)
    assert reply.status_code == 200
    assert "pft_" in reply.text
    assert reply.headers["cache-control"] == "no-store"
    page = await house.show("ada", "/me/tokens")
    assert "pft_" not in str(page)
    assert "ada/*:pull" in told(page)
    # Reloading makes no second one.
    reply = await house.submit("ada", "/me/tokens", **fields)
    assert reply.status_code == 422
    page = await house.show("ada", "/me/tokens")
    number = page.select("input[name=id]")
    assert len(number) == 1
    assert (
        await house.submit("ada", "/me/tokens", do="revoke", id=str(number[0]["value"]))
    ).is_redirect
    assert "You have no tokens." in told(await house.show("ada", "/me/tokens"))
    assert "revoked" in told(await house.show("ada", "/me/tokens?ended=on"))


async def test_what_makes_no_token_is_said_and_kept(house: House) -> None:
    reply = await house.submit("ada", "/me/tokens", do="create", name="ci", days="never", scopes="")
    assert reply.status_code == 400
    assert "1 to 3660" in reply.text
    assert 'value="ci"' in reply.text
    reply = await house.submit("ada", "/me/tokens", do="create", name="ci", scopes="nonsense")
    assert reply.status_code == 400
    assert "nonsense" in reply.text


async def test_a_stranger_is_asked_to_log_in(house: House) -> None:
    for path in ("/me", "/me/tokens"):
        browser = await house.browser(None)
        reply = await browser.get(path)
        assert reply.status_code == 303
        assert reply.headers["location"].startswith("/login?next=")
