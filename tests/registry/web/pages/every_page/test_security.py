"""Other sites, and people without a role, at every form and page: nothing comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from bs4 import BeautifulSoup, Tag

from registry.web.pages.routes import ADDRESSES
from tests.registry.accounts import PASSWORD
from tests.registry.web.login.browser import Browser
from tests.registry.web.pages.conftest import HERE, House
from tests.registry.web.pages.every_page.conftest import Furnished

pytestmark = pytest.mark.anyio

ELSEWHERE: Final = "https://evil.example"
#: What a browser says of who sends a form, where that is not this host.
SENDERS: Final[dict[str, dict[str, str]]] = {
    "nobody": {},
    "another": {"origin": ELSEWHERE},
    "opaque": {"origin": "null"},
    "sister": {"origin": "https://other.registry.example"},
    "without-tls": {"origin": "http://registry.example"},
    "cross-site": {"origin": HERE, "sec-fetch-site": "cross-site"},
    "same-site": {"origin": HERE, "sec-fetch-site": "same-site"},
    "link": {"referer": f"{HERE}/me"},
}
#: Fields that some site sends people on by.
_WAYS_ON: Final = ("next", "to", "back", "url", "return", "return_to", "redirect", "path", "go")
_LEADS_AWAY: Final = (
    ELSEWHERE,
    "//evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "/%09/evil.example",
    "/x\r\nlocation: https://evil.example",
)
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
}


@dataclass
class Form:
    """A form of a page, as it is filled in."""

    path: str
    fields: dict[str, str] = field(default_factory=dict)


def forms(text: str, here: str) -> Iterator[Form]:
    """Return the forms of a page that change something: one for each of their buttons."""
    for found in BeautifulSoup(text, "html.parser").find_all("form", method="post"):
        assert isinstance(found, Tag)
        fields = {
            str(one["name"]): str(one.get("value", "")) or one.get_text() or "x"
            for one in found.find_all(["input", "textarea", "select"], attrs={"name": True})
        }
        path = str(found.get("action") or here).partition("#")[0]
        buttons = found.find_all("button", attrs={"name": True})
        for button in buttons:
            yield Form(path, {**fields, str(button["name"]): str(button.get("value", ""))})
        if not buttons:
            yield Form(path, fields)


async def all_forms(furnished: Furnished) -> list[Form]:
    """Return every form that an administrator is shown; and of each address that has none, one."""
    browser = await furnished.house.browser("root")
    found: list[Form] = []
    for path, page in furnished.pages().items():
        if not page.is_file and not path.endswith("/live"):
            found += forms((await browser.get(path)).text, path)
    known = {one.path.partition("?")[0] for one in found}
    found += [Form(path) for path in furnished.pages("POST") if path not in known]
    return [one for one in found if one.path not in {"/logout", "/login"}]


async def told(house: House, **query: str) -> list[Any]:
    """Return what was done of late, the newest first."""
    more = httpx.QueryParams({"limit": "1000", **query})
    return list((await house.ask("root", "GET", f"/audit?{more}")).json()["items"])


async def changes(house: House, **query: str) -> list[Any]:
    """Return what was changed of late, not what was refused."""
    items = await told(house, **query)
    no_changes = ("access.", "login.", "policy.refused", "admin.read")
    return [one for one in items if not one["action"].startswith(no_changes)]


async def test_no_form_of_another_site_changes_anything(furnished: Furnished) -> None:
    house = furnished.house
    browser = await house.browser("root")
    before = await changes(house)
    for form in await all_forms(furnished):
        for name, lines in SENDERS.items():
            reply = await browser.http.post(form.path, data=form.fields, headers=lines)
            assert 400 <= reply.status_code < 500, (name, form, reply.status_code)
            assert "set-cookie" not in reply.headers, (name, form)
        text = "&".join(f"{key}={value}" for key, value in form.fields.items()).encode()
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json"):
            reply = await browser.http.post(
                form.path, content=text, headers={"content-type": kind, "origin": ELSEWHERE}
            )
            assert 400 <= reply.status_code < 500, (kind, form, reply.status_code)
    assert await changes(house) == before


async def test_looking_changes_nothing(furnished: Furnished) -> None:
    house = furnished.house
    before = await changes(house)
    for reader in ("root", "owner", "bob"):
        browser = await house.browser(reader)
        for path, page in furnished.pages().items():
            if page.is_file or path.endswith("/live"):
                continue
            seen = await browser.get(path)
            head = await browser.http.head(path)
            assert (head.status_code, head.content) == (seen.status_code, b""), path
    assert await changes(house) == before


async def test_who_has_no_role_changes_nothing_by_a_form_that_others_are_shown(
    furnished: Furnished,
) -> None:
    house = furnished.house
    before = await changes(house)
    wrong = []
    for form in await all_forms(furnished):
        # What they do for themselves alone.
        if form.path.startswith(("/me", "/new", "/ui/waivers/new")) or form.path == "/":
            continue
        for reader in (None, "bob", "viewer", "auditor"):
            browser = await house.browser(reader)
            reply = await browser.http.post(form.path, data=form.fields, headers={"origin": HERE})
            if reply.status_code >= 500:
                wrong.append(f"{reader} at {form}: {reply.status_code}")
    after = await changes(house)
    wrong += [f"{one['action']} by {one['actor']}" for one in after if one not in before]
    assert not wrong, "\n".join(wrong)


async def test_no_page_is_shown_within_another_or_kept(furnished: Furnished) -> None:
    for reader in (None, "bob", "root"):
        browser = await furnished.house.browser(reader)
        paths = [path for path, page in furnished.pages().items() if not page.is_file]
        for path in (*paths, "/login", "/logout", "/login/device", "/nothing/there", "/a/b/c/d"):
            if path.endswith("/live"):
                continue
            reply = await browser.get(path)
            if not reply.headers.get("content-type", "").startswith("text/html"):
                kind = reply.headers.get("content-type")
                assert kind == "application/json" or reply.status_code in {303, 404, 405}, path
                continue
            policy = reply.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy, path
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy, path
            for name, value in _HEADERS.items():
                assert reply.headers[name] == value, (path, name)


async def test_no_address_sends_anybody_to_another_host(furnished: Furnished) -> None:
    for reader in (None, "bob", "root"):
        browser = await furnished.house.browser(reader)
        for path in (*furnished.pages(), "/login", "/logout"):
            if path.endswith("/live"):
                continue
            for target in _LEADS_AWAY:
                query = dict.fromkeys(_WAYS_ON, target)
                lines = {"referer": f"{ELSEWHERE}/x", "x-forwarded-host": "evil.example"}
                reply = await browser.http.get(path, params=query, headers=lines)
                stays_here(reply)


async def test_no_form_sends_anybody_to_another_host(furnished: Furnished) -> None:
    browser = await furnished.house.browser("bob")
    for form in await all_forms(furnished):
        if form.path.startswith("/me"):
            continue
        for target in _LEADS_AWAY[:3]:
            fields = {**form.fields, **dict.fromkeys(_WAYS_ON, target)}
            stays_here(await browser.submit(form.path, **fields))


def stays_here(reply: httpx.Response) -> None:
    """Assert that a browser that follows the answer stays on this host."""
    location = reply.headers.get("location")
    if location is not None:
        assert location.startswith("/"), reply.request.url
        assert not location.startswith(("//", "/\\")), reply.request.url
        assert httpx.URL(HERE).join(location).host == httpx.URL(HERE).host, reply.request.url
    assert "evil.example" not in reply.headers.get("refresh", "")


async def test_a_secret_that_somebody_else_knows_is_worth_nothing_after_a_login(
    furnished: Furnished,
) -> None:
    house = furnished.house
    victim = house.free.pop()
    other = await house.browser("bob")
    name = next(one.name for one in other.http.cookies.jar if "pullforge" in one.name)
    planted = other.cookie(name)
    for secret in ("x" * 43, planted):
        assert secret is not None
        victim.http.cookies.set(name, secret, domain="registry.example", path="/")
        reply = await victim.submit("/login", name="viewer", password=PASSWORD)
        assert reply.status_code == 303, reply.text
        line = reply.headers["set-cookie"]
        assert line.startswith("__Host-pullforge="), line
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
        assert secret not in line
        assert "viewer" in (await victim.get("/me")).text
    # Whose it was is logged out by whoever logs in over it, and is nobody else by it.
    assert (await other.get("/me")).status_code == 303
    house.logged_in.pop("bob")
    await leave(victim)


async def leave(browser: Browser) -> None:
    reply = await browser.submit("/logout")
    assert reply.status_code == 200, reply.text
    assert (await browser.get("/me")).status_code == 303


def test_every_form_is_of_an_address_with_a_page() -> None:
    """Whoever comes back to what a form answered finds something there."""
    assert [path for path, page in ADDRESSES.items() if page.post and not page.get] == []
