import pytest

from registry.auth.device_logins import (
    LIFETIME_SECONDS,
    MAX_WAITING_OF_ONE,
    LocalDeviceLogins,
    read_user_code,
)
from registry.errors import TooManyLogins

pytestmark = pytest.mark.anyio


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_program_learns_once_who_has_granted_it() -> None:
    logins = LocalDeviceLogins()
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


async def test_only_the_first_decision_counts() -> None:
    logins = LocalDeviceLogins()
    code, login = await logins.begin("x", "192.0.2.1")
    assert await logins.decide(login.user_code, None)
    assert not await logins.decide(login.user_code, "eve")
    denied = await logins.take(code)
    assert denied is not None
    assert (denied.state, denied.name) == ("denied", None)


async def test_a_code_ends_after_ten_minutes_granted_or_not() -> None:
    clock = Clock()
    logins = LocalDeviceLogins(clock)
    code, _ = await logins.begin("x", "192.0.2.1")
    granted, login = await logins.begin("y", "192.0.2.1")
    await logins.decide(login.user_code, "ada")
    clock.seconds += LIFETIME_SECONDS
    assert await logins.take(code) is None
    assert await logins.take(granted) is None
    assert not await logins.decide(login.user_code, "ada")


async def test_one_client_does_not_take_all_the_room() -> None:
    clock = Clock()
    logins = LocalDeviceLogins(clock)
    for number in range(MAX_WAITING_OF_ONE):
        await logins.begin("x", f"2001:db8::{number}")
    with pytest.raises(TooManyLogins):
        await logins.begin("x", "2001:db8::ffff")
    await logins.begin("x", "192.0.2.1")
    clock.seconds += LIFETIME_SECONDS
    await logins.begin("x", "2001:db8::1")


async def test_what_is_kept_does_not_give_the_device_code_away() -> None:
    logins = LocalDeviceLogins()
    code, login = await logins.begin("x", "192.0.2.1")
    assert code not in repr(vars(logins))
    assert login.device_sha256 not in repr(login)


@pytest.mark.parametrize("typed", ["bcdf ghjk", "BCDF-GHJK", " BCDFGHJK\n"])
async def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert read_user_code(typed) == "BCDFGHJK"


@pytest.mark.parametrize("typed", ["", "BCDFGHJ", "BCDFGHJKL", "ABCDEFGH", "BCDFGHJK" * 50])
async def test_what_can_be_no_code_is_none(typed: str) -> None:
    assert read_user_code(typed) is None
