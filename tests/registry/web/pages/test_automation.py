"""Pages of what goes on by itself: proposals, schedules, sources and webhooks."""

from typing import Any, Final

import pytest
from bs4 import BeautifulSoup, Tag

from tests.registry.web.api.site import wish
from tests.registry.web.pages.conftest import House

pytestmark = pytest.mark.anyio

NOTEBOOK: Final = "/namespaces/ada/environments/notebook"


@pytest.fixture
def settings() -> dict[str, Any]:
    # What is sent is not sent from here: its tests are those of webhooks.
    return {"webhook_networks": []}


def told(page: Tag) -> str:
    main = page.select_one("main")
    assert main is not None
    return " ".join(main.get_text(" ").split())


async def make(house: House, spec: str = "library") -> None:
    """Have ada make ada/notebook, with one version."""
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    made = await house.ask("ada", "POST", "/namespaces/ada/environments", {"name": "notebook"})
    assert made.status_code == 201, made.text
    await build(house, spec)


async def build(house: House, spec: str, query: str = "") -> Any:
    reply = await house.ask(
        "ada", "POST", f"{NOTEBOOK}/versions{query}", wish(spec), prefer="wait=25"
    )
    assert reply.json()["state"] == "built", reply.text
    return reply.json()


async def propose(house: House) -> int:
    """Return the number of a proposal of ada's."""
    await make(house)
    await build(house, "tool", "?propose=1&note=newer")
    return int((await house.ask("ada", "GET", NOTEBOOK)).json()["proposal"])


def read(reply: Any, status: int) -> BeautifulSoup:
    assert reply.status_code == status, reply.text
    return BeautifulSoup(reply.text, "html.parser")


# Proposals.


async def test_a_proposal_is_activated_in_one_click_wherever_it_is_shown(house: House) -> None:
    number = await propose(house)
    home = await house.show("ada", "/")
    assert home.select_one(f'main a[href="/ui/proposals/{number}"]') is not None
    waiting = await house.show("ada", "/ada/notebook/-/versions/2")
    assert "It waits for a decision" in told(waiting)
    places = ("/ada/notebook", "/ada/-/proposals", "/ui/proposals?state=open")
    for version, place in enumerate(places, 2):
        page = await house.show("ada", place)
        [form] = page.select("form.decide")
        assert form["action"] == f"/ui/proposals/{number}"
        fields = {str(one["name"]): str(one["value"]) for one in form.select("input[type=hidden]")}
        reply = await house.submit("ada", str(form["action"]), **fields, do="activate")
        assert reply.status_code == 303, reply.text
        assert reply.headers["location"] == place
        page = await house.show("ada", place)
        assert f"v{version} of ada/notebook is active now." in told(page)
        assert not page.select("form.decide")
        assert (await house.ask("ada", "GET", NOTEBOOK)).json()["active"] == version
        await build(house, "library" if version % 2 == 0 else "tool", "?propose=1&renew=1")
        number = int((await house.ask("ada", "GET", NOTEBOOK)).json()["proposal"])


async def test_a_proposal_says_what_it_changes_and_is_rejected_with_a_note(house: House) -> None:
    number = await propose(house)
    here = f"/ui/proposals/{number}"
    page = await house.show("ada", here)
    assert "1 package is added." in told(page)
    row = page.select_one("tr.added")
    assert row is not None
    assert "tool" in row.get_text()
    assert "newer" in told(page)
    assert "named no test" in told(page)
    overview = told(await house.show("ada", "/ada/notebook"))
    assert "v2 waits for a decision" in overview
    assert "1 package is added." in overview
    reply = await house.submit("ada", here, do="reject", reason="not <b>now</b>")
    assert reply.headers["location"] == here
    page = await house.show("ada", here)
    assert "Rejected by ada" in told(page)
    assert "not <b>now</b>" in told(page)
    late = read(await house.submit("ada", here, do="activate", reason="yes"), 409)
    assert late.select_one("[role=alert]") is not None


