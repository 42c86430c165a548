"""What people do so that environments keep themselves current: with scripts, and without."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from standardwebhooks.webhooks import Webhook

from conformance.pages.desk import PATIENCE, Desk, labelled
from conformance.pages.place import Place
from tests.registry.accounts import PASSWORD

FILE: Final = "channels: [main]\ndependencies:\n- tool=1.0\n"
NEWER: Final = FILE.replace("1.0", "2.0")

expect.set_options(timeout=PATIENCE)


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def desk(request: pytest.FixtureRequest, place: Place, browser: Browser) -> Iterator[Desk]:
    """Sit down at a browser."""
    with Desk(place, browser, has_scripts=request.param) as desk:
        yield desk


def ask(desk: Desk, method: str, path: str, **more: object) -> httpx.Response:
    """Ask the API as ada does from her terminal."""
    url = f"{desk.place.server.url}/api/v1{path}"
    reply = httpx.request(method, url, auth=("ada", PASSWORD), timeout=60, **more)  # type: ignore[arg-type]
    assert reply.is_success, reply.text
    return reply


def make(desk: Desk) -> tuple[Page, str]:
    """Have ada make an environment with a version; return her window and its path."""
    name = desk.name("kept")
    ask(desk, "POST", f"/namespaces/ada/environments?name={name}", content=FILE)
    page = desk.open("ada", f"/ada/{name}/-/versions/1")
    desk.until(page, page.locator("#version header .state", has_text="built"))
    return page, f"/ada/{name}"


def test_what_is_proposed_is_looked_at_and_activated_in_one_click(desk: Desk) -> None:
    """Everybody has the version before until then; whoever decides sees what changes."""
    page, path = make(desk)
    page.goto(f"{path}/-/edit")
    labelled(page, "Specification").fill(NEWER)
    labelled(page, "When it is built").select_option("propose")
    page.get_by_role("button", name="Build this version").click()
    page.wait_for_url(re.compile(rf"{path}/-/versions/2"))
    desk.until(page, page.locator("#version header .state", has_text="built"))
    page.goto(path)
    card = page.get_by_role("region", name="v2 waits for a decision")
    expect(card).to_contain_text("1 package goes up.")
    expect(page.get_by_role("complementary").first).to_contain_text("v1")
    card.get_by_role("link", name="What it changes").click()
    expect(page.get_by_role("row").filter(has_text="tool")).to_contain_text("2.0")
    page.go_back()
    card.get_by_role("button", name="Activate v2").click()
    said = page.get_by_role("status").filter(has_text="is active now")
    expect(said).to_be_visible()
    expect(card).to_have_count(0)


def test_a_schedule_is_set_and_carried_out_at_once(desk: Desk) -> None:
    """It says when in words, and in the reader's time; nothing new makes no other version."""
    page, path = make(desk)
    page.get_by_role("link", name=path.rpartition("/")[2]).click()
    page.get_by_role("link", name="Schedule").click()
    labelled(page, "How often").select_option("fields")
    labelled(page, "Times of your own").fill("30 3 * * MON")
    labelled(page, "Time zone").fill("Europe/Berlin")
    page.get_by_label("It becomes active", exact=True).check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main > .message")).to_contain_text("Mondays at 03:30, Europe/Berlin")
    page.goto("/ada/-/schedules")
    row = page.get_by_role("row").filter(has_text=path.rpartition("/")[2])
    row.get_by_role("link", name="Mondays").click()
    page.get_by_role("button", name="Solve it now").click()
    page.wait_for_url(re.compile(rf"{path}/-/versions/2"))
    desk.until(page, page.locator("#version header .state", has_text="unchanged"))


def test_a_webhook_is_made_fails_and_is_sent_again(desk: Desk) -> None:
    """Its secret is shown once, and verifies what comes; what failed is sent once more."""
    with receiver() as (url, taken, is_down):
        is_down.set()
        page = desk.open("ada", "/ada/-/webhooks")
        labelled(page, "Where to").fill(url)
        labelled(page, "Which events").fill("environment.copied")
        page.get_by_role("button", name="Send them").click()
        secret = page.locator("#made code").first.inner_text()
        page.get_by_role("link", name="Its deliveries").click()
        assert secret not in page.content()
        page.get_by_role("button", name="Try it").click()
        row = page.get_by_role("row").filter(has_text="webhook.tested")
        shown(page, row.filter(has_text="failed").filter(has_text="500"))
        is_down.clear()
        row.get_by_role("button", name="again").first.click()
        shown(page, row.filter(has_text="delivered"))
        body, headers = taken[-1]
        assert Webhook(secret).verify(body, headers)["type"] == "webhook.tested"
        page.get_by_role("button", name="Delete the webhook").click()
        expect(page.locator("main > .message")).to_contain_text("It is deleted")


def test_what_is_wrong_with_a_file_is_told_where_its_environment_is(desk: Desk) -> None:
    """Nothing else stops; mended, it is built, and editing elsewhere is not offered."""
    name = desk.name("filed")
    body = {"name": name, "kind": "remote", "namespace": "ada", "location": "laptop"}
    source = ask(desk, "POST", "/sources", json=body).json()["id"]
    path = quote(f"{name}/environment.yml", safe="")
    file = f"/sources/{source}/files/{path}?environment={name}"
    ask(desk, "PUT", file, content=FILE)
    ask(desk, "PUT", file, content="dependencies: [tool\n")
    page = desk.open("ada", "/ada/-/sources")
    row = page.get_by_role("row").filter(has_text=name)
    row.get_by_role("link", name="1 file cannot be used").click()
    expect(page.get_by_role("row").filter(has_text=f"{name}/environment.yml")).to_contain_text(
        "YAML"
    )
    page.get_by_role("link", name=f"ada/{name}").click()
    expect(page.get_by_role("alert").first).to_contain_text("Its file cannot be used")
    expect(page.get_by_role("link", name="Edit", exact=True)).to_have_count(0)
    ask(desk, "PUT", file, content=NEWER)
    page.goto(f"/ada/{name}/-/versions/2")
    desk.until(page, page.locator("#version header .state", has_text="active"))
    page.goto(f"/ada/{name}")
    expect(page.get_by_role("main")).to_contain_text("It is defined by")


def shown(page: Page, there: Locator) -> None:
    """Load a page until something is there: it is sent by the server in the background."""
    for _ in range(200):
        if there.first.is_visible():
            return
        page.wait_for_timeout(100)
        page.reload()
    raise AssertionError(f"it does not come: {page.get_by_role('main').inner_text()}")


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[bytes, dict[str, str]]], threading.Event]]:
    """Give the address of a receiver, what it has taken, and what has it answer 500."""
    taken: list[tuple[bytes, dict[str, str]]] = []
    is_down = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if not is_down.is_set():
                taken.append((body, dict(self.headers.items())))
            self.send_response(500 if is_down.is_set() else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", taken, is_down
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
