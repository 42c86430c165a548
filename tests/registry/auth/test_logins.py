import asyncio
import datetime
import threading
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from registry.auth import logins as module
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
def verifier(monkeypatch: pytest.MonkeyPatch) -> Verifier:
    return Verifier(monkeypatch)


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


async def test_few_are_verified_at_a_time_and_too_many_are_sent_away(
    logins: Logins, verifier: Verifier
) -> None:
    policy = policy_of(*(user(f"user{i}") for i in range(150)))
    verifier.gate.clear()
    waiting = [asyncio.create_task(logins.log_in(policy, f"user{i}", "x", "a")) for i in range(150)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(TooManyLogins, match="try again in a minute"):
        done.pop().result()
    verifier.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(one, TooManyLogins) for one in results) == 100
    assert sum(isinstance(one, Unauthorized) for one in results) == 50
    assert verifier.most <= 2


async def test_who_fails_too_often_has_to_wait(logins: Logins, clock: Clock) -> None:
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await logins.log_in(POLICY, "ada", "wrong", "a")
    with pytest.raises(TooManyLogins, match="10 logins with this name have failed"):
        await logins.log_in(POLICY, "ada", PASSWORD, "a")
    await logins.log_in(POLICY, "ci", TOKEN, "a")
    assert (await logins.log_in(POLICY, "ada", PASSWORD, "b")).name == "ada", "she is elsewhere"
    await logins.log_in(POLICY, "ada", PASSWORD, "a")  # known to be right by now
    clock.seconds += 61
    with pytest.raises(Unauthorized):
        await logins.log_in(POLICY, "ada", "wrong", "a")


async def test_memory_is_bounded(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_REMEMBERED", 100)
    bounded = Logins()
    for i in range(300):
        with pytest.raises(Unauthorized):
            await bounded.log_in(POLICY, f"u{i}", "pft_wrong", "a")
    assert len(bounded._failures._entries) == 100
    await bounded.aclose()


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
    assert PASSWORD not in str(logins._verified._entries)
