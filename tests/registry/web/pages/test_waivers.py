"""Pages of waivers: asking from what was refused, and deciding in one click."""

from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag

from tests.registry.web.api.site import Site, wish
from tests.registry.web.pages.conftest import House

pytestmark = pytest.mark.anyio

COMPANY = """
contact = "it@example.org"
[packages]
denied = ["tool 2.0"]
[age]
minimum = "1 day"
"""
NEW = "/ui/waivers/new?environment=ada/notebook&version=1"


@pytest.fixture
def settings(tmp_path: Any) -> dict[str, Any]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "company.toml").write_text(COMPANY)
    (tmp_path / "advisories.json").write_text(
        '{"id": "ACME-1", "modified": "2025-01-01T00:00:00Z", "summary": "tool <b>leaks</b>",'
        ' "database_specific": {"severity": "HIGH"}, "affected": [{"package":'
        ' {"ecosystem": "conda", "name": "tool"}, "ranges": [{"type": "ECOSYSTEM",'
        ' "events": [{"introduced": "2.0"}, {"fixed": "2.1"}]}]}]}'
    )
    return {"policies": tmp_path / "policies", "advisories": tmp_path / "advisories.json"}


async def refuse(house: House) -> Any:
    """Have ada ask for what the policy refuses."""
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    await house.ask("ada", "POST", "/namespaces/ada/environments", {"name": "notebook"})
    url = "/namespaces/ada/environments/notebook/versions"
    reply = await house.ask("ada", "POST", url, wish("tool 2.0"), prefer="wait=25")
    assert reply.json()["state"] == "failed", reply.text
    return reply.json()


async def ask(house: House, reason: str = "it mends a bug") -> str:
    """Have ada ask for a waiver from the version that was refused; return its address."""
    fields = {"environment": "ada/notebook", "version": "1", "reason": reason}
    reply = await house.submit("ada", "/ui/waivers/new", **fields)
    assert reply.status_code == 303, reply.text
    return reply.headers["location"]


def text_of(page: Tag) -> str:
    return " ".join(page.get_text(" ").split())


async def test_a_waiver_is_asked_for_from_the_refused_version_and_granted_in_one_click(
    house: House,
) -> None:
    await refuse(house)
    page = await house.show("ada", "/ada/notebook/-/versions/1")
    links = [str(link["href"]) for link in page.select("main a")]
    [asking] = [link for link in links if link.startswith("/ui/waivers/new")]
    page = await house.show("ada", asking)
    assert "tool ==2.0" in page.get_text()
    assert "is not allowed by policy 'company'" in page.get_text()
    assert "it@example.org" in page.get_text()
    here = await ask(house)
    page = await house.show("ada", here)
    assert "An administrator decides" in page.get_text()
    assert page.select_one('button[value="grant"]') is None

    page = await house.show("root", "/ui/waivers")
    [card] = page.select("section.waiver")
    told = text_of(card)
    assert "tool ==2.0" in told
    assert "ada/notebook" in told
    assert "asked by ada" in told
    assert "it mends a bug" in told
    assert "is not allowed by policy 'company'" in told
    assert "is not installed." in told
    assert "at least 1 day ago" not in told  # (of another rule)
    form = card.select_one("form.decide")
    assert form is not None
    fields = {
        str(one["name"]): str(one.get("value") or one.select_one("option[selected]")["value"])  # type: ignore[index]
        for one in form.select("input[type=hidden], select")
    }
    assert (fields["scope"], fields["days"]) == ("environment", "30")
    reply = await house.submit("root", str(form["action"]), **fields, do="grant")
    assert (reply.status_code, reply.headers["location"]) == (303, "/ui/waivers?state=waiting")
    page = await house.show("root", "/ui/waivers")
    assert "What v1 was to be is built by itself, as a new version." in page.get_text()
    assert "Nothing waits for a decision" in page.get_text()
    waiver = (await house.ask("root", "GET", "/waivers/1")).json()
    assert (waiver["state"], waiver["scope"]) == ("granted", "environment")
    assert waiver["expires_at"] is not None
    path = "/namespaces/ada/environments/notebook/versions/2"
    assert (await house.ask("ada", "GET", path)).json()["reason"] == "waiver"


