from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.registry.accounts import PASSWORD, access_of, quick_hash, user
from tests.registry.auth.provider import ISSUER, ScriptedProvider
from tests.registry.fakes import FakeService
from tests.registry.web.login.accounts import MemoryAccounts, MemorySessions
from tests.registry.web.login.browser import Browser, Page, open_browsers
from tests.registry.web.login.conftest import HERE

pytestmark = pytest.mark.anyio

SESSION = "__Host-pullforge"
ATTEMPT = "__Host-pullforge-attempt"
ELSEWHERE = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\r\nlocation: https://evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/ä",
    "/" + "a" * 2000,
    "",
]


async def to_provider(browser: Browser, scripted: ScriptedProvider, **query: str) -> str:
    """Begin a login and return the path that the provider sends the browser back to."""
    reply = await browser.get(f"/login/oidc?{urlencode(query)}")
    assert reply.status_code == 303, reply.text
    answer = scripted.authorize(reply.headers["location"])
    return f"/login/callback?{urlencode(answer)}"


async def by_oidc(browser: Browser, scripted: ScriptedProvider) -> httpx.Response:
    return await browser.get(await to_provider(browser, scripted))


async def by_password(browser: Browser, **fields: str) -> httpx.Response:
    return await browser.submit("/login", **{"name": "root", "password": PASSWORD, **fields})


async def whose(browser: Browser) -> str | None:
    text = (await browser.get("/login")).text
    return text.partition("logged in as <bdi>")[2].partition("<")[0] or None


async def test_somebody_logs_in_at_the_provider_and_goes_where_they_wanted(
    browser: Browser, scripted: ScriptedProvider, accounts: MemoryAccounts
) -> None:
    page = Page((await browser.get("/login?next=/ui/data")).text)
    assert "/login/oidc?next=%2Fui%2Fdata" in page.links
    reply = await browser.get("/login/oidc?next=%2Fui%2Fdata")
    assert reply.headers["location"].startswith(f"{ISSUER}/authorize?")
    asked = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
    assert asked["redirect_uri"] == f"{HERE}/login/callback"
    answer = scripted.authorize(reply.headers["location"])
    done = await browser.get(f"/login/callback?{urlencode(answer)}")
    assert (done.status_code, done.headers["location"]) == (303, "/ui/data")
    assert await whose(browser) == "ada"
    assert accounts.groups == {"ada": {("data", "oidc")}}
    assert browser.cookie(ATTEMPT) is None


async def test_a_user_of_the_auth_file_logs_in_by_password(browser: Browser) -> None:
    assert await whose(browser) is None
    reply = await by_password(browser, next="/ui")
    assert (reply.status_code, reply.headers["location"]) == (303, "/ui")
    assert await whose(browser) == "root"


async def test_the_cookie_is_for_this_host_and_for_no_script(browser: Browser) -> None:
    line = (await by_password(browser)).headers["set-cookie"]
    name, *attributes = line.split("; ")
    assert name.startswith("__Host-pullforge=pft_")
    assert {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} <= set(attributes)
    assert not any(one.lower().startswith("domain") for one in attributes)


@pytest.mark.parametrize("secret", ["wrong", "", "pft_" + "x" * 43])
async def test_a_wrong_password_is_told_on_the_page_and_gives_no_cookie(
    browser: Browser, secret: str
) -> None:
    reply = await browser.submit("/login", name="root", password=secret)
    assert reply.status_code == 401
    assert "set-cookie" not in reply.headers
    assert 'role="alert"' in reply.text
    assert Page(reply.text).fields["name"] == "root"


async def test_nobody_is_logged_in_without_a_name(browser: Browser) -> None:
    reply = await browser.submit("/login", name="", password="")
    assert (reply.status_code, "set-cookie" in reply.headers) == (401, False)


async def test_passwords_cannot_be_guessed_here_more_often_than_elsewhere(browser: Browser) -> None:
    for _ in range(11):
        reply = await browser.submit("/login", name="root", password="wrong")
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_no_login_leads_to_another_host(
    browser: Browser, scripted: ScriptedProvider, target: str
) -> None:
    assert (await by_password(browser, next=target)).headers["location"] == "/"
    done = await browser.get(await to_provider(browser, scripted, next=target))
    assert done.headers["location"] == "/"
    # Also not by what the browser kept.
    back = await to_provider(browser, scripted)
    kept = browser.cookie(ATTEMPT)
    assert kept is not None
    changed = f"{kept.rpartition('|')[0]}|//evil.example"
    browser.http.cookies.clear()
    reply = await browser.http.get(back, headers={"cookie": f"{ATTEMPT}={changed}"})
    assert reply.headers.get("location", "/") == "/"


