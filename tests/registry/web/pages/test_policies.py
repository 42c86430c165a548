"""Pages of policies: what holds, and what a text would do before it is switched on."""

from typing import Any

import pytest
from bs4 import BeautifulSoup

from tests.registry.web.api.site import wish
from tests.registry.web.pages.conftest import House

pytestmark = pytest.mark.anyio

COMPANY = 'contact = "it@example.org"\n[packages]\ndenied = ["tool 2.0"]\n'
EDITOR = "/ui/policies/test"


async def build(house: House, *specs: str) -> Any:
    """Have ada build something, and return the version."""
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    await house.ask("ada", "POST", "/namespaces/ada/environments", {"name": "notebook"})
    url = "/namespaces/ada/environments/notebook/versions"
    reply = await house.ask("ada", "POST", url, wish(*specs), prefer="wait=25")
    assert reply.json()["state"] == "built", reply.text
    return reply.json()


def read(reply: Any, status: int = 200) -> BeautifulSoup:
    assert reply.status_code == status, reply.text
    return BeautifulSoup(reply.text, "html.parser")


def typed(page: BeautifulSoup) -> dict[str, str]:
    """Return what a form has, as a browser would send it."""
    [form] = page.select('form[action^="/ui/policies/test"]')
    fields = {str(one["name"]): str(one.get("value", "")) for one in form.select("input")}
    for one in form.select("textarea"):
        fields[str(one["name"])] = one.get_text().removeprefix("\n").replace("\n", "\r\n")
    return fields


async def test_a_policy_is_tried_before_it_is_switched_on(house: House) -> None:
    await build(house, "tool 2.0")
    page = await house.show("root", EDITOR)
    assert page.select_one('button[value="set"]') is None
    fields = {**typed(page), "name": "company", "text": COMPANY}
    fields["specification"] = '{"specs": ["tool 2.0"]}'
    page = read(await house.submit("root", EDITOR, **fields, do="try"))
    trial = page.select_one(".trial")
    assert trial is not None
    assert "it would find 1 thing" in " ".join(trial.get_text(" ").split())
    assert "ada/notebook" in trial.get_text()
    assert "tool 2.0 is not allowed by policy 'company'" in trial.get_text()
    assert (await house.ask("root", "GET", "/policies")).json()["items"] == []

    reply = await house.submit("root", EDITOR, **typed(page), do="set")
    assert (reply.status_code, reply.headers["location"]) == (303, "/ui/policies/company")
    page = await house.show("root", "/ui/policies/company")
    assert "holds from now on" in page.get_text()
    assert "Set by root" in page.get_text()
    policy = (await house.ask("root", "GET", "/policies/company")).json()
    assert policy["text"].strip() == COMPANY.strip()


async def test_a_text_that_is_another_than_was_tried_is_tried_first(house: House) -> None:
    fields = {"name": "company", "text": COMPANY, "version": "0"}
    page = read(await house.submit("root", EDITOR, **fields, do="try"))
    changed = {**typed(page), "text": COMPANY + "[age]\nminimum = '7 days'\n"}
    page = read(await house.submit("root", EDITOR, **changed, do="set"))
    assert "another one than was tried" in page.get_text()
    assert "at least 7 days ago" in page.get_text()
    assert (await house.ask("root", "GET", "/policies")).json()["items"] == []
    assert (await house.submit("root", EDITOR, **typed(page), do="set")).status_code == 303


async def test_an_error_is_shown_at_its_line_and_what_was_typed_stays(house: House) -> None:
    text = '[packages]\ndenied = ["<<"]\n'
    reply = await house.submit("root", EDITOR, name="company", text=text, do="try")
    page = read(reply, 400)
    assert page.select_one("#error-text") is not None
    assert "Line 2" in page.select_one("#error-text").get_text()  # type: ignore[union-attr]
    assert page.select_one("textarea").get_text().strip() == text.strip()  # type: ignore[union-attr]
    # What no page of ours has sent is answered all the same.
    assert (await house.submit("root", EDITOR, version="9" * 14)).status_code == 200
    assert (await house.submit("root", EDITOR, version="7")).status_code == 200


async def test_what_does_nothing_in_a_policy_is_remarked_on(house: House) -> None:
    text = '[channels]\nallowed = ["main", "conda-froge"]\n[licences]\ndenied = ["GLP-*"]\n'
    await house.ask("root", "PUT", "/policies/company", text.encode())
    for path in ("/ui/policies", "/ui/policies/company"):
        page = await house.show("root", path)
        told = [one.get_text() for one in page.select(".remark")]
        assert len(told) == 2, told
        assert "'conda-froge'" in told[0]
        assert "'GLP-*'" in told[1]
    shown = await house.show("bob", "/ui/policies")
    assert shown.select(".remark") == []
    assert "Packages come from main" in shown.get_text()


