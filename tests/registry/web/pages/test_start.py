"""The first page, and finding things."""

from pathlib import Path

import pytest

from registry.storage.filesystem import FilesystemStore
from registry.web.html.rendering import render
from registry.web.pages.start import packages_of
from tests.registry.fakes import FakeService
from tests.registry.web.api.site import wish
from tests.registry.web.login.browser import Page, open_browsers
from tests.registry.web.pages.conftest import HERE, House

pytestmark = pytest.mark.anyio


async def made(house: House, name: str = "forecast") -> None:
    """Have ada make an environment with a version."""
    await house.ask("ada", "POST", "/namespaces", {"name": "ada", "description": "Of Ada"})
    path = f"/namespaces/ada/environments?name={name}"
    reply = await house.ask("ada", "POST", path, wish("tool"))
    assert reply.status_code == 201, reply.text
    path = f"/namespaces/ada/environments/{name}/versions"
    await house.ask("ada", "POST", path, wish("tool"), prefer="wait=25")


async def test_a_stranger_is_told_how_to_pull(house: House) -> None:
    page = await house.show(None, "/")
    assert "registry.example/env/" in page.get_text()
    assert page.find("a", string="Log in") is not None


async def test_without_a_database_the_first_page_tells_how_to_pull(tmp_path: Path) -> None:
    house = FakeService(FilesystemStore(tmp_path / "store"), tmp_path / "scratch")
    async with open_browsers(house.app(), HERE) as (browser,):
        reply = await browser.get("/")
        assert reply.status_code == 200
        assert "registry.example/env/" in reply.text
        assert "/login" not in reply.text


async def test_whoever_has_logged_in_is_named(house: House) -> None:
    page = await house.show("ada", "/")
    assert "ada" in page.header.get_text()  # type: ignore[union-attr]
    assert page.find("a", href="/new") is not None


async def test_ones_own_environments_are_on_the_first_page_and_not_on_others(house: House) -> None:
    await made(house)
    mine = (await house.show("ada", "/")).get_text()
    assert "ada/forecast" in mine
    assert "Of Ada" in mine
    assert "forecast" not in (await house.show("bob", "/")).get_text()
    assert "forecast" not in (await house.show(None, "/")).get_text()


async def test_strangers_see_what_packages_come_to_before_they_pull(house: House) -> None:
    browser = await house.browser(None)
    reply = await browser.submit("/", wish="tool")
    assert reply.status_code == 200
    assert "docker run --rm -it registry.example/env/tool" in reply.text
    part = await browser.http.post(
        "/", data={"wish": "tool"}, headers={"origin": browser.origin, "hx-request": "true"}
    )
    assert "<html" not in part.text
    assert "registry.example/env/tool" in part.text


async def test_a_wish_that_cannot_be_had_is_told_and_kept(house: House) -> None:
    reply = await (await house.browser(None)).submit("/", wish="tool-of-nobody")
    assert reply.status_code == 422
    assert "tool-of-nobody" in Page(reply.text).fields["wish"]
    assert 'role="alert"' in reply.text
    empty = await (await house.browser(None)).submit("/", wish=" , ")
    assert empty.status_code == 400


async def test_a_form_of_another_page_solves_nothing(house: House) -> None:
    browser = await house.browser(None)
    reply = await browser.http.post(
        "/", data={"wish": "tool"}, headers={"origin": "https://evil.example"}
    )
    assert reply.status_code == 403


async def test_what_is_searched_is_found_by_name_by_package_and_as_a_namespace(
    house: House,
) -> None:
    await made(house)
    assert "ada/forecast" in (await house.show("ada", "/search?q=fore")).get_text()
    having = await house.show("ada", "/search?q=tool&in=having")
    assert "ada/forecast" in having.get_text()
    assert having.find("a", href="/ada") is None
    assert (await house.show("ada", "/search?q=of+ada")).find("a", href="/ada") is not None
    assert "tool" in (await house.show("ada", "/search?q=too&in=packages")).main.get_text()  # type: ignore[union-attr]
    assert "forecast" not in (
        await house.show("bob", "/search?q=fore&in=environments")
    ).main.get_text().replace("fore ", "")  # type: ignore[union-attr]


async def test_a_list_goes_on_where_a_page_ends(house: House) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    for number in range(51):
        body = {"name": f"many-{number:02}"}
        await house.ask("ada", "POST", "/namespaces/ada/environments", body)
    first = await house.show("ada", "/search?q=many&in=environments")
    onward = first.find("a", rel="next")
    assert onward is not None
    second = await house.show("ada", f"/search{onward['href']}")
    assert "many-50" in second.get_text()
    assert "many-00" not in second.get_text()


def test_packages_are_told_apart_as_people_type_them() -> None:
    assert packages_of("numpy>=2 , pandas\nscipy ==1.17.*") == [
        "numpy>=2",
        "pandas",
        "scipy ==1.17.*",
    ]
    assert packages_of("") == []


def test_what_is_being_made_is_asked_for_again_until_it_ends() -> None:
    newest = {"number": 3, "state": "building", "percent": 40, "requested_by": "ada"}
    one = {"path": "ada/forecast", "details": {"newest": newest}}
    shown = render("start/_building.html", building={"items": [one], "next": None})
    assert 'hx-trigger="every 5s"' in shown
    assert '<progress max="100" value="40"' in shown
    assert render("start/_building.html", building={"items": [], "next": None}).strip() == ""


async def test_a_script_gets_what_is_being_made_alone(house: House) -> None:
    browser = await house.browser("ada")
    reply = await browser.http.get("/", headers={"hx-request": "true"})
    assert reply.status_code == 200
    assert reply.text.strip() == ""


async def test_what_is_longer_than_a_line_is_said_to_be_and_nothing_is_cut(house: House) -> None:
    reply = await house.submit("ada", "/", wish="library " * 400)
    assert reply.status_code == 413
    assert "more than fits into one line" in reply.text


async def test_what_is_wrong_with_a_package_names_it_as_it_was_typed(house: House) -> None:
    reply = await house.submit("ada", "/", wish="library; <x>")
    assert reply.status_code == 400
    assert "specs[" not in reply.text
    assert "&lt;x&gt;" in reply.text


async def test_a_script_is_sent_to_log_in_where_a_browser_would_be(house: House) -> None:
    browser = await house.browser(None)
    reply = await browser.http.get("/me", headers={"hx-request": "true"})
    assert reply.headers["hx-redirect"] == "/login?next=%2Fme"
    assert reply.text == ""