async def test_an_answer_for_another_browser_logs_nobody_in(
    browsers: list[Browser], scripted: ScriptedProvider
) -> None:
    """Else an attacker could log others in as himself, and read what they do."""
    attacker, victim, busy = browsers
    back = await to_provider(attacker, scripted)
    assert (await victim.get(back)).status_code == 400
    await to_provider(busy, scripted)
    assert (await busy.get(back)).status_code == 403
    assert await whose(victim) is None
    assert await whose(busy) is None


async def test_an_answer_is_taken_once(
    browser: Browser, scripted: ScriptedProvider, sessions: MemorySessions
) -> None:
    back = await to_provider(browser, scripted)
    kept = browser.cookie(ATTEMPT)
    assert (await browser.get(back)).status_code == 303
    assert (await browser.get(back)).status_code == 400
    # The provider takes no code twice, whatever a browser keeps.
    again = await browser.http.get(back, headers={"cookie": f"{ATTEMPT}={kept}"})
    assert again.status_code == 403
    assert len(sessions.browsers) == 1


async def test_a_secret_that_was_there_before_the_login_is_worth_nothing_after_it(
    browser: Browser, sessions: MemorySessions
) -> None:
    planted = await sessions.open("root", "")
    browser.http.cookies.set(SESSION, planted, domain="registry.example", path="/")
    await by_password(browser)
    assert browser.cookie(SESSION) != planted
    before = browser.cookie(SESSION)
    await by_password(browser)
    assert before is not None
    assert sessions.owner(before.partition(".")[0]) is None


async def test_two_cookies_of_the_name_are_none(browser: Browser, sessions: MemorySessions) -> None:
    mine, planted = await sessions.open("ada", ""), await sessions.open("eve", "")
    headers = {"cookie": f"{SESSION}={planted}; {SESSION}={mine}"}
    reply = await browser.http.get("/login", headers=headers)
    assert "logged in as" not in reply.text


async def test_a_new_password_ends_the_logins_with_the_old_one(
    browser: Browser, house: FakeService
) -> None:
    await by_password(browser)
    assert await whose(browser) == "root"
    secret = browser.cookie(SESSION)
    assert secret is not None
    changed = access_of(user("root", hashed=quick_hash("new"))).policy
    object.__setattr__(house.access.source, "policy", changed)
    assert await whose(browser) is None
    browser.http.cookies.clear()
    bare = {"cookie": f"{SESSION}={secret.partition('.')[0]}"}
    assert "logged in as" not in (await browser.http.get("/login", headers=bare)).text


@pytest.mark.parametrize("path", ["/login", "/logout", "/login/device"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://registry.example"},
        {"origin": "https://registry.example.evil.example"},
        {"origin": HERE, "sec-fetch-site": "same-site"},
        {"referer": f"{HERE}/login"},
    ],
    ids=str,
)
async def test_a_form_of_another_page_does_nothing(
    browser: Browser, sessions: MemorySessions, path: str, headers: dict[str, str]
) -> None:
    await by_password(browser)
    before = dict(sessions.browsers)
    form = {"name": "root", "password": PASSWORD, "code": "BCDFGHJK", "decision": "grant"}
    reply = await browser.http.post(path, data=form, headers=headers)
    assert reply.status_code == 403
    assert "set-cookie" not in reply.headers
    assert sessions.browsers == before


async def test_a_link_logs_nobody_out(browser: Browser) -> None:
    await by_password(browser)
    await browser.get("/logout")
    assert await whose(browser) == "root"


async def test_logging_out_ends_the_login_here_and_at_the_provider(
    browser: Browser, scripted: ScriptedProvider, sessions: MemorySessions
) -> None:
    await by_oidc(browser, scripted)
    secret = browser.cookie(SESSION)
    reply = await browser.submit("/logout")
    assert sessions.browsers == {}
    assert browser.cookie(SESSION) is None
    leaves = Page(reply.text).refresh
    assert leaves is not None
    assert leaves.startswith(f"{ISSUER}/logout?client_id=pullforge")
    assert dict(parse_qsl(urlsplit(leaves).query))["id_token_hint"].count(".") == 2
    # Whoever kept the secret has nothing.
    stolen = await browser.http.get("/login", headers={"cookie": f"{SESSION}={secret}"})
    assert "logged in as" not in stolen.text


