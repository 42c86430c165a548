"""Logins of programs, over both databases, as any of several servers keeps them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from registry.auth.device_logins import LIFETIME_SECONDS, MAX_WAITING_OF_ONE, DeviceLogins
from registry.catalog.device_logins import CatalogDeviceLogins
from registry.catalog.signing import signing_key
from registry.database import Database, open_database, tables
from registry.errors import TooManyLogins
from tests.registry.databases import opened

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(database: Database) -> Clock:
    clock = Clock()
    database.now = clock
    return clock


@pytest.fixture
def logins(database: Database) -> DeviceLogins:
    return CatalogDeviceLogins(database)


async def test_a_program_learns_once_who_has_granted_it(logins: DeviceLogins) -> None:
    code, login = await logins.begin("pullforge on lab7", "192.0.2.1")
    waiting = await logins.take(code)
    assert waiting is not None
    assert waiting.state == "waiting"
    assert await logins.decide(login.user_code, "ada")
    granted = await logins.take(code)
    assert granted is not None
    assert (granted.state, granted.name) == ("granted", "ada")
    assert await logins.take(code) is None
    assert await logins.find(login.user_code) is None


async def test_only_the_first_decision_counts(logins: DeviceLogins) -> None:
    code, login = await logins.begin("x", "192.0.2.1")
    assert await logins.decide(login.user_code, None)
    assert not await logins.decide(login.user_code, "eve")
    denied = await logins.take(code)
    assert denied is not None
    assert (denied.state, denied.name) == ("denied", None)


async def test_a_code_ends_after_ten_minutes_granted_or_not(
    logins: DeviceLogins, clock: Clock
) -> None:
    code, _ = await logins.begin("x", "192.0.2.1")
    granted, login = await logins.begin("y", "192.0.2.1")
    await logins.decide(login.user_code, "ada")
    clock.now += timedelta(seconds=LIFETIME_SECONDS)
    assert await logins.take(code) is None
    assert await logins.take(granted) is None
    assert not await logins.decide(login.user_code, "ada")


async def test_one_client_does_not_take_all_the_room(logins: DeviceLogins, clock: Clock) -> None:
    for number in range(MAX_WAITING_OF_ONE):
        await logins.begin("x", f"2001:db8::{number}")
    with pytest.raises(TooManyLogins):
        await logins.begin("x", "2001:db8::ffff")
    await logins.begin("x", "192.0.2.1")
    clock.now += timedelta(seconds=LIFETIME_SECONDS)
    await logins.begin("x", "2001:db8::1")


async def test_what_is_kept_does_not_give_the_device_code_away(
    logins: DeviceLogins, database: Database
) -> None:
    code, login = await logins.begin("x", "192.0.2.1")
    async with database.reading() as connection:
        (row,) = (await connection.execute(select(tables.device_login))).all()
    assert code not in repr(row)
    assert login.device_sha256 not in repr(login)


async def test_whoever_asks_another_server_goes_on_with_the_same_login(database_url: str) -> None:
    async with opened(database_url) as one, open_database(database_url) as two:
        here, there = CatalogDeviceLogins(one), CatalogDeviceLogins(two)
        code, login = await here.begin("x", "192.0.2.1")
        assert await there.find(login.user_code) == login
        decided = await asyncio.gather(
            here.decide(login.user_code, "ada"), there.decide(login.user_code, None)
        )
        assert sorted(decided) == [False, True]
        told = await asyncio.gather(*(one.take(code) for one in (here, there) * 3))
        assert len([one for one in told if one is not None]) == 1, "told once"


async def test_codes_that_have_ended_are_thrown_away(
    logins: DeviceLogins, clock: Clock, database: Database
) -> None:
    await logins.begin("x", "192.0.2.1")
    clock.now += timedelta(seconds=LIFETIME_SECONDS)
    _, login = await logins.begin("x", "192.0.2.1")
    async with database.reading() as connection:
        codes = (await connection.execute(select(tables.device_login.c.user_code))).scalars().all()
    assert codes == [login.user_code]


async def test_all_servers_sign_with_one_key(database_url: str) -> None:
    async with opened(database_url) as one, open_database(database_url) as two:
        keys = await asyncio.gather(*(signing_key(one if n % 2 else two) for n in range(6)))
        assert len(set(keys)) == 1
        assert len(bytes.fromhex(keys[0])) == 32
