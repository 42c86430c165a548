"""Writing specifications in a browser, without scripts: as text, and by a form of the same text."""

from typing import Any

import pytest
from bs4 import BeautifulSoup

from tests.registry.web.pages.conftest import House

pytestmark = pytest.mark.anyio

TEXT = (
    "# what the team needs\nname: ours\nchannels:\n  - main\ndependencies:\n"
    "  - library  # first\n  # then\n  - tool =1.0\nvariables:\n  THREADS: '4'\n"
)


def fields_of(page: BeautifulSoup) -> dict[str, str]:
    """Return what a browser would send of the page's form, without a button."""
    form = page.select_one("form[data-drafts]")
    assert form is not None
    found: dict[str, str] = {}
    for one in form.select("input[name], textarea[name]"):
        if one.get("type") == "checkbox" and not one.has_attr("checked"):
            continue
        value = one.get_text()[1:] if one.name == "textarea" else one.get("value", "")
        # As browsers send lines.
        found[str(one["name"])] = str(value).replace("\n", "\r\n")
    return found


def text_of(page: BeautifulSoup) -> str:
    return fields_of(page)["text"].replace("\r\n", "\n")


async def sent(house: House, path: str, status: int, **fields: Any) -> BeautifulSoup:
    reply = await house.submit("ada", path, **fields)
    assert reply.status_code == status, (reply.status_code, reply.text)
    return BeautifulSoup(reply.text, "html.parser")


async def test_a_form_changes_the_text_that_it_shows_and_nothing_else(house: House) -> None:
    page = await house.show("ada", "/new")
    fields = {**fields_of(page), "text": TEXT.replace("\n", "\r\n")}
    form = await sent(house, "/new", 200, **fields, do="form")
    fields = fields_of(form)
    assert fields["view"] == "form"
    assert (fields["packages-0"], fields["packages-1"]) == ("library", "tool =1.0")
    assert fields["channels-0"] == "main"
    assert "variables" in form.select_one("main").get_text()  # type: ignore[union-attr]
    assert text_of(form) == TEXT
    changed = await sent(
        house, "/new", 200, **{**fields, "packages-1": "tool >=1", "pip-new": "six"}, do="apply"
    )
    assert text_of(changed) == TEXT.replace("tool =1.0", "tool >=1").replace(
        "variables", "  - pip:\n      - six\nvariables"
    )
    removed = await sent(house, "/new", 200, **fields_of(changed), do="remove:packages:0")
    assert "library" not in text_of(removed)
    assert "  # then\n  - tool >=1\n" in text_of(removed)
    text = await sent(house, "/new", 200, **fields_of(removed), do="text")
    assert fields_of(text)["view"] == "text"
    assert text_of(text) == text_of(removed)
    found = await sent(house, "/new", 200, **{**fields_of(removed), "find": "libr"}, do="find")
    added = found.select_one("button[value='add:packages:library']")
    assert added is not None
    again = await sent(house, "/new", 200, **fields_of(found), do=added["value"])
    assert "  - library\n" in text_of(again)


async def test_what_no_field_can_hold_is_left_as_it_is_by_a_form(house: House) -> None:
    page = await house.show("ada", "/new")
    text = 'dependencies:\n  - |\n    odd\n  - " blank "\n  - "a\\nb"\n  - tool\n'
    form = await sent(house, "/new", 200, **{**fields_of(page), "text": text}, do="form")
    # As browsers keep what is in a line.
    fields = {
        name: " ".join(value.split()) if name.startswith("packages-") else value
        for name, value in fields_of(form).items()
    }
    changed = await sent(house, "/new", 200, **{**fields, "packages-3": "tool >=1"}, do="apply")
    assert text_of(changed) == text.replace("- tool", "- tool >=1")


