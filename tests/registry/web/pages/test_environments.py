"""Pages of an environment: how to use it, what it consists of, what became of its versions."""

import json
from typing import Any

import pytest

from tests.registry.web.pages.conftest import House
from tests.tiny_channel import publish, tool

pytestmark = pytest.mark.anyio

FORECAST = "/namespaces/ada/environments/forecast"
HERE = "/ada/forecast"


async def made(house: House, *specs: str, query: str = "") -> dict[str, Any]:
    """Have ada ask for a version of ``ada/forecast``, and return it once it has ended."""
    body = json.dumps({"specs": list(specs)}).encode()
    reply = await house.ask("ada", "POST", f"{FORECAST}/versions{query}", body, prefer="wait=25")
    assert reply.status_code in {200, 201}, reply.text
    document: dict[str, Any] = reply.json()
    return document


@pytest.fixture
async def forecast(house: House) -> House:
    """Return a service with an environment of two versions, and one that failed."""
    assert (await house.ask("ada", "POST", "/namespaces", {"name": "ada"})).status_code == 201
    new = {"name": "forecast", "description": "What next week is like."}
    reply = await house.ask("ada", "POST", "/namespaces/ada/environments", new)
    assert reply.status_code == 201, reply.text
    assert (await made(house, "tool=1.0"))["state"] == "built"
    assert (await made(house, "tool", query="?note=the newest tool"))["state"] == "built"
    assert (await made(house, "tool=9"))["state"] == "failed"
    return house


def texts(page: Any, selector: str) -> list[str]:
    """Return the texts of some elements, blanks folded."""
    return [" ".join(one.get_text().split()) for one in page.select(selector)]


async def test_commands_to_use_an_environment_are_told_as_they_are_typed(forecast: House) -> None:
    page = await forecast.show("ada", HERE)
    commands = texts(page, ".copy code")
    assert "docker run --rm -it registry.example/ada/forecast sh" in commands
    assert "docker login --username ada registry.example" in commands
    assert any(
        "apptainer exec docker://registry.example/ada/forecast sh" in one for one in commands
    )
    exact = await forecast.show("ada", f"{HERE}?exact=1")
    assert "FROM registry.example/ada/forecast:v2" in texts(exact, ".copy code")


async def test_what_was_asked_for_stands_beside_what_came(forecast: House) -> None:
    page = await forecast.show("ada", HERE)
    row = next(one for one in texts(page, "section tr") if one.startswith("tool"))
    assert row == "tool tool 2.0 0" or "2.0" in row


async def test_a_failure_stands_at_the_top_with_what_may_help(forecast: House) -> None:
    page = await forecast.show("ada", HERE)
    assert "v3 failed" in page.select_one("[role=alert]").get_text()  # type: ignore[union-attr]
    version = await forecast.show("ada", f"{HERE}/-/versions/3")
    alert = " ".join(version.select_one("[role=alert]").get_text().split())  # type: ignore[union-attr]
    assert "tool" in alert
    assert "Loosen or remove" in alert or "Ask for" in alert or "Check" in alert


async def test_forms_and_links_lead_where_there_is_something(forecast: House) -> None:
    browser = await forecast.browser("ada")
    for path in ("", "/-/versions", "/-/versions/1", "/-/versions/3", "/-/diff/1/2", "/-/settings"):
        page = await forecast.show("ada", f"{HERE}{path}")
        for form in page.select("main form[action]"):
            action = str(form["action"])
            assert action.startswith((HERE, "#")), action
        for link in page.select(f"main a[href^='{HERE}']"):
            where = str(link["href"]).partition("#")[0]
            if "/-/edit" not in where:
                reply = await browser.http.get(where, follow_redirects=True)
                assert reply.status_code == 200, where


async def test_every_section_is_a_page(forecast: House) -> None:
    page = await forecast.show("ada", HERE)
    for link in page.select(".tabs a"):
        await forecast.show("ada", str(link["href"]))
    for path in ("/-/use?version=1&exact=1", "/-/diff/1/2", "/-/diff/2/1", "/-/versions/1"):
        await forecast.show("ada", f"{HERE}{path}")


async def test_an_older_version_can_be_made_active(forecast: House) -> None:
    page = await forecast.show("ada", f"{HERE}/-/versions")
    form = page.select_one("form[action='/ada/forecast/-/versions/1']")
    assert form is not None
    fields = {str(one["name"]): str(one["value"]) for one in form.select("input")}
    reply = await forecast.submit("ada", f"{HERE}/-/versions/1", **fields)
    assert reply.headers["location"] == HERE
    assert "v1 is active now" in (await forecast.show("ada", HERE)).get_text()
    # The page of before knows nothing of it.
    again = await forecast.submit("ada", f"{HERE}/-/versions/2", **fields)
    assert again.status_code == 412
    assert 'role="alert"' in again.text


async def test_a_difference_tells_directions(forecast: House) -> None:
    page = await forecast.show("ada", f"{HERE}/-/diff/1/2")
    assert any("tool" in row and "up" in row for row in texts(page, "tr.up"))
    chosen = await (await forecast.browser("ada")).get(f"{HERE}/-/diff?a=v1&b=2")
    assert chosen.headers["location"] == f"{HERE}/-/diff/1/2"


