"""conda-store-ui, as ``conda-store-server`` 2025.2.2 comes with it, works with our server.

Its files are served by ours, and Debian's chromium does what people do there.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.conda_store.homes import interface
from conformance.conda_store.our_site import (
    ADMIN,
    OTHER,
    PASSWORD,
    USER,
    OurSite,
    environment,
    our_site,
)
from conformance.pages.conftest import browser
from conformance.pages.desk import PATIENCE

__all__ = ["browser"]

#: What people write in a description, and what YAML has a meaning for.
_DESCRIPTION: Final = "It's ada's: a clock # 1"

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Serve the interface from another host, as JupyterLab does; return that one's address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(interface()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(paths: ChannelPaths, channel: ChannelServer, elsewhere: str) -> Iterator[OurSite]:
    """Run a server that serves the interface, with a namespace in which people have roles."""
    settings = {"conda_store_ui": interface(), "conda_store_origins": [elsewhere]}
    with our_site(paths, channel.url, **settings) as site:
        site.must("POST", "/api/v1/namespace/team/", ADMIN)
        for name, role in ((USER, "developer"), (OTHER, "viewer")):
            given = {"other_namespace": name, "role": role}
            site.must("POST", "/api/v1/namespace/team/role/", ADMIN, given)
        yield site


@pytest.fixture
def page(site: OurSite, browser: Browser) -> Iterator[Page]:
    """Open a window of a stranger's, with the interface in it."""
    with browser.new_context(base_url=site.server.url, reduced_motion="reduce") as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        broken: list[str] = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto("/conda-store/ui/")
        yield page
        assert not broken


def log_in(page: Page, name: str) -> None:
    """Log somebody in, by the interface's button."""
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Log out").wait_for()


def namespace(page: Page, name: str) -> Locator:
    """Return the line of a namespace in the tree."""
    return page.get_by_role("button").filter(has=page.get_by_text(name, exact=True))


def new_in(page: Page, name: str) -> Locator:
    """Return the link to the form for another environment in a namespace."""
    return page.get_by_role("link", name=f"environment in the {name} namespace")


def begin(page: Page, where: str, name: str, description: str) -> None:
    """Open the form for another environment, and say what it is."""
    new_in(page, where).click()
    page.get_by_label("Environment name").fill(name)
    page.get_by_placeholder("Enter here the description").fill(description)


def write(page: Page, text: str) -> None:
    """Write YAML instead of choosing; once more if the interface puts its own text over it."""
    if not page.get_by_test_id("yaml-editor").is_visible():
        page.get_by_role("checkbox").click()
    editor = page.get_by_test_id("yaml-editor").get_by_role("textbox")
    for _ in range(5):
        editor.fill(text)
        page.wait_for_timeout(500)  # nothing says that the interface has put its text
        if editor.inner_text().split() == text.split():
            return
    pytest.fail("the interface's editor does not keep what is written")


def add_package(page: Page, word: str, name: str) -> None:
    """Look for a package, and choose it."""
    page.get_by_role("button", name="+ Add Package").click()
    page.get_by_label("Enter package").fill(word)
    page.get_by_role("option", name=name, exact=True).click()


def built(page: Page) -> None:
    """Wait until the build that is shown is complete; the interface asks from time to time."""
    expect(page.get_by_test_id("build-status")).to_contain_text("Completed")
    page.get_by_role("link", name="Download archive").wait_for()


def content(page: Page, link: str) -> bytes:
    """Return what a link of the interface leads to, for whoever has logged in."""
    address = page.get_by_role("link", name=link).get_attribute("href")
    assert address is not None
    answer = page.request.get(address)
    assert answer.ok, answer.text()
    return answer.body()


