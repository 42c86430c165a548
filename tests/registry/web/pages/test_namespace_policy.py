"""The pages of what holds in a namespace, what was found, and what was let pass."""

import asyncio
from typing import Any

import pytest

from tests.registry.web.api.site import wish
from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_namespaces import build, make

pytestmark = pytest.mark.anyio

POLICY = "/ada/-/policy"
COMPANY = b"""\
description = "What everybody keeps"
contact = "it@example.org"
[packages]
denied = ["library"]
"""
SPECIFICATION = "dependencies:\r\n  - tool\r\n"
OWN = 'description = "Ours"\r\n[packages]\r\ndenied = ["tool"]\r\n'


async def submit(house: House, who: str, **fields: str) -> Any:
    return await (await house.browser(who)).submit(POLICY, **fields)


async def found(house: House) -> None:
    """Wait until what there is was judged."""
    url = "/namespaces/ada/findings"
    async with asyncio.timeout(60):
        while not (await house.ask("ada", "GET", url)).json()["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # (nothing tells a browser that it is done)


async def set_company(house: House) -> None:
    reply = await house.ask("root", "PUT", "/policies/company", COMPANY, content_type="text/plain")
    assert reply.status_code == 200, reply.text


async def test_what_holds_is_told_in_sentences_with_who_has_set_it(house: House) -> None:
    await make(house)
    assert "No policy holds here" in (await house.show("ada", POLICY)).get_text()
    await set_company(house)
    text = (await house.show("ada", POLICY)).get_text(" ", strip=True)
    assert "library is not installed." in text
    assert "Set by root" in text
    assert "Ask it@example.org" in text


async def test_own_rules_are_tried_then_set_then_taken_away(house: House) -> None:
    await make(house, "forecast")
    await build(house)
    assert "Own rules, as TOML" in (await house.show("ada", f"{POLICY}?edit=1")).get_text()
    tried = await submit(house, "ada", do="try", text=OWN, specification=SPECIFICATION, version="0")
    assert tried.status_code == 200
    assert "What it would do" in tried.text
    assert 'href="/ada/forecast"' in tried.text
    assert (await house.ask("ada", "GET", "/namespaces/ada/policy")).json()["own"] is None
    reply = await submit(house, "ada", do="set", text=OWN, version="0")
    assert (reply.status_code, reply.headers["location"]) == (303, POLICY)
    page = await house.show("ada", POLICY)
    assert "tool is not installed." in page.get_text()
    lost = await submit(house, "ada", do="set", text=OWN + "# more", version="0")
    assert lost.status_code == 412
    assert "# more" in lost.text
    reply = await submit(house, "ada", do="delete", version="1")
    assert reply.status_code == 303
    assert "tool is not installed." not in (await house.show("ada", POLICY)).get_text()


async def test_a_mistake_is_shown_at_its_line_and_the_text_stays(house: House) -> None:
    await make(house)
    reply = await submit(house, "ada", do="set", text="[packages]\r\ndenied = 7\r\n", version="0")
    assert reply.status_code == 400
    assert "denied = 7" in reply.text
    assert 'id="error-text"' in reply.text


async def test_only_admins_are_given_the_editor(house: House) -> None:
    await make(house)
    await house.ask("ada", "POST", "/namespaces/ada/grants", {"subject": "bob", "role": "editor"})
    page = await house.show("bob", f"{POLICY}?edit=1")
    assert page.select("main textarea") == []
    assert (await submit(house, "bob", do="set", text=OWN, version="0")).status_code == 403


async def test_findings_are_shown_with_what_to_do(house: House) -> None:
    await make(house, "forecast")
    assert "anything against" in (await house.show("ada", "/ada/-/findings")).get_text()
    await build(house)
    await house.ask(
        "root",
        "PUT",
        "/policies/watch",
        b'mode = "warn"\n[packages]\ndenied = ["tool"]\n',
        content_type="text/plain",
    )
    await found(house)
    page = await house.show("ada", "/ada/-/findings?active=1")
    [row] = page.select("table tbody tr")
    assert "warn" in row.get_text()
    assert "watch" in row.get_text()
    none = await house.show("ada", "/ada/-/findings?environment=other")
    assert "Nothing fits." in none.get_text()


async def test_waivers_are_shown_to_those_who_may_see_them(house: House) -> None:
    await make(house, "forecast")
    await set_company(house)
    refused = await house.ask(
        "ada",
        "POST",
        "/namespaces/ada/environments/forecast/versions",
        wish("library"),
        prefer="wait=25",
        content_type="text/plain",
    )
    assert refused.status_code in {200, 201, 202, 403, 422}, refused.text
    body = {"reason": "until May", "environment": "ada/forecast"}
    asked = await house.ask("ada", "POST", "/waivers", body)
    assert asked.status_code == 201, asked.text
    page = await house.show("ada", "/ada/-/waivers")
    [row] = page.select("table tbody tr")
    assert "until May" in row.get_text()
    assert "waiting" in row.get_text()
    number = asked.json()["items"][0]["id"]
    assert row.select_one(f'a[href="/ui/waivers/{number}"]') is not None
    granted = await house.show("ada", "/ada/-/waivers?state=granted")
    assert "No waiver is granted." in granted.get_text()
    await house.ask("ada", "POST", "/namespaces/ada/grants", {"subject": "bob", "role": "viewer"})
    assert "Nobody has asked" in (await house.show("bob", "/ada/-/waivers")).get_text()
    await house.ask(
        "ada", "POST", "/namespaces/ada/grants", {"subject_kind": "everyone", "role": "viewer"}
    )
    assert "Log in to see the waivers" in (await house.show(None, "/ada/-/waivers")).get_text()