async def test_a_version_that_failed_has_no_difference_and_says_so(forecast: House) -> None:
    page = await forecast.show("ada", f"{HERE}/-/diff/2/3", 409)
    assert "there is no build of it" in page.get_text()
    assert page.select_one("form.filters") is not None


async def test_files_are_downloaded_through_the_page(forecast: House) -> None:
    page = await forecast.show("ada", f"{HERE}/-/downloads")
    browser = await forecast.browser("ada")
    for link in page.select(".files a"):
        reply = await browser.http.get(str(link["href"]), follow_redirects=True)
        assert reply.status_code == 200, (link, reply.text)
        assert reply.content
    lock = f"{HERE}/-/versions/2/lock"
    whole = await browser.get(lock)
    part = await browser.http.get(lock, headers={"range": "bytes=0-9"})
    assert part.status_code == 206
    assert part.content == whole.content[:10]
    assert (await browser.get(f"{HERE}/-/versions/2/nothing")).status_code == 404
    assert (await browser.get(f"{HERE}/-/versions/9/lock")).status_code == 404


async def test_strangers_and_others_learn_nothing(forecast: House) -> None:
    for path in (
        "",
        "/-/versions",
        "/-/versions/1",
        "/-/versions/1/lock",
        "/-/settings",
        "/-/diff/1/2",
    ):
        stranger = await (await forecast.browser(None)).get(f"{HERE}{path}")
        assert stranger.headers["location"].startswith("/login?next=")
        await forecast.show("bob", f"{HERE}{path}", 404)
        await forecast.show("bob", f"/ada/nothing{path}", 404)


async def test_whoever_may_only_look_sees_no_buttons_and_why(forecast: House) -> None:
    role = {"subject": "bob", "role": "viewer"}
    assert (await forecast.ask("ada", "POST", "/namespaces/ada/grants", role)).status_code == 201
    page = await forecast.show("bob", HERE)
    assert "Viewer, by ada" in page.get_text()
    assert not page.select("form[action*='/-/versions/']")
    reply = await forecast.submit("bob", f"{HERE}/-/versions/1", do="activate")
    assert reply.status_code == 403
    assert "editor" in reply.text


async def test_a_running_version_shows_its_log_and_ends_by_itself(forecast: House) -> None:
    browser = await forecast.browser("ada")
    reply = await browser.get(f"{HERE}/-/versions/2/live")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "event: end" in reply.text
    assert "event: log" in reply.text
    assert 'class="phases"' in reply.text
    line = await browser.get(f"{HERE}/-/versions/2/live?as=line")
    assert "event: log" not in line.text
    assert "event: end" in line.text


async def test_a_version_is_solved_again_by_its_own_file(forecast: House) -> None:
    await publish(forecast.site.channel, tool("3.0", 1_740_000_000_000))
    reply = await forecast.submit("ada", f"{HERE}/-/versions/2", do="again")
    assert reply.headers["location"] == f"{HERE}/-/versions/4"
    page = await forecast.show("ada", f"{HERE}/-/versions/4")
    assert "as v2" in page.get_text()


async def test_settings_change_move_copy_delete_and_restore(forecast: House) -> None:
    settings = f"{HERE}/-/settings"
    page = await forecast.show("ada", settings)
    revision = str(page.select_one("input[name=revision]")["value"])  # type: ignore[index]
    reply = await forecast.submit(
        "ada", settings, do="describe", description="<b>new</b>", revision=revision
    )
    assert reply.status_code == 303
    assert "<b>new</b>" in (await forecast.show("ada", HERE)).get_text()
    stale = await forecast.submit("ada", settings, do="delete", revision=revision)
    assert stale.status_code == 412
    reply = await forecast.submit("ada", settings, do="copy", namespace="ada", name="other")
    assert reply.headers["location"] == "/ada/other"
    taken = await forecast.submit("ada", settings, do="copy", namespace="ada", name="other")
    assert taken.status_code == 409
    assert 'value="other"' in taken.text
    reply = await forecast.submit("ada", settings, do="move", namespace="ada", name="weather")
    assert reply.status_code == 303, reply.text
    assert reply.headers["location"] == "/ada/weather"
    reply = await forecast.submit("ada", "/ada/weather/-/settings", do="delete")
    assert reply.headers["location"] == "/ada/weather/-/restore"
    assert "deleted" in (await forecast.show("ada", "/ada/weather/-/restore")).get_text()
    reply = await forecast.submit("ada", "/ada/weather/-/restore", do="restore")
    assert reply.headers["location"] == "/ada/weather"
    await forecast.show("ada", "/ada/weather")


async def test_what_was_never_deleted_cannot_be_restored(forecast: House) -> None:
    reply = await (await forecast.browser("ada")).get(f"{HERE}/-/restore")
    assert reply.headers["location"] == HERE
    await forecast.show("ada", "/ada/nothing/-/restore", 404)
