"""Pages of a namespace: its environments, a new one, one that is restored."""

from typing import Any

import pytest

from tests.registry.web.api.site import wish
from tests.registry.web.pages.conftest import House

pytestmark = pytest.mark.anyio


async def make(house: House, *environments: str) -> None:
    """Have ada make her namespace, with environments."""
    reply = await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    assert reply.status_code == 201, reply.text
    for name in environments:
        body = {"name": name, "description": f"about {name}"}
        reply = await house.ask("ada", "POST", "/namespaces/ada/environments", body)
        assert reply.status_code == 201, reply.text


async def build(house: House, path: str = "ada/forecast", body: bytes | None = None) -> Any:
    """Have a version made, and return it."""
    namespace, _, name = path.partition("/")
    url = f"/namespaces/{namespace}/environments/{name}/versions"
    reply = await house.ask(
        namespace, "POST", url, body or wish("tool"), prefer="wait=25", content_type="text/plain"
    )
    assert reply.status_code in {200, 201}, reply.text
    return reply.json()


async def test_a_namespace_shows_its_environments_and_how_each_is(house: House) -> None:
    await make(house, "empty", "forecast")
    await build(house)
    page = await house.show("ada", "/ada")
    [empty, forecast] = page.select("table.environments tbody tr")
    assert "no version yet" in empty.get_text()
    assert "about empty" in empty.get_text()
    assert "active" in forecast.get_text()
    assert "v1" in forecast.get_text()
    assert forecast.a is not None
    assert forecast.a["href"] == "/ada/forecast"
    assert page.select_one('a[href="/new?namespace=ada"]') is not None


async def test_environments_are_found_by_name_and_package_and_the_next_page_keeps_that(
    house: House,
) -> None:
    await make(house, "forecast", *(f"model-{number}" for number in range(51)))
    await build(house)
    page = await house.show("ada", "/ada?search=model")
    assert len(page.select("table.environments tbody tr")) == 50
    [more] = page.select("nav.more a")
    assert "search=model" in str(more["href"])
    rest = await house.show("ada", f"/ada{more['href']}")
    assert len(rest.select("table.environments tbody tr")) == 1
    found = await house.show("ada", "/ada?package=tool")
    assert [row.a.get_text() for row in found.select("table.environments tbody tr")] == ["forecast"]  # type: ignore[union-attr]
    none = await house.show("ada", "/ada?search=nothing")
    assert "No environment here fits." in none.get_text()


async def test_a_script_is_given_the_states_alone(house: House) -> None:
    await make(house, "forecast")
    browser = await house.browser("ada")
    reply = await browser.http.get("/ada", headers={"hx-request": "true"})
    assert reply.status_code == 200
    assert 'id="state-ada-forecast"' in reply.text
    assert "<html" not in reply.text


async def test_a_private_namespace_is_not_there_for_others(house: House) -> None:
    await make(house)
    await house.show("bob", "/ada", 404)
    reply = await (await house.browser(None)).get("/ada")
    assert reply.status_code == 303
    assert reply.headers["location"] == "/login?next=%2Fada"


async def test_an_empty_namespace_says_what_to_do(house: House) -> None:
    await make(house)
    assert "There is no environment here yet" in (await house.show("ada", "/ada")).get_text()


async def test_people_make_the_namespace_of_their_name(house: House) -> None:
    page = await house.show("ada", "/new/namespace")
    field = page.select_one("input[name=name]")
    assert field is not None
    assert field["value"] == "ada"
    assert page.select_one("input[name=owner]") is None
    reply = await (await house.browser("ada")).submit(
        "/new/namespace", name="ada", description="mine"
    )
    assert (reply.status_code, reply.headers["location"]) == (303, "/ada")
    shown = await house.show("ada", "/ada")
    assert "The namespace ada is made." in shown.get_text()
    assert "mine" in shown.get_text()


async def test_a_name_that_is_refused_is_kept_in_the_form_with_the_sentence(house: House) -> None:
    reply = await (await house.browser("ada")).submit(
        "/new/namespace", name="team", description="ours"
    )
    assert reply.status_code == 403
    assert "may make the namespace of their own name alone" in reply.text
    assert "ours" in reply.text
    assert 'value="team"' in reply.text


async def test_an_administrator_makes_any_namespace_for_anybody(house: House) -> None:
    reply = await (await house.browser("root")).submit("/new/namespace", name="Team", owner="ada")
    assert reply.headers["location"] == "/team"
    await house.show("ada", "/team")


async def test_a_deleted_namespace_is_restored_by_its_owner_alone(house: House) -> None:
    await make(house, "forecast")
    assert (await house.ask("ada", "DELETE", "/namespaces/ada")).status_code == 204
    await house.show("bob", "/ada/-/restore")
    refused = await house.submit("bob", "/ada/-/restore", sure="yes")
    assert refused.status_code == 403
    reply = await house.submit("ada", "/ada/-/restore", sure="yes")
    assert reply.status_code == 303, reply.text
    assert reply.headers["location"] == "/ada"
    assert "forecast" in (await house.show("ada", "/ada")).get_text()