async def test_what_has_no_form_is_shown_as_text_with_the_reason_at_its_line(
    house: House,
) -> None:
    page = await house.show("ada", "/new")
    broken = {**fields_of(page), "text": "dependencies:\n  - a\n - b\n"}
    answer = await sent(house, "/new", 200, **broken, do="form")
    assert fields_of(answer)["view"] == "text"
    assert text_of(answer) == broken["text"]
    assert answer.select_one("[role=alert]") is not None
    meant = answer.select_one(".excerpt .meant")
    assert meant is not None
    assert meant.get_text() == " - b"


async def test_a_check_says_what_it_comes_to_and_makes_nothing(house: House) -> None:
    page = await house.show("ada", "/new")
    fields = {**fields_of(page), "text": TEXT, "namespace": "nowhere-yet", "name": "x"}
    answer = await sent(house, "/new", 200, **fields, do="check")
    told = answer.select_one("#checked")
    assert told is not None
    assert "It can be built" in told.get_text()
    assert "tool" in told.get_text()
    assert text_of(answer) == TEXT
    wrong = {**fields, "text": TEXT.replace("tool =1.0", "toool")}
    refused = await sent(house, "/new", 422, **wrong, do="check")
    alert = refused.select_one("#checked [role=alert]")
    assert alert is not None
    assert "Line 8" in alert.get_text()
    assert "did you mean 'tool'" in alert.get_text()
    assert text_of(refused) == wrong["text"]
    browser = await house.browser("ada")
    lines = {"origin": browser.origin, "hx-request": "true"}
    part = await browser.http.post("/new", data={**fields, "do": "check"}, headers=lines)
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "It can be built" in part.text
    assert (await house.ask("ada", "GET", "/namespaces/nowhere-yet")).status_code == 404


async def test_an_environment_is_made_with_the_namespace_of_whoever_makes_it(
    house: House,
) -> None:
    page = await house.show("ada", "/new?package=tool+%3D1.0&package=library")
    fields = fields_of(page)
    assert fields["namespace"] == "ada"
    assert fields["text"].endswith("dependencies:\r\n  - tool =1.0\r\n  - library\r\n")
    nameless = await sent(house, "/new", 400, **fields, do="save")
    assert "name" in nameless.select_one("[role=alert]").get_text()  # type: ignore[union-attr]
    reply = await house.submit("ada", "/new", **{**fields, "name": "Our Tools"}, do="save")
    assert reply.status_code == 303, reply.text
    assert reply.headers["location"] == "/ada/our-tools/-/versions/1"
    api = "/namespaces/ada/environments/our-tools"
    kept = await house.ask("ada", "GET", f"{api}/versions/1/specification")
    assert kept.text == fields["text"].replace("\r\n", "\n")
    again = await sent(house, "/new", 409, **{**fields, "name": "our tools"}, do="save")
    assert text_of(again) == kept.text
    copy = await house.show("ada", "/new?copy=ada/our-tools")
    assert text_of(copy) == kept.text


async def test_an_edit_makes_a_version_and_says_if_another_came_between(house: House) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    api = "/namespaces/ada/environments"
    made = await house.ask("ada", "POST", f"{api}?name=notebook", TEXT.encode())
    assert made.status_code in {201, 202}, made.text
    page = await house.show("ada", "/ada/notebook/-/edit")
    fields = fields_of(page)
    assert text_of(page) == TEXT
    assert fields["base"] == "1"
    assert page.select_one("select[name=then] option[selected]")["value"] == "activate"  # type: ignore[index]
    other = TEXT.replace("=1.0", "=2.0").encode()
    await house.ask("ada", "POST", f"{api}/notebook/versions", other)
    mine = {**fields, "text": TEXT.replace("=1.0", ">=1"), "note": "newer"}
    asked = await sent(house, "/ada/notebook/-/edit", 409, **mine, do="save")
    assert "v2 was made by ada" in asked.select_one("[role=alert]").get_text()  # type: ignore[union-attr]
    assert text_of(asked) == mine["text"]
    reply = await house.submit("ada", "/ada/notebook/-/edit", **fields_of(asked), do="save")
    assert reply.status_code == 303
    assert reply.headers["location"] == "/ada/notebook/-/versions/3"
    third = (await house.ask("ada", "GET", f"{api}/notebook/versions/3")).json()
    assert third["note"] == "newer"