async def test_a_test_is_set_and_run_by_those_who_decide(house: House) -> None:
    number = await propose(house)
    here, settings = f"/ui/proposals/{number}", "/ada/notebook/-/settings"
    page = read(await house.submit("ada", here, do="test"), 409)
    assert "test" in told(page)
    reply = await house.submit("ada", settings, do="test", test_command="tool --version\r\n")
    assert reply.status_code == 303, reply.text
    assert "tool --version" in told(await house.show("ada", settings))
    reply = await house.submit("ada", here, do="test")
    assert reply.status_code == 303, reply.text
    assert "tool --version" in told(await house.show("ada", here))
    # Who may not decide sees no button, and is refused.
    await house.show("bob", f"/ui/proposals/{number}", 404)
    grant = {"subject": "bob", "role": "viewer"}
    assert (await house.ask("ada", "POST", "/namespaces/ada/grants", grant)).is_success
    page = await house.show("bob", f"/ui/proposals/{number}")
    assert not page.select("form.decide")
    assert "Whoever may change the environment decides" in told(page)
    reply = await house.submit("bob", f"/ui/proposals/{number}", do="activate")
    assert reply.status_code == 403
    assert (await house.submit("ada", f"/ui/proposals/{number}", do="nonsense")).status_code == 400


# Schedules.


async def test_a_schedule_is_set_shown_carried_out_and_deleted(house: House) -> None:
    await make(house)
    here = "/ada/notebook/-/schedule"
    page = await house.show("ada", here)
    assert "solved when somebody asks for it" in told(page)
    fields = {"do": "save", "often": "fields", "cron": "30 3 * * MON", "then": "activate"}
    reply = await house.submit("ada", here, **fields, timezone="Europe/Berlin")
    assert reply.status_code == 303, reply.text
    page = await house.show("ada", here)
    assert "Mondays at 03:30, Europe/Berlin" in told(page)
    assert page.select_one('input[name="then"][checked]')["value"] == "activate"  # type: ignore[index]
    assert page.select_one('input[name="cron"]')["value"] == "30 3 * * MON"  # type: ignore[index]
    for listed in ("/ada/-/schedules", "/ui/schedules", "/ada/notebook"):
        assert "Mondays at 03:30" in told(await house.show("ada", listed)), listed
    run = await house.submit("ada", here, do="run")
    assert (run.status_code, run.headers["location"]) == (303, "/ada/notebook/-/versions/2")
    revision = str(page.select_one('input[name="revision"]')["value"])  # type: ignore[index]
    gone = await house.submit("ada", here, do="delete")
    assert gone.status_code == 303, (revision, gone.text)
    assert (await house.ask("ada", "GET", f"{NOTEBOOK}/schedule")).status_code == 404
    # What means nothing is said at its field, and kept.
    fields = {"do": "save", "often": "fields", "cron": "30 3 * MON", "timezone": "Mars/Crater"}
    page = read(await house.submit("ada", here, **fields, then="propose"), 400)
    assert page.select_one('input[name="cron"]')["value"] == "30 3 * MON"  # type: ignore[index]
    assert page.select_one('input[name="timezone"]')["value"] == "Mars/Crater"  # type: ignore[index]
    assert page.select_one(".error, [role=alert]") is not None
    saved = await house.submit("ada", here, do="save", often="daily", then="propose")
    assert saved.status_code == 303
    stale = {"do": "save", "often": "weekly", "then": "propose", "revision": "77"}
    page = read(await house.submit("ada", here, **stale), 412)
    assert "decide anew" in told(page)


# Sources.


async def sent(house: House, source: int, path: str, text: str, query: str) -> None:
    url = f"/sources/{source}/files/{path}?{query}"
    reply = await house.ask("ada", "PUT", url, text.encode())
    assert reply.status_code == 200, reply.text


async def managed(house: House, **more: Any) -> int:
    """Return the number of a source of ada's, whose file defines ada/forecast."""
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    body = {"name": "team", "kind": "remote", "namespace": "ada", "location": "laptop", **more}
    made = await house.ask("ada", "POST", "/sources", body)
    assert made.status_code == 201, made.text
    number = int(made.json()["id"])
    text = "dependencies: [library]\n"
    await sent(house, number, "forecast%2Fenvironment.yml", text, "environment=forecast")
    return number


