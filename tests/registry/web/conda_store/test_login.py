import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest

from registry.app import create_app
from registry.web.conda_store.addresses import ADDRESSES
from registry.web.conda_store.face import Face
from registry.wiring.services import open_services
from tests.registry.accounts import PASSWORD
from tests.registry.web.api.site import Site
from tests.registry.web.conda_store.people import API, FACE
from tests.registry.web.login.browser import Browser, Page, open_browsers

pytestmark = pytest.mark.anyio


HOST = "https://registry.test"
ELSEWHERE = "https://lab.test"
EVIL = "https://evil.test"
RIGHT = {"username": "ada", "password": PASSWORD}
#: The same as programs send it: as JSON, as a form, and as text, which pages send without asking.
SENT: Final[tuple[dict[str, Any], ...]] = (
    {"json": RIGHT},
    {"data": RIGHT},
    {"content": json.dumps(RIGHT)},
)


@pytest.fixture
async def browser(site: Site, anyio_backend: str) -> AsyncIterator[Browser]:
    async with browsing(site) as browser:
        yield browser


@asynccontextmanager
async def browsing(site: Site) -> AsyncIterator[Browser]:
    settings = site.configured(public_url=HOST)
    face = Face(origins=frozenset({ELSEWHERE}))
    app = create_app(
        lambda: open_services(settings, now=site.clock), access_log=False, conda_store=face
    )
    async with open_browsers(app, HOST) as (browser,):
        yield browser


async def permission(browser: Browser) -> dict[str, object]:
    found = (await browser.get(f"{API}/permission/")).json()["data"]
    assert isinstance(found, dict)
    return found


async def log_in(browser: Browser, next_page: str = "/conda-store/ui/") -> httpx.Response:
    """Log in as a browser does, and return the last answer."""
    page = await browser.get(f"{FACE}/login?next={next_page}")
    fields = Page(page.text).fields
    answer = await browser.submit(f"{FACE}/login/", **{**fields, **RIGHT})
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(f"{FACE}/oauth_callback/?next=")
    return await browser.get(answer.headers["location"])


async def test_a_browser_logs_in_and_out(browser: Browser) -> None:
    assert not (await permission(browser))["authenticated"]
    page = (await browser.get(f"{FACE}/login/")).text
    for words in ('placeholder="Username"', 'placeholder="Password"', ">Sign In</button>"):
        assert words in page
    done = await log_in(browser)
    assert (done.status_code, done.headers["location"]) == (303, "/conda-store/ui/")
    line = next(one for one in done.headers.get_list("set-cookie") if "conda-store-auth" in one)
    assert {"HttpOnly", "SameSite=Lax", "Secure", "Path=/"} <= set(line.split("; "))
    found = await permission(browser)
    assert (found["authenticated"], found["primary_namespace"]) == (True, "ada")
    assert found["expiration"] is not None
    assert (await browser.get(f"{FACE}/login/?next=/x")).headers["location"] == "/x"
    value = browser.cookie("conda-store-auth")
    headers = {"authorization": f"Bearer {value}"}
    browser.http.cookies.clear()
    used = await browser.http.get(f"{API}/permission", headers=headers)
    assert used.json()["data"]["authenticated"], "programs take the cookie along as a token"
    browser.http.cookies.set("conda-store-auth", value or "", domain="registry.test")
    gone = await browser.submit(f"{FACE}/logout?next=/")
    assert (gone.status_code, gone.headers["location"]) == (303, "/")
    assert not (await permission(browser))["authenticated"]
    used = await browser.http.get(f"{API}/permission", headers=headers)
    assert used.status_code == 403, "it has ended with the login"


async def test_a_wrong_password_is_told_on_the_page(browser: Browser) -> None:
    for fields in ({**RIGHT, "password": "no"}, {"username": "", "password": ""}):
        answer = await browser.submit(f"{FACE}/login/", **fields)
        assert answer.status_code == 401
        assert "Sign In" in answer.text
    answer = await browser.submit(f"{FACE}/login", username="<b>", password="pft_x")
    assert "a token is for programs" in answer.text
    assert "<b>" not in answer.text