async def test_who_may_only_look_checks_and_is_led_to_a_copy(house: House) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    api = "/namespaces/ada/environments"
    await house.ask("ada", "POST", f"{api}?name=notebook", TEXT.encode())
    grant = {"subject": "bob", "role": "viewer"}
    assert (await house.ask("ada", "POST", "/namespaces/ada/grants", grant)).status_code == 201
    page = await house.show("bob", "/ada/notebook/-/edit")
    assert page.select_one("button[value=save]") is None
    link = page.select_one("a[href='/new?copy=ada%2Fnotebook']")
    assert link is not None
    reply = await house.submit("bob", "/ada/notebook/-/edit", **fields_of(page), do="save")
    assert reply.status_code == 403
    copied = await house.show("bob", str(link["href"]))
    assert text_of(copied) == TEXT


async def test_completions_are_of_packages_versions_and_channels(house: House) -> None:
    browser = await house.browser("ada")

    async def items(query: str) -> list[str]:
        reply = await browser.get(f"/new/completions?{query}")
        assert reply.status_code == 200, reply.text
        return [one["text"] for one in reply.json()["items"]]

    assert (await items("kind=packages&q=tool"))[0] == "tool"
    assert await items("kind=versions&q=tool") == ["2.0", "1.0"]
    assert await items("kind=channels&q=ma&namespace=not-there") == ["main"]
    assert await items("kind=platforms&q=linux") == ["linux-64"]
    assert await items("kind=other&q=x") == []


async def test_text_of_others_stays_text(house: House) -> None:
    page = await house.show("ada", "/new")
    hostile = "</textarea><script>alert(1)</script>"
    text = f'dependencies:\n  - "{hostile}"\n# \u202e{hostile}\n'
    for do in ("form", "text", "check"):
        reply = await house.submit("ada", "/new", **{**fields_of(page), "text": text}, do=do)
        assert "<script>alert" not in reply.text
        assert text_of(BeautifulSoup(reply.text, "html.parser")) == text


async def test_a_form_of_many_fields_is_taken_and_one_without_end_is_not(house: House) -> None:
    page = await house.show("ada", "/new")
    many = "dependencies:\n" + "".join(f"  - p{number}\n" for number in range(300))
    form = await sent(house, "/new", 200, **{**fields_of(page), "text": many}, do="form")
    fields = {**fields_of(form), "packages-299": "last"}
    assert text_of(await sent(house, "/new", 200, **fields, do="apply")).endswith("- last\n")
    too_many = "dependencies:\n" + "".join(f"  - p{number}\n" for number in range(500))
    answer = await sent(house, "/new", 200, **{**fields_of(page), "text": too_many}, do="form")
    assert fields_of(answer)["view"] == "text"
    assert text_of(answer) == too_many


async def test_one_begins_with_what_runs_or_with_what_is_asked_for(house: House) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    api = "/namespaces/ada/environments"
    wait = {"prefer": "wait=25"}
    await house.ask("ada", "POST", f"{api}?name=notebook", TEXT.encode(), **wait)
    for change in ("=2.0", ""):
        other = TEXT.replace("=1.0", change).encode()
        made = await house.ask("ada", "POST", f"{api}/notebook/versions", other, **wait)
        assert made.json()["state"] == "built", made.text
    await house.ask("ada", "PUT", f"{api}/notebook/active", {"version": 2})
    page = await house.show("ada", "/ada/notebook/-/edit")
    assert "=2.0" in text_of(page)
    assert "the newest is v3" in " ".join(page.get_text().split())
    assert text_of(await house.show("ada", "/ada/notebook/-/edit?version=1")) == TEXT
    await house.show("ada", "/ada/notebook/-/edit?version=99", 404)
