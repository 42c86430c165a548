from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.auth.device_logins import DeviceLogins
from registry.auth.oidc import Oidc, OidcClient
from registry.auth.oidc_provider import OidcProvider
from registry.catalog.device_logins import CatalogDeviceLogins
from registry.database import open_database
from registry.web.services import LoginServices
from tests.registry.accounts import access_of, user
from tests.registry.auth.provider import CLIENT, ISSUER, SECRET, ScriptedProvider
from tests.registry.fakes import FakeService
from tests.registry.web.login.accounts import MemoryAccounts, MemorySessions
from tests.registry.web.login.browser import Browser, open_browsers

HERE = "https://registry.example"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scripted() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
def accounts() -> MemoryAccounts:
    return MemoryAccounts("root")


@pytest.fixture
def sessions() -> MemorySessions:
    return MemorySessions()


@pytest.fixture
async def devices(tmp_path: Path, clock: Clock, anyio_backend: str) -> AsyncIterator[DeviceLogins]:
    def now() -> datetime:
        return datetime.fromtimestamp(clock(), UTC)

    (tmp_path / "logins").mkdir()
    async with open_database(f"sqlite:///{tmp_path}/logins/one.db", now) as database:
        yield CatalogDeviceLogins(database)


@pytest.fixture
async def browsers(
    house: FakeService,
    accounts: MemoryAccounts,
    sessions: MemorySessions,
    scripted: ScriptedProvider,
    devices: DeviceLogins,
    anyio_backend: str,
) -> AsyncIterator[list[Browser]]:
    house.access = access_of(user("root", "**:*"))
    async with scripted.http as http:
        oidc = Oidc(OidcProvider(http, ISSUER), OidcClient(CLIENT, SECRET))
        house.login = LoginServices(accounts, sessions, devices, oidc)
        async with open_browsers(house.app(), HERE, 3) as browsers:
            yield browsers


@pytest.fixture
def browser(browsers: list[Browser]) -> Browser:
    return browsers[0]
