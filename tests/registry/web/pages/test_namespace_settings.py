"""The settings of a namespace."""

from typing import Any

import pytest
from bs4 import BeautifulSoup

from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_namespaces import build, make

pytestmark = pytest.mark.anyio

SETTINGS = "/ada/-/settings"


async def submit(house: House, who: str, **fields: str) -> Any:
    return await (await house.browser(who)).submit(SETTINGS, **fields)


async def test_a_namespace_is_renamed_and_described(house: House) -> None:
    await make(house)
    page = await house.show("ada", SETTINGS)
    revision = page.select_one("input[name=revision]")
    assert revision is not None
    fields = {"name": "Ada L", "description": "for all", "revision": str(revision["value"])}
    reply = await submit(house, "root", do="describe", **fields)
    assert reply.headers["location"] == "/ada-l/-/settings"
    assert "for all" in (await house.show("ada", "/ada-l")).get_text()


async def test_nothing_is_overwritten_that_others_changed_since(house: House) -> None:
    await make(house)
    await submit(house, "ada", do="describe", name="ada", description="one", revision="0")
    reply = await submit(house, "ada", do="describe", name="ada", description="two", revision="0")
    assert reply.status_code == 412
    assert "two" in reply.text
    assert "one" in (await house.show("ada", "/ada")).get_text()


async def test_an_owner_gives_a_namespace_away_and_an_admin_cannot(house: House) -> None:
    await make(house)
    await house.ask("ada", "POST", "/namespaces/ada/grants", {"subject": "bob", "role": "admin"})
    assert "New owner" not in (await house.show("bob", SETTINGS)).get_text()
    assert (await submit(house, "bob", do="give", owner="bob")).status_code == 403
    assert (await submit(house, "ada", do="give", owner="")).status_code == 400
    reply = await submit(house, "ada", do="give", owner="bob")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    assert "New owner" in (await house.show("bob", SETTINGS)).get_text()


async def test_what_is_kept_is_tried_before_it_is_set(house: House) -> None:
    await make(house, "forecast")
    await build(house)
    await build(house, body=b'{"specs": ["tool", "library"]}')
    tried = await submit(house, "ada", do="preview", days="0", keep="0", retention="0")
    assert tried.status_code == 200
    trial = BeautifulSoup(tried.text, "html.parser").select_one(".trial")
    assert trial is not None
    assert "ada/forecast v1" in trial.get_text(), trial.get_text()
    unchanged = (await house.ask("ada", "GET", "/namespaces/ada/retention")).json()
    assert unchanged["retention"]["days"] is None
    reply = await submit(house, "ada", do="keep", days="7", keep="0", retention="0")
    assert reply.status_code == 303
    assert "for 7 days" in (await house.show("ada", SETTINGS)).get_text(" ", strip=True)
    freed = await submit(house, "ada", do="free")
    assert freed.status_code == 303
    wrong = await submit(house, "ada", do="keep", days="soon", keep="")
    assert wrong.status_code == 400
    assert 'value="soon"' in wrong.text


async def test_a_deleted_environment_is_restored(house: House) -> None:
    await make(house, "forecast", "other")
    await house.ask("ada", "DELETE", "/namespaces/ada/environments/forecast")
    page = await house.show("ada", SETTINGS)
    [row] = page.select("section[aria-labelledby=gone] tbody tr")
    assert "forecast" in row.get_text()
    reply = await submit(house, "ada", do="restore", environment="forecast")
    assert reply.headers["location"] == "/ada/forecast"
    assert "Deleted environments" not in (await house.show("ada", SETTINGS)).get_text()


async def test_a_namespace_is_deleted_by_whoever_writes_its_name(house: House) -> None:
    await make(house, "forecast")
    refused = await submit(house, "ada", do="delete", sure="ad")
    assert refused.status_code == 400
    await house.show("ada", "/ada")
    reply = await submit(house, "ada", do="delete", sure="ada")
    assert reply.headers["location"] == "/ada/-/restore"
    assert "ada is deleted." in (await house.show("ada", "/ada/-/restore")).get_text()
    await house.show("ada", "/ada", 404)


async def test_settings_are_for_admins(house: House) -> None:
    await make(house)
    await house.ask("ada", "POST", "/namespaces/ada/grants", {"subject": "bob", "role": "editor"})
    await house.show("bob", SETTINGS, 403)
    assert "Settings" not in (await house.show("bob", "/ada")).get_text()


async def test_a_form_that_says_nothing_changes_nothing(house: House) -> None:
    await make(house)
    await submit(house, "ada", do="describe", name="ada", description="ours", revision="")
    assert (await submit(house, "ada", name="ada")).status_code == 400
    assert "ours" in (await house.show("ada", "/ada")).get_text()