def test_an_environment_is_made_by_a_form_changed_turned_back_and_deleted(page: Page) -> None:
    """By somebody who logs in; each file of it can be fetched."""
    expect(page.get_by_text("Shared Environments")).to_be_visible()
    log_in(page, USER)
    begin(page, USER, "clock", _DESCRIPTION)
    add_package(page, "mult", "multi")
    page.get_by_role("table").get_by_role("combobox").last.click()
    page.get_by_role("option", name="2.0", exact=True).click()
    page.get_by_text("Channels", exact=True).click()
    page.get_by_role("button", name="+ Add Channel").click()
    page.get_by_label("Enter channel").fill("conda-forge")
    page.get_by_label("Enter channel").press("Enter")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The environment clock is being created")
    page.wait_for_url("**/ui/ada/clock")
    built(page)
    expect(page.get_by_text(_DESCRIPTION)).to_be_visible()
    installed = page.get_by_role("row", name="multi 2.")
    expect(installed).to_be_visible()

    lock = yaml.safe_load(content(page, "Show lockfile"))
    assert [one["name"] for one in lock["package"]] == ["multi"]
    assert "multi" in yaml.safe_load(content(page, "Show yml file"))["dependencies"][0]
    assert b"multi" in content(page, "log")
    assert re.fullmatch(rb"[0-9.:]+/.+", content(page, "Show Docker image"))
    assert content(page, "Download archive").startswith(b"\x1f\x8b")

    page.get_by_role("button", name="Edit").click()
    add_package(page, "tzda", "tzdata")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("The environment clock has been updated")
    built(page)
    expect(page.get_by_role("cell", name="tzdata").last).to_be_visible()

    page.reload()
    page.get_by_role("button", name="Edit").click()
    shown = page.get_by_role("combobox").filter(has_text="Active")
    shown.click()
    page.get_by_role("option", name="Available").click()
    page.get_by_role("button", name="Change environment version").click()
    expect(page.get_by_role("alert")).to_contain_text("updated with the selected build")
    page.reload()
    expect(page.get_by_role("combobox").filter(has_text="Active")).to_be_visible()
    expect(page.get_by_role("cell", name="multi").first).to_be_visible()
    expect(page.get_by_role("cell", name="tzdata")).to_have_count(0)

    page.get_by_role("button", name="Edit").click()
    page.get_by_text("Delete environment").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("The environment clock has been deleted")
    expect(page.get_by_role("link", name="clock")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_build_that_fails_says_why_and_is_mended(page: Page) -> None:
    """By YAML, in a namespace that is not one's own."""
    log_in(page, USER)
    begin(page, "team", "broken", "")
    write(page, "channels: [conda-forge]\ndependencies: [there-is-no-such-package]\n")
    page.get_by_role("button", name="Create", exact=True).click()
    status = page.get_by_test_id("build-status")
    expect(status).to_contain_text("Failed")
    expect(status).to_contain_text("there-is-no-such-package")
    assert b"there-is-no-such-package" in content(page, "Show Conda")
    expect(page.get_by_role("link", name="Show")).to_have_text(re.compile("log$"))
    page.reload()
    page.get_by_role("button", name="Edit").click()
    write(page, "channels: [conda-forge]\ndependencies: [tzdata]\n")
    page.get_by_role("button", name="Save").click()
    built(page)


def test_what_is_refused_is_said_in_a_sentence(page: Page) -> None:
    """And nothing is made."""
    log_in(page, USER)
    begin(page, USER, "refused", "")
    write(page, "channels: [conda-forge]\ndependencies: ['no package at all ???']\n")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no package at all")


def test_a_lock_is_sent_as_a_file(page: Page, site: OurSite) -> None:
    """It is built as it is."""
    number = site.built(environment("locked", "tzdata=2024.1"))
    lock = site.send("GET", f"/api/v1/build/{number}/lockfile/").content
    log_in(page, USER)
    begin(page, USER, "copy", "of another one")
    page.get_by_role("button", name="Switch to Conda Lockfile Upload").click()
    page.get_by_role("button", name="Continue").click()
    page.locator("input[type=file]").set_input_files(
        {"name": "conda-lock.yml", "mimeType": "application/yaml", "buffer": lock}
    )
    page.get_by_role("button", name="Create", exact=True).click()
    built(page)
    expect(page.get_by_text("Conda Lockfile")).to_be_visible()


def test_who_may_only_look_has_no_buttons(page: Page, site: OurSite) -> None:
    """Neither to make anything in the namespace, nor to change what is there."""
    site.built(environment("common", "tzdata"), "team")
    log_in(page, OTHER)
    expect(new_in(page, "team")).to_have_attribute("aria-disabled", "true")
    namespace(page, "team").click()
    page.get_by_role("link", name="common").click()
    built(page)
    expect(page.get_by_role("button", name="Edit")).to_be_disabled()
    expect(new_in(page, OTHER)).to_have_attribute("aria-disabled", "false")


def test_pages_of_another_host_use_a_token(site: OurSite, elsewhere: str, browser: Browser) -> None:
    """As in JupyterLab, whose address is in the settings."""
    config = {
        "REACT_APP_API_URL": f"{site.url}/",
        "REACT_APP_AUTH_METHOD": "token",
        "REACT_APP_AUTH_TOKEN": site.token(),
        "REACT_APP_ROUTER_TYPE": "memory",
    }
    with browser.new_context(reduced_motion="reduce") as context:
        context.set_default_timeout(PATIENCE)
        context.add_init_script(f"window.condaStoreConfig = {json.dumps(config)}")
        page = context.new_page()
        page.goto(f"{elsewhere}/index.html")
        begin(page, "team", "elsewhere", "")
        write(page, "channels: [conda-forge]\ndependencies: [tzdata]\n")
        page.get_by_role("button", name="Create", exact=True).click()
        built(page)
        link = page.get_by_role("link", name="Download archive").get_attribute("href")
        assert link is not None
        assert link.startswith(f"{site.url}/api/v1/build/")