async def test_whoever_decides_sees_what_is_known_of_the_package(house: House) -> None:
    await refuse(house)
    page = await house.show("root", await ask(house))
    [row] = page.select("table tbody tr")
    assert "ACME-1" in row.get_text()
    assert "tool <b>leaks</b>" in row.get_text()
    assert "high" in row.get_text()
    assert "2.1" in row.get_text()


async def test_a_refusal_is_told_with_its_note_and_the_rest_of_the_form_is_no_matter(
    house: House,
) -> None:
    await refuse(house)
    here = await ask(house)
    reply = await house.submit("root", here, do="refuse", reason=" ", days="90")
    assert reply.status_code == 400
    assert "Say in the note why it is refused" in reply.text
    reply = await house.submit("root", here, do="refuse", reason="use tool 1.0", days="30")
    assert reply.headers["location"] == here
    page = await house.show("ada", here)
    assert "use tool 1.0" in page.get_text()
    assert page.select_one("form.decide") is None
    listed = await house.show("ada", "/ui/waivers")
    assert "Refused by root" in text_of(listed)


async def test_what_cannot_be_granted_is_said_on_the_same_page_with_what_was_typed(
    house: House,
) -> None:
    await refuse(house)
    here = await ask(house)
    typed = {"do": "grant", "spec": "library 1.0", "days": "90", "reason": "why not"}
    reply = await house.submit("root", here, **typed)
    assert reply.status_code == 400
    page = BeautifulSoup(reply.text, "html.parser")
    assert "another package needs another waiver" in page.get_text()
    assert page.select_one('input[name="spec"]')["value"] == "library 1.0"  # type: ignore[index]
    assert page.select_one('input[name="reason"]')["value"] == "why not"  # type: ignore[index]
    assert page.select_one('select[name="days"] option[selected]')["value"] == "90"  # type: ignore[index]
    reply = await house.submit("root", here, do="grant", days="0")
    assert reply.status_code == 400
    assert "is no number of days" in reply.text


async def test_who_may_not_decide_is_refused_and_who_asked_may_withdraw(house: House) -> None:
    await refuse(house)
    here = await ask(house)
    reply = await house.submit("ada", here, do="grant")
    assert reply.status_code == 403
    assert (await house.submit("bob", here, do="grant")).status_code == 404
    page = await house.show("ada", here)
    assert page.select_one('input[name="do"][value="withdraw"]') is not None
    reply = await house.submit("ada", here, do="withdraw")
    assert reply.status_code == 303
    assert "withdrawn" in (await house.show("ada", here)).get_text()


async def test_a_reason_has_to_be_given_and_nothing_typed_is_lost(house: House) -> None:
    await refuse(house)
    reply = await house.submit(
        "ada", "/ui/waivers/new", policy="company", spec="tool ==2.0", reason="", manager="conda"
    )
    assert reply.status_code == 400
    page = BeautifulSoup(reply.text, "html.parser")
    assert page.select_one('input[name="spec"]')["value"] == "tool ==2.0"  # type: ignore[index]
    assert page.select_one('[role="alert"]') is not None


async def test_nothing_can_be_asked_for_where_nothing_was_refused(house: House) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    await house.ask("ada", "POST", "/namespaces/ada/environments", {"name": "notebook"})
    page = await house.show("ada", "/ui/waivers/new?environment=ada/notebook")
    assert "No policy has refused a version" in page.get_text()
    assert page.select_one("form.narrow") is None
    await house.show("bob", NEW, 404)
    await house.show("ada", "/ui/waivers/new?environment=nowhere", 404)


async def test_a_waiver_leads_nowhere_else(house: House, site: Site) -> None:
    await refuse(house)
    here = await ask(house)
    reply = await house.submit("root", here, do="refuse", reason="no", next="//evil.example/x")
    assert reply.headers["location"] == "/"


async def test_who_decides_by_an_old_page_is_told_what_has_happened_meanwhile(house: House) -> None:
    await refuse(house)
    address = await ask(house)
    await house.submit("root", address, do="grant", days="30", seen="waiting")
    late = await house.submit("root", address, do="refuse", reason="no", seen="waiting")
    assert late.status_code == 412
    assert "is granted since you opened the page" in late.text
    page = await house.show("root", address)
    assert "granted" in text_of(page)
