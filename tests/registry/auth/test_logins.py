import asyncio
import datetime
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest
from structlog.testing import capture_logs

from registry.auth import logins as module
from registry.auth.login_limits import MAX_ADDRESS_FAILURES, MAX_NAME_FAILURES
from registry.auth.logins import Logins
from registry.auth.secret import verify_secret
from registry.errors import TooManyLogins, Unauthorized
from tests.registry.accounts import PASSWORD, TOKEN, policy_of, quick_hash, robot, user

pytestmark = pytest.mark.anyio

POLICY = policy_of(user("ada"), robot("ci"))


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Verifier:
    """Counts what is really verified, and holds it up while ``gate`` is clear."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = self.running = self.most = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        monkeypatch.setattr(module, "verify_secret", self)

    def __call__(self, secret: str, hashed: str | None) -> bool:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            assert self.gate.wait(10)
            return verify_secret(secret, hashed)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Verifier]:
    verifier = Verifier(monkeypatch)
    yield verifier
    verifier.gate.set()


@pytest.fixture
async def logins(clock: Clock, anyio_backend: str) -> AsyncIterator[Logins]:
    logins = Logins(clock)
    yield logins
    await logins.aclose()


async def test_users_and_robots_log_in(logins: Logins) -> None:
    assert (await logins.log_in(POLICY, "ada", PASSWORD, "a")).name == "ada"
    assert (await logins.log_in(POLICY, "ci", TOKEN, "a")).name == "ci"


@pytest.mark.parametrize(
    ("name", "secret"),
    [("ada", "x"), ("ada", ""), ("", PASSWORD), ("bob", PASSWORD), ("ada", TOKEN), ("ci", "pft_")],
)
async def test_everyone_else_is_told_the_same(logins: Logins, name: str, secret: str) -> None:
    with pytest.raises(Unauthorized, match="name or password is wrong, or has expired"):
        await logins.log_in(POLICY, name, secret, "a")


async def test_who_has_expired_is_refused_even_if_remembered(logins: Logins) -> None:
    await logins.log_in(POLICY, "ada", PASSWORD, "a")
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    with pytest.raises(Unauthorized):
        await logins.log_in(policy_of(user("ada", expires=past)), "ada", PASSWORD, "a")


async def test_a_password_is_not_verified_again_for_a_while(
    logins: Logins, verifier: Verifier, clock: Clock
) -> None:
    for _ in range(3):
        await logins.log_in(POLICY, "ada", PASSWORD, "a")
    assert verifier.calls == 1
    clock.seconds += 301
    await logins.log_in(POLICY, "ada", PASSWORD, "a")
    assert verifier.calls == 2


async def test_what_is_remembered_ends_with_the_password_and_the_user(logins: Logins) -> None:
    await logins.log_in(POLICY, "ada", PASSWORD, "a")
    with pytest.raises(Unauthorized):
        await logins.log_in(policy_of(), "ada", PASSWORD, "a")
    changed = policy_of(user("ada", hashed=quick_hash("new")))
    with pytest.raises(Unauthorized):
        await logins.log_in(changed, "ada", PASSWORD, "a")
    await logins.log_in(changed, "ada", "new", "a")


async def test_many_logins_at_once_are_verified_once(logins: Logins, verifier: Verifier) -> None:
    verifier.gate.clear()
    waiting = [asyncio.create_task(logins.log_in(POLICY, "ada", PASSWORD, "a")) for _ in range(50)]
    await asyncio.sleep(0)  # all have asked by now
    waiting[0].cancel()
    verifier.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [getattr(one, "name", one) for one in results[1:]] == ["ada"] * 49
    assert verifier.calls == 1


async def outcomes(logins: Logins, tries: Iterable[tuple[str, str, str]]) -> Counter[str]:
    """Send all tries at once, each a name, a secret and an address; count what comes of them."""
    everybody = {name for name, _, _ in tries}
    policy = policy_of(*(user(name) for name in everybody))
    work = [logins.log_in(policy, *one) for one in tries]
    results = await asyncio.gather(*work, return_exceptions=True)
    return Counter(type(one).__name__ for one in results)


async def test_few_are_verified_at_a_time_and_too_many_are_sent_away(
    logins: Logins, verifier: Verifier
) -> None:
    tries = [(f"user{i}", "x", f"192.0.2.{i}") for i in range(150)]
    assert await outcomes(logins, tries) == {"Unauthorized": 50, "TooManyLogins": 100}
    assert verifier.most <= 2


async def test_one_address_has_one_password_verified_at_a_time_and_others_come_in_between(
    logins: Logins, verifier: Verifier
) -> None:
    verifier.gate.clear()
    many = [(f"user{i}", "x", "192.0.2.1") for i in range(MAX_ADDRESS_FAILURES)]
    flood = asyncio.create_task(outcomes(logins, many))
    await asyncio.sleep(0.05)
    assert verifier.running == 1
    verifier.gate.set()
    assert (await logins.log_in(POLICY, "ada", PASSWORD, "198.51.100.1")).name == "ada"
    assert not flood.done()
    assert verifier.calls < 10
    assert (await flood)["Unauthorized"] >= 49


async def test_of_tries_at_once_exactly_as_many_are_verified_as_may_fail(
    logins: Logins, verifier: Verifier
) -> None:
    tries = [("ada", f"guess {i}", "192.0.2.1") for i in range(40)]
    assert await outcomes(logins, tries) == {"Unauthorized": 10, "TooManyLogins": 30}
    assert verifier.calls == 10
    robots = [("ci", f"pft_{i}", "192.0.2.1") for i in range(40)]
    assert await outcomes(logins, robots) == {"Unauthorized": 10, "TooManyLogins": 30}


async def test_who_fails_too_often_has_to_wait(logins: Logins, clock: Clock) -> None:
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await logins.log_in(POLICY, "ada", "wrong", "a")
    with pytest.raises(TooManyLogins, match="logins with this name have failed: try again in 6 s"):
        await logins.log_in(POLICY, "ada", PASSWORD, "a")
    await logins.log_in(POLICY, "ci", TOKEN, "a")
    assert (await logins.log_in(POLICY, "ada", PASSWORD, "192.0.2.1")).name == "ada", "elsewhere"
    await logins.log_in(POLICY, "ada", PASSWORD, "a")  # known to be right by now
    clock.seconds += 7
    with pytest.raises(Unauthorized):
        await logins.log_in(POLICY, "ada", "wrong", "a")
    with pytest.raises(TooManyLogins):
        await logins.log_in(POLICY, "ada", "wrong", "a")


async def test_right_passwords_are_not_counted(logins: Logins, clock: Clock) -> None:
    for _ in range(3 * MAX_ADDRESS_FAILURES):
        clock.seconds += 0.001
        await logins.log_in(policy_of(user("ada", hashed=quick_hash("p"))), "ada", "p", "a")


async def test_one_password_is_not_tried_with_many_names(logins: Logins) -> None:
    tries = [(f"user{i}", "pft_x", "192.0.2.1") for i in range(300)]
    assert await outcomes(logins, tries) == {
        "Unauthorized": MAX_ADDRESS_FAILURES,
        "TooManyLogins": 300 - MAX_ADDRESS_FAILURES,
    }


async def test_who_has_logged_in_from_an_address_is_not_the_attacker_behind_it(
    logins: Logins, clock: Clock
) -> None:
    await logins.log_in(POLICY, "ada", PASSWORD, "192.0.2.1")
    clock.seconds += 301
    await outcomes(logins, [(f"user{i}", "pft_x", "192.0.2.1") for i in range(300)])
    await outcomes(logins, [("ada", "pft_x", f"198.51.100.{i}") for i in range(250)])
    assert (await logins.log_in(POLICY, "ada", PASSWORD, "192.0.2.1")).name == "ada"


async def test_guessing_from_many_addresses_is_slowed_and_locks_nobody_out(
    logins: Logins,
) -> None:
    tries = [
        ("ada", f"pft_{guess}.{address}", f"10.0.{address}.1")
        for guess in range(10)
        for address in range(100)
    ]
    found = await outcomes(logins, tries)
    assert found["Unauthorized"] <= MAX_NAME_FAILURES + 100, "one a minute from each, after that"
    new = [("ada", f"pft_{guess}", "203.0.113.1") for guess in range(10)]
    assert await outcomes(logins, new) == {"Unauthorized": 1, "TooManyLogins": 9}
    assert (await logins.log_in(POLICY, "ada", PASSWORD, "203.0.113.2")).name == "ada"


async def test_all_addresses_of_a_network_of_ipv6_are_one(logins: Logins) -> None:
    tries = [("ada", f"pft_{i}", f"2001:db8::{i:x}") for i in range(40)]
    assert await outcomes(logins, tries) == {"Unauthorized": 10, "TooManyLogins": 30}
    others = [("ada", f"pft_{i}", f"2001:db8:0:{i:x}::1") for i in range(1, 40)]
    assert (await outcomes(logins, others))["Unauthorized"] == 39


async def test_memory_does_not_grow_with_the_number_and_length_of_names(logins: Logins) -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for i in range(1000):
        with pytest.raises((Unauthorized, TooManyLogins)):
            await logins.log_in(POLICY, f"{i}" + "x" * 58_000, "pft_wrong", f"10.0.{i % 250}.1")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1_000_000


async def test_no_secret_is_logged_or_kept(logins: Logins) -> None:
    with capture_logs() as lines:
        await logins.log_in(POLICY, "ada", PASSWORD, "a")
        for name, secret in (("ada", "wr0ng"), ("hunter2", ""), ("ci", "pft_wr0ng")):
            with pytest.raises(Unauthorized):
                await logins.log_in(POLICY, name, secret, "192.0.2.7")
    assert [line["user"] for line in lines] == ["ada", None, "ci"]
    assert {line["address"] for line in lines} == {"192.0.2.7"}
    for secret in (PASSWORD, "wr0ng", "hunter2"):
        assert secret not in str(lines)
    assert PASSWORD not in str(logins._verified.keys())