async def test_a_file_is_told_of_where_it_decides_and_what_is_wrong_with_it(house: House) -> None:
    number = await managed(house)
    page = await house.show("ada", "/ada/forecast")
    assert "It is defined by forecast/environment.yml of the source team" in told(page)
    broken = "dependencies: [library\n"
    await sent(house, number, "forecast%2Fenvironment.yml", broken, "environment=forecast")
    page = await house.show("ada", "/ada/forecast")
    alert = page.select_one(".message.bad")
    assert alert is not None
    assert "Its file cannot be used" in alert.get_text()
    assert "YAML" in alert.get_text()
    assert "Its file: " in told(await house.show("ada", "/ada"))
    for place in (f"/ui/sources/{number}", f"/ui/sources/{number}?problems=1"):
        assert "forecast/environment.yml" in told(await house.show("ada", place))
    for place in ("/ada/-/sources", "/ui/sources?problems=1"):
        assert "1 file cannot be used" in told(await house.show("ada", place))

    # The editor says so, too.
    page = await house.show("ada", "/ada/forecast/-/edit")
    assert "change it there" in told(page)
    assert page.select_one('button[value="save"]') is None
    here = f"/ui/sources/{number}"
    form = (await house.show("ada", here)).select_one("form.narrow")
    assert form is not None
    fields = {str(one["name"]): str(one.get("value", "")) for one in form.select("input")}
    change = {"edits": "propose", "removed": "keep", "activate": "on", "patterns": ""}
    reply = await house.submit("ada", here, **fields, **change)
    assert reply.status_code == 303, reply.text
    page = await house.show("ada", "/ada/forecast/-/edit")
    assert "waits as a proposal" in told(page)
    text = "dependencies: [tool]\n"
    reply = await house.submit("ada", "/ada/forecast/-/edit", do="save", text=text, base="1")
    assert reply.status_code == 303, reply.text


async def test_a_repository_is_watched_by_admins_and_a_directory_by_administrators(
    house: House,
) -> None:
    await house.ask("ada", "POST", "/namespaces", {"name": "ada"})
    here = "/ada/-/sources"
    fields = {"name": "team", "kind": "git", "removed": "archive", "edits": "refuse"}
    page = read(await house.submit("ada", here, **fields, location="https://"), 400)
    assert page.select_one('input[name="location"]')["value"] == "https://"  # type: ignore[index]
    where = {"location": "https://git.example.org/team.git", "patterns": "{environment}.yml\r\n"}
    reply = await house.submit("ada", here, **fields, **where, activate="on")
    assert reply.status_code == 303, reply.text
    at = reply.headers["location"]
    page = await house.show("ada", at)
    assert "https://git.example.org/team.git" in told(page)
    assert "{environment}.yml" in told(page)
    hooked = read(await house.submit("ada", at, do="hook"), 200)
    secret = hooked.select("#made code")[1].get_text()
    assert secret not in (await house.show("ada", at)).get_text()
    assert (await house.submit("ada", at, do="look")).status_code == 303
    assert (await house.submit("ada", at, do="drop_hook")).status_code == 303
    gone = await house.submit("ada", at, do="delete")
    assert gone.headers["location"] == here
    local = {"name": "all", "kind": "directory", "location": "/srv/environments"}
    assert (await house.submit("ada", here, **local)).status_code == 403
    assert (await house.submit("bob", here, **local)).status_code == 404
    reply = await house.submit("root", "/ui/sources", **local, activate="on")
    assert reply.status_code == 303, reply.text


# Webhooks.


