"""The whole way, at a provider that others wrote, as settings describe it."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from registry.auth.device_logins import DeviceLogins
from registry.settings import Settings
from registry.wiring.login import open_login
from tests.registry.auth.provider import run_provider
from tests.registry.fakes import FakeService
from tests.registry.web.login.accounts import MemoryAccounts, MemorySessions
from tests.registry.web.login.browser import Browser, Page, open_browsers
from tests.registry.web.login.test_login import whose

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_provider(tmp_path_factory.mktemp("oidc") / "provider.log") as issuer:
        yield issuer


async def through(http: httpx.AsyncClient, browser: Browser, subject: str) -> httpx.Response:
    """Log in at the provider as ``subject`` and return what answers when it sends one back."""
    begun = await browser.get("/login/oidc?next=/ui")
    reply = await http.post(begun.headers["location"], data={"sub": subject})
    back = urlsplit(reply.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{HERE}/login/callback"
    return await browser.get(f"{back.path}?{back.query}")


async def test_people_log_in_and_out_at_a_real_provider(
    house: FakeService, issuer: str, devices: DeviceLogins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLFORGE_OIDC_ISSUER", issuer)
    monkeypatch.setenv("PULLFORGE_OIDC_CLIENT_SECRET", "s3cret")
    accounts, sessions = MemoryAccounts(), MemorySessions()
    async with (
        open_login(Settings(), accounts, sessions, devices) as login,
        httpx.AsyncClient() as http,
    ):
        house.login = login
        claims = {"preferred_username": "grace", "groups": ["navy", "data"]}
        await http.put(f"{issuer}/users/7", json=claims)
        await http.put(f"{issuer}/users/8", json=claims)
        async with open_browsers(house.app(), HERE, 2) as (browser, other):
            done = await through(http, browser, "7")
            assert (done.status_code, done.headers["location"]) == (303, "/ui")
            assert await whose(browser) == "grace"
            assert accounts.groups["grace"] == {("navy", "oidc"), ("data", "oidc")}
            assert (await through(http, other, "8")).status_code == 403
            await http.put(f"{issuer}/users/7", json=claims | {"groups": ["data"]})
            await through(http, browser, "7")
            assert accounts.groups["grace"] == {("data", "oidc")}
            leaves = Page((await browser.submit("/logout")).text).refresh
            assert leaves is not None
            assert dict(parse_qsl(urlsplit(leaves).query))["post_logout_redirect_uri"] == HERE
            assert (await http.get(leaves)).status_code == 200
            assert await whose(browser) is None
            assert sessions.browsers == {}


async def test_a_code_of_the_provider_is_worth_nothing_here_without_its_login(
    house: FakeService, issuer: str, devices: DeviceLogins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLFORGE_OIDC_ISSUER", issuer)
    sessions = MemorySessions()
    async with (
        open_login(Settings(), MemoryAccounts(), sessions, devices) as login,
        httpx.AsyncClient() as http,
    ):
        house.login = login
        async with open_browsers(house.app(), HERE, 2) as (attacker, victim):
            begun = await attacker.get("/login/oidc")
            reply = await http.post(begun.headers["location"], data={"sub": "9"})
            answer = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
            assert (await victim.get(f"/login/callback?{urlencode(answer)}")).status_code == 400
            # With a state of the victim's own, the nonce in the token is still the attacker's.
            mine = await victim.get("/login/oidc")
            state = dict(parse_qsl(urlsplit(mine.headers["location"]).query))["state"]
            forged = answer | {"state": state}
            assert (await victim.get(f"/login/callback?{urlencode(forged)}")).status_code == 403
            assert sessions.browsers == {}