async def test_a_policy_that_somebody_has_changed_since_is_not_overwritten(house: House) -> None:
    await house.ask("root", "PUT", "/policies/company", COMPANY.encode())
    page = await house.show("root", f"{EDITOR}?policy=company")
    page = read(await house.submit("root", EDITOR, **typed(page), do="try"))
    other = 'mode = "warn"\n' + COMPANY
    await house.ask("root", "PUT", "/policies/company", other.encode())
    reply = await house.submit("root", EDITOR, **typed(page), do="set")
    page = read(reply, 412)
    assert "Somebody has changed the policy since" in page.get_text()
    page = await house.show("root", "/ui/policies/company")
    [first, *_] = page.select("ol.history > li")
    assert "Version 2" in first.get_text()
    assert '+mode = "warn"' in [line.get_text() for line in first.select(".added")]
    page = await house.show("root", "/ui/policies/company?after=1")
    assert page.select("ol.history") == []


async def test_a_policy_is_taken_away_by_administrators_alone(house: House) -> None:
    await house.ask("root", "PUT", "/policies/company", COMPANY.encode())
    await house.show("bob", "/ui/policies/company", 403)
    editor = await house.show("bob", EDITOR)
    assert editor.select("textarea") == []
    reply = await house.submit("bob", EDITOR, name="company", text="", do="set")
    assert reply.status_code == 403
    assert (await house.submit("bob", "/ui/policies/company", version="1")).status_code == 403
    reply = await house.submit("root", "/ui/policies/company", version="1")
    assert reply.headers["location"] == "/ui/policies"
    page = await house.show("root", "/ui/policies")
    assert "No policy holds" in page.get_text()


async def test_findings_blocks_and_who_has_a_package_lead_to_each_other(house: House) -> None:
    version = await build(house, "tool 2.0")
    await house.ask("root", "PUT", "/policies/company", COMPANY.encode())
    page = await house.show("root", "/ui/packages?name=tool&version=>=2")
    [row] = page.select("table tbody tr")
    assert "ada/notebook" in row.get_text()
    assert "2.0" in row.get_text()
    page = await house.show("root", "/ui/packages?name=tool&version=>=3")
    assert "No active version has tool >=3" in page.get_text()
    page = await house.show("root", "/ui/packages?name=tool&version=>>3", 400)
    assert page.select_one("#error-version") is not None

    key = version["key"]
    page = await house.show("root", f"/ui/blocks?key={key}")
    assert page.select_one("#field-key")["value"] == key  # type: ignore[index]
    reply = await house.submit("root", "/ui/blocks", key=key, reason="")
    assert reply.status_code == 400
    reply = await house.submit("root", "/ui/blocks", key=key, reason="it was replaced")
    assert reply.status_code == 303
    page = await house.show("root", "/ui/blocks")
    assert "it was replaced" in page.get_text()
    assert (await house.submit("bob", "/ui/blocks", key=key, do="unblock")).status_code == 403
    reply = await house.submit("root", "/ui/blocks", key=key, do="unblock")
    assert reply.status_code == 303
    assert "No build is blocked" in (await house.show("root", "/ui/blocks")).get_text()


async def test_the_audit_log_is_filtered_and_taken_along(house: House) -> None:
    await house.ask("root", "PUT", "/policies/company", COMPANY.encode())
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    page = await house.show("root", "/ui/audit?action=policy.set")
    [row] = page.select("table tbody tr")
    assert "policy.set" in row.get_text()
    assert "root" in row.get_text()
    page = await house.show("root", "/ui/audit?namespace=ada&actor=ada")
    [row] = page.select("table tbody tr")
    assert "namespace.created" in row.get_text()
    [link] = page.select("a[download]")
    browser = await house.browser("root")
    reply = await browser.get(str(link["href"]))
    assert reply.headers["content-type"] == "application/x-ndjson"
    [line] = reply.text.splitlines()
    assert '"namespace.created"' in line
    page = await house.show("root", "/ui/audit?action=changes")
    did = {row.get_text() for row in page.select("td[data-label=What] code")}
    assert {"policy.set", "namespace.created"} <= did
    assert not {one for one in did if one.startswith(("login.", "admin."))}
    page = await house.show("root", "/ui/audit?since=yesterday", 400)
    assert "is no day" in page.get_text()
    await house.show("ada", "/ui/audit", 403)


async def test_a_new_policy_does_not_get_the_name_of_another(house: House) -> None:
    await house.ask("root", "PUT", "/policies/company", {"text": COMPANY})
    fields = {**typed(await house.show("root", EDITOR)), "name": "company", "text": COMPANY}
    page = read(await house.submit("root", EDITOR, **fields, do="try"), 409)
    assert "There is a policy 'company' already" in page.get_text()
