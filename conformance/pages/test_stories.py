"""What people do with pages, on a real server over each database: with scripts, and without."""

import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from conformance.pages import hostile
from conformance.pages.desk import PATIENCE, Desk, labelled
from conformance.pages.furniture import SLOW
from conformance.pages.place import Place

#: Two small packages of the local channel, and one that comes later.
FILE: Final = """\
# what keeps time
channels: [main, conda-forge]
dependencies:
- tzdata
- tool=1.0
"""

expect.set_options(timeout=PATIENCE)


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def desk(request: pytest.FixtureRequest, either_place: Place, browser: Browser) -> Iterator[Desk]:
    """Sit down at a browser."""
    with Desk(either_place, browser, has_scripts=request.param) as desk:
        yield desk


def make(desk: Desk, text: str = FILE) -> tuple[Page, str]:
    """Have ada make an environment on the page for it; return where she is then, and its path."""
    name = desk.name("story")
    page = desk.open("ada", "/new")
    labelled(page, "Namespace").fill("ada")
    labelled(page, "Name").fill(name)
    labelled(page, "Specification").fill(text)
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url(re.compile(rf"/ada/{name}"))
    return page, f"/ada/{name}"


def built(desk: Desk, page: Page, version: str) -> None:
    """Wait on a version's page until it is built."""
    page.goto(version)
    desk.until(page, page.locator("#version header .state", has_text="built"))


def change(page: Page, path: str, text: str, note: str = "") -> str:
    """Ask for another version; return its address."""
    page.goto(f"{path}/-/edit")
    labelled(page, "Specification").fill(text)
    if note:
        labelled(page, "Note").fill(note)
    page.get_by_role("button", name="Build this version").click()
    page.wait_for_url(re.compile(rf"{path}/-/versions/\d+"))
    return httpx.URL(page.url).path


def test_a_stranger_sees_what_packages_come_to_before_pulling(desk: Desk) -> None:
    """Name, image, size, layers and the solver's answer."""
    page = desk.open(None)
    labelled(page, "Which packages").fill("numpy, pandas")
    page.get_by_role("button", name="Solve").click()
    result = page.locator(".tried")
    expect(result.get_by_role("heading", name="This is what you get")).to_be_visible()
    expect(result).to_contain_text(f"{desk.place.server.host}/env/numpy.pandas")
    expect(result).to_contain_text("Layers")
    labelled(page, "Which packages").fill("nunpy")
    page.get_by_role("button", name="Solve").click()
    expect(page.get_by_role("main").get_by_role("alert")).to_contain_text("numpy")


def test_an_environment_is_made_used_changed_and_put_back(desk: Desk) -> None:
    """From a file to an image; a second version, what differs, and the first one again."""
    page, path = make(desk)
    built(desk, page, f"{path}/-/versions/1")
    page.goto(path)
    expect(page.get_by_role("main")).to_contain_text(f"{desk.place.server.host}{path}")
    page.get_by_text("Kubernetes", exact=True).click()
    expect(page.get_by_role("group", name="Kubernetes")).to_contain_text("image:")
    second = change(page, path, FILE.replace("1.0", "2.0") + "- ca-certificates\n", "newer")
    built(desk, page, second)
    page.get_by_role("link", name="Compare with v1").click()
    row = page.get_by_role("row").filter(has_text="tool")
    expect(row).to_contain_text("2.0")
    expect(row).to_contain_text("up")
    expect(page.get_by_role("row").filter(has_text="ca-certificates")).to_contain_text("added")
    page.goto(f"{path}/-/versions")
    expect(page.get_by_role("row").filter(has_text="newer")).to_contain_text("active")
    page.get_by_role("button", name="Activate v1").click()
    expect(page.get_by_role("status").filter(has_text="v1 is active now")).to_be_visible()
    page.goto(f"{path}/-/packages")
    expect(page.get_by_role("main")).to_contain_text("tzdata")


def test_form_and_text_are_the_same_file_and_errors_stand_at_their_line(desk: Desk) -> None:
    """What one changes, the other shows; comments stay."""
    page = desk.open("ada", "/new")
    labelled(page, "Specification").fill(FILE)
    page.get_by_role("button", name="Form", exact=True).click()
    labelled(page, "New package").fill("odd=1.0")
    page.get_by_role("button", name="Add package").click()
    page.get_by_role("button", name="Remove tool=1.0").click()
    page.get_by_role("button", name="YAML", exact=True).click()
    text = labelled(page, "Specification").input_value()
    assert "# what keeps time" in text
    assert "odd=1.0" in text
    assert "tool" not in text
    labelled(page, "Specification").fill(text.replace("odd=1.0", "odd >>> 1"))
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#trouble")).to_contain_text("Line 5")
    labelled(page, "Specification").fill(text)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("heading", name="It can be built")).to_be_visible()