async def test_the_command_line_logs_in_with_json(browser: Browser) -> None:
    answer = await browser.http.post(f"{FACE}/login/", json=RIGHT)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "data": {"redirect_url": f"{HOST}/"}}
    assert (await permission(browser))["authenticated"]
    made = await browser.http.post(f"{API}/token/", json={})
    assert made.status_code == 200, "it says of no page that sent it"
    browser.http.cookies.clear()
    for body, status in (
        ({**RIGHT, "password": "no"}, 403),
        ({}, 403),
        ({"username": 5}, 400),
        ({"username": "a" * 5000, "password": "x"}, 400),
        ([], 400),
    ):
        answer = await browser.http.post(f"{FACE}/login/", json=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.json()["status"] == "error"
    token = made.json()["data"]["token"]
    answer = await browser.http.post(f"{FACE}/login", json={"username": "x", "password": token})
    assert answer.status_code == 200
    assert (await permission(browser))["authenticated"]


#: Addresses of other hosts, in the spellings that browsers take for them, and what is none at all.
NOT_HERE: Final = (
    *(EVIL, f"{EVIL}/lab", f"{HOST}.evil.test/", f"{HOST}@evil.test/", f"{HOST}:1@evil.test/"),
    *(f"{ELSEWHERE}:444/lab", f"{ELSEWHERE}.evil.test", f"{ELSEWHERE}@evil.test"),
    *("http://lab.test/", "https://LAB.test@evil.test", "https://lab.test\u2044@evil.test"),
    *(f"{HOST}\\@evil.test", f"{HOST}#@evil.test", f"{HOST}?@evil.test", "https://evil\u3002test"),
    *("//evil.test", "///evil.test", "////evil.test", "/\\evil.test", "\\\\evil.test"),
    *("\\/evil.test", "/\t/evil.test", "/\n/evil.test", "\t//evil.test", " //evil.test"),
    *("/ /evil.test", "/\r/evil.test", "/.//evil.test\\", "/\uff0fevil.test", "/\ufeff/evil.test"),
    *("\u3000//evil.test", "https:evil.test", "https:/evil.test", "https:///evil.test"),
    *("HTTPS://evil.test", "https://", "https://:443/x", "http://[::1", "[]", "*", "ui", "?x"),
    *("javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "#x", ""),
    *("/x\r\nX-Injected: 1", "/x\nSet-Cookie: a=b", "/x\0", "/" + "a" * 5000),
    f"{HOST}/" + "a" * 5000,
)
#: Where somebody wants to go, and where they are led to.
NEXT: Final = {
    "/conda-store/ui/?a=b": "/conda-store/ui/?a=b",
    f"{HOST}/conda-store/ui/x": f"{HOST}/conda-store/ui/x",
    f"{ELSEWHERE}/lab": f"{ELSEWHERE}/lab",
    ELSEWHERE: ELSEWHERE,
    **dict.fromkeys(NOT_HERE, "/"),
}


async def test_a_login_leads_to_this_host_or_to_one_in_the_settings(browser: Browser) -> None:
    async def led(path: str) -> str:
        """Return where a browser goes, by itself or by a page."""
        answer = await browser.get(path)
        assert answer.status_code in {200, 303}, answer.text
        assert "x-injected" not in answer.headers
        return answer.headers.get("location") or Page(answer.text).refresh or ""

    queries = {urlencode({"next": text}): target for text, target in NEXT.items()}
    await log_in(browser)
    for query, target in queries.items():
        assert await led(f"{FACE}/login?{query}") == target, query
        assert await led(f"{FACE}/oauth_callback/?{query}") == target, query
    browser.http.cookies.clear()
    for turn, (query, target) in enumerate(queries.items()):
        page = Page((await browser.get(f"{FACE}/login?{query}")).text)
        assert page.fields["next"] == target, query
        answer = await browser.submit(f"{FACE}/logout?{query}")
        assert answer.headers["location"] == target, query
        answer = await browser.http.post(f"{FACE}/login?{query}", **SENT[turn % len(SENT)])
        whole = target if target.startswith("https:") else HOST + target
        found = answer.headers.get("location") or answer.json()["data"]["redirect_url"]
        assert found in {target, whole}, query
        assert "x-injected" not in answer.headers
        browser.http.cookies.clear()


async def test_a_program_logs_in_with_a_form_of_name_and_password(browser: Browser) -> None:
    answer = await browser.http.post(f"{FACE}/login/?next=/x", data=RIGHT)
    assert (answer.status_code, answer.headers["location"]) == (303, "/x")
    assert (await permission(browser))["authenticated"]
    browser.http.cookies.clear()
    for fields in ({**RIGHT, "password": "no"}, {}, {"username": "ada"}):
        answer = await browser.http.post(f"{FACE}/login/", data=fields or {"a": "b"})
        assert (answer.status_code, answer.json()["status"]) == (403, "error"), answer.text
    assert not browser.http.cookies


async def test_a_page_of_another_host_goes_on_by_itself_after_a_form(browser: Browser) -> None:
    done = await log_in(browser, f"{ELSEWHERE}/lab")
    assert done.status_code == 200
    assert Page(done.text).refresh == f"{ELSEWHERE}/lab"


#: What browsers say of pages of other hosts.
ELSEWHERES: Final = (
    {"origin": EVIL},
    {"origin": "null"},
    {"origin": f"{HOST}.evil.test"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "same-origin", "origin": EVIL},
)


async def test_pages_of_others_change_nothing_with_a_browsers_login(browser: Browser) -> None:
    await log_in(browser)
    changing = [
        (method, FACE + address.format(namespace="ada", environment="x", build_id="1"))
        for address, methods in ADDRESSES.items()
        for method in methods
        if method != "GET"
    ]
    assert len(changing) > 15
    for headers in ELSEWHERES:
        for method, path in changing:
            answer = await browser.http.request(method, path, headers=headers, json=RIGHT)
            assert answer.status_code == 403, (method, path, headers)
            assert "was not sent by a page of" in answer.json()["message"]
            assert "set-cookie" not in answer.headers
    assert (await permission(browser))["authenticated"]
    for origin in (HOST, ELSEWHERE):
        answer = await browser.http.post(f"{API}/token", headers={"origin": origin}, json={})
        assert answer.status_code == 200


async def test_a_page_of_another_host_logs_nobody_in(browser: Browser) -> None:
    for headers in ELSEWHERES:
        for sent in SENT:
            answer = await browser.http.post(f"{FACE}/login/", headers=headers, **sent)
            assert answer.status_code == 403, headers
            assert "set-cookie" not in answer.headers


async def test_a_cookie_that_has_ended_or_is_none_stands_in_nobodys_way(browser: Browser) -> None:
    for value in ("pft_eyJ.e30.x", "x", "pft_" + "a" * 43):
        browser.http.cookies.clear()
        browser.http.cookies.set("conda-store-auth", value, domain="registry.test")
        assert not (await permission(browser))["authenticated"]
        assert (await browser.get(f"{FACE}/login/")).status_code == 200
    bad = {"authorization": "Bearer pft_eyJ.e30.x"}
    assert (await browser.http.get(f"{API}/permission", headers=bad)).status_code == 403


async def test_whoever_comes_back_without_a_login_is_sent_to_begin(browser: Browser) -> None:
    answer = await browser.get(f"{FACE}/oauth_callback/?next=/x")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{FACE}/login/?next=%2Fx")