async def test_a_webhook_is_made_its_secret_shown_once_and_a_delivery_sent_again(
    house: House,
) -> None:
    await make(house)
    here = "/ada/-/webhooks"
    page = await house.show("ada", here)
    key = str(page.select_one('input[name="key"]')["value"])  # type: ignore[index]
    fields = {"way": "standard", "environment": "*", "actions": "version.*\r\nproposal.opened"}
    missing = read(await house.submit("ada", here, **fields, url=" ", key=key), 400)
    assert "Say where to" in told(missing)
    sends = {**fields, "url": "https://example.org/hook?token=secret", "key": key}
    made = read(await house.submit("ada", here, **sends), 200)
    secret = made.select("#made code")[0].get_text()
    assert secret.startswith("whsec_")
    again = await house.submit("ada", here, **sends)
    assert secret not in again.text
    page = await house.show("ada", here)
    assert secret not in page.get_text()
    [link] = page.select("table.webhooks tbody td:first-child a")
    assert "token=***" in link.get_text()
    at = str(link["href"])
    assert (await house.submit("ada", at, do="ping")).headers["location"] == at
    page = await house.show("ada", at)
    assert "webhook.tested" in told(page)
    rotated = read(await house.submit("ada", at, do="rotate"), 200)
    assert rotated.select("#made code")[0].get_text() != secret
    for do, said in (("disable", "disabled"), ("enable", "active"), ("skip", "active")):
        assert (await house.submit("ada", at, do=do)).status_code == 303
        assert said in told(await house.show("ada", at))
    change = {"do": "change", "actions": "", "environment": "note*", "format": "chat"}
    assert (await house.submit("ada", at, **change)).status_code == 303
    assert "note*" in told(await house.show("ada", at))
    wrong = read(await house.submit("ada", at, do="change", actions="No Glob"), 400)
    assert wrong.select_one("textarea[name=actions]").get_text().strip() == "No Glob"  # type: ignore[union-attr]
    await house.show("bob", at, 404)
    assert (await house.submit("ada", at, do="delete")).headers["location"] == here
    await house.show("ada", at, 404)


async def test_a_webhook_of_everything_is_for_administrators(house: House) -> None:
    fields = {"url": "https://ops.example.org/hook", "way": "standard", "actions": ""}
    page = read(await house.submit("root", "/ui/webhooks", **fields), 200)
    assert page.select_one("#made") is not None
    mail = {"url": "ops@example.org", "way": "mail", "actions": ""}
    page = read(await house.submit("root", "/ui/webhooks", **mail), 400)
    assert "no mail is sent from here" in told(page)
    assert "everything" in told(await house.show("root", "/ui/webhooks"))
    assert (await house.submit("ada", "/ui/webhooks", **fields)).status_code == 403
    assert "ops.example.org" not in told(await house.show("ada", "/ui/webhooks"))


# Archiving, and the ways to a badge and a feed.


async def test_an_environment_is_archived_and_taken_out_again(house: House) -> None:
    await make(house)
    settings = "/ada/notebook/-/settings"
    reply = await house.submit("ada", settings, do="archive", archived="on")
    assert reply.status_code == 303, reply.text
    page = await house.show("ada", "/ada/notebook")
    assert "takes no new version" in told(page)
    assert not [one for one in page.select("header a") if one["href"] == "/ada/notebook/-/edit"]
    page = await house.show("ada", "/ada/notebook/-/edit")
    assert page.select_one('button[value="save"]') is None
    await house.submit("ada", settings, do="archive", archived="")
    assert "takes no new version" not in told(await house.show("ada", "/ada/notebook"))


async def test_a_version_is_proposed_from_the_editor_and_told_of_elsewhere(
    house: House,
) -> None:
    await make(house)
    fields = {"do": "save", "text": "dependencies: [tool]\n", "base": "1", "then": "propose"}
    reply = await house.submit("ada", "/ada/notebook/-/edit", **fields)
    assert reply.status_code == 303, reply.text
    version = f"{NOTEBOOK}/versions/2"
    await house.ask("ada", "GET", f"{version}/progress", accept="text/event-stream")
    document = (await house.ask("ada", "GET", NOTEBOOK)).json()
    assert document["active"] == 1
    assert document["proposal"] is not None
    # The badge and the feed of pages take the login of a browser.
    browser = await house.browser("ada")
    badge = await browser.get("/ada/notebook/badge.svg")
    assert badge.headers["content-type"] == "image/svg+xml"
    feed = await browser.get("/ada/notebook/versions.atom")
    assert feed.status_code == 200
    assert 'rel="self" type="application/atom+xml" href="https://registry.example/ada/' in feed.text
    page = await house.show("ada", "/ada/notebook/-/activity")
    assert "https://registry.example/ada/notebook/badge.svg" in told(page)
    stranger = await (await house.browser(None)).get("/ada/notebook/badge.svg")
    assert stranger.headers["location"].startswith("/login?next=")