def test_a_version_in_the_making_is_watched_and_cancelled(desk: Desk) -> None:
    """Its log survives loading the page again; it ends when one says so."""
    page, path = make(desk)
    built(desk, page, f"{path}/-/versions/1")
    version = change(page, path, FILE + f"- {SLOW}\n")
    log = page.locator("#log")
    desk.until(page, log.filter(has_text=re.compile("solv|download", re.IGNORECASE)))
    page.reload()
    expect(log).to_contain_text(re.compile("solv|download", re.IGNORECASE))
    page.get_by_role("button", name="Cancel").click()
    page.goto(version)
    desk.until(page, page.locator("#version header .state", has_text="cancelled"))
    page.goto(path)
    expect(page.get_by_role("main")).to_contain_text("v1")


def test_what_failed_says_why_at_the_top(desk: Desk) -> None:
    """One sentence, before any log."""
    page, path = make(desk)
    version = change(page, path, FILE + "- no-such-package\n")
    desk.until(page, page.locator("#version header .state", has_text="failed"))
    page.goto(version)
    alert = page.get_by_role("main").get_by_role("alert").first
    expect(alert).to_contain_text("no-such-package")


def test_a_refusal_is_waived_in_one_click_and_the_version_is_made(desk: Desk) -> None:
    """Asked for where it was refused, decided where waivers wait."""
    page, path = make(desk)
    change(page, path, FILE + "- unwanted\n")
    desk.until(page, page.locator("#version header .state", has_text="failed"))
    page.get_by_role("link", name="Ask for a waiver").click()
    reason = f"for {path}"
    labelled(page, "Why it is needed").fill(reason)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("waiting")
    admin = desk.open("root", "/ui/waivers")
    card = admin.locator("article, section, li").filter(has_text=reason).last
    card.get_by_role("button", name=re.compile("^Grant")).click()
    expect(admin.get_by_role("status").first).to_be_visible()
    page.goto(f"{path}/-/versions/3")
    desk.until(page, page.locator("#version header .state", has_text="built"))


def test_members_are_given_roles_and_lose_them(desk: Desk) -> None:
    """Who is given a role sees the namespace, and no more when it is taken back."""
    page = desk.open("owner", f"/{hostile.SLUG}/-/members")
    bob = desk.open("bob", f"/{hostile.SLUG}")
    expect(bob.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    labelled(page, "Name").fill("bob")
    labelled(page, "Role").select_option("viewer")
    page.get_by_role("button", name="Give the role").click()
    row = page.get_by_role("row").filter(has_text="bob")
    expect(row).to_contain_text("viewer")
    bob.reload()
    expect(bob.get_by_role("main")).to_contain_text("forecast")
    row.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("row").filter(has_text="bob")).to_have_count(0)
    bob.reload()
    expect(bob.get_by_role("heading", level=1)).to_have_text("There is nothing here")


def test_a_policy_is_tried_before_it_is_switched_on(desk: Desk) -> None:
    """It is told what it would find; then it holds."""
    name = desk.name("no-odd")
    page = desk.open("root", "/ui/policies/test")
    labelled(page, "Name").fill(name)
    labelled(page, "Rules, as TOML").fill('mode = "warn"\n[packages]\ndenied = ["odd"]\n')
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("it would find")).to_be_visible()
    page.get_by_role("button", name="Switch it on").first.click()
    page.goto("/ui/policies")
    expect(page.get_by_role("main")).to_contain_text(name)
    page.goto("/ui/packages")
    labelled(page, "Package").fill("tool")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("row").filter(has_text="forecast")).to_contain_text("2.0")


def test_a_token_is_shown_once_works_and_is_revoked(desk: Desk) -> None:
    """Its secret is on one page, and good until it is revoked."""
    name = desk.name("laptop")
    page = desk.open("ada", "/me/tokens")
    labelled(page, "What it is for").fill(name)
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator("#made code").first.inner_text()

    def status() -> int:
        lines = {"authorization": f"Bearer {secret}"}
        return httpx.get(f"{desk.place.server.url}/api/v1/users/me", headers=lines).status_code

    assert status() == 200
    page.goto("/me/tokens")
    assert secret not in page.content()
    row = page.get_by_role("row").filter(has_text=name)
    row.get_by_role("button", name=re.compile("Revoke")).click()
    expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)
    assert status() == 401