async def test_who_logged_in_by_password_is_not_sent_to_the_provider(browser: Browser) -> None:
    await by_password(browser)
    assert Page((await browser.submit("/logout")).text).refresh is None


async def test_a_provider_that_is_down_stops_neither_passwords_nor_logging_out(
    browser: Browser, scripted: ScriptedProvider
) -> None:
    scripted.instead["/.well-known/openid-configuration"] = httpx.ConnectError("refused")
    reply = await browser.get("/login/oidc")
    assert reply.status_code == 503
    assert "does not answer" in reply.text
    assert (await by_password(browser)).status_code == 303
    assert (await browser.submit("/logout")).status_code == 200


async def test_a_name_belongs_to_one_subject(
    browsers: list[Browser], scripted: ScriptedProvider, accounts: MemoryAccounts
) -> None:
    first, second, third = browsers
    await by_oidc(first, scripted)
    scripted.claims = {"sub": "another"}
    reply = await by_oidc(second, scripted)
    assert reply.status_code == 403
    assert "somebody else" in reply.text
    scripted.claims = {"sub": "third", "preferred_username": "root"}
    assert (await by_oidc(third, scripted)).status_code == 403
    assert await whose(second) is None
    # Who is known stays who they are when the provider calls them otherwise.
    scripted.claims = {"preferred_username": "countess"}
    await by_oidc(first, scripted)
    assert await whose(first) == "ada"


async def test_groups_follow_the_provider_and_leave_others_alone(
    browser: Browser, scripted: ScriptedProvider, accounts: MemoryAccounts
) -> None:
    accounts.groups["ada"] = {("admins", "local")}
    await by_oidc(browser, scripted)
    scripted.claims = {"groups": ["hr"]}
    await by_oidc(browser, scripted)
    assert accounts.groups["ada"] == {("admins", "local"), ("hr", "oidc")}


async def test_what_was_typed_is_text_on_the_page(browser: Browser) -> None:
    reply = await browser.submit("/login", name='"><script>alert(1)</script>', password="x")
    page = Page(reply.text)
    assert not page.has_script
    assert page.fields["name"] == '"><script>alert(1)</script>'


@pytest.mark.parametrize("path", ["/login", "/login/device", "/logout", "/login/callback?code=x"])
async def test_pages_run_nothing_of_others_and_are_neither_framed_nor_kept(
    browser: Browser, path: str
) -> None:
    await by_password(browser)
    reply = await browser.get(path)
    assert not Page(reply.text).has_script
    if reply.status_code != 303:
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"


async def test_without_tls_only_this_machine_logs_in(
    house: FakeService, accounts: MemoryAccounts, browsers: list[Browser]
) -> None:
    async with open_browsers(house.app(), "http://registry.example") as (far,):
        reply = await by_password(far)
        assert reply.status_code == 403
        assert "https" in reply.text
        assert "set-cookie" not in reply.headers
    async with open_browsers(house.app(), "http://127.0.0.1:8080") as (near,):
        line = (await by_password(near)).headers["set-cookie"]
        assert line.startswith("pullforge=pft_")
        assert "Secure" not in line
        assert await whose(near) == "root"


async def test_without_a_database_there_is_nothing_to_log_in_to(house: FakeService) -> None:
    async with open_browsers(house.app(), HERE) as (browser,):
        reply = await browser.get("/login")
        assert reply.status_code == 403
        assert "PULLFORGE_DATABASE" in reply.text


async def test_a_disabled_account_does_not_log_in(
    browser: Browser, scripted: ScriptedProvider, accounts: MemoryAccounts
) -> None:
    accounts.disabled.add("ada")
    assert (await by_oidc(browser, scripted)).status_code == 403
    assert await whose(browser) is None


async def test_one_address_cannot_make_us_flood_the_provider(browser: Browser) -> None:
    statuses = {(await browser.get("/login/oidc")).status_code for _ in range(61)}
    assert statuses == {303, 429}


async def test_forms_that_are_too_large_are_refused(browser: Browser) -> None:
    reply = await browser.submit("/login", name="root", password="x" * 20_000)
    assert reply.status_code == 413
    many = {f"f{number}": "x" for number in range(100)}
    assert (await browser.submit("/login", **many)).status_code == 403
    text = await browser.http.post("/login", content=b"name=root", headers={"origin": HERE})
    assert text.status_code == 403
