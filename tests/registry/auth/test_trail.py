"""What is noted of requests: in bounded memory, the same once, and counted."""

from collections import Counter
from typing import Any

import pytest

from registry.auth import trail as module
from registry.auth.trail import (
    LOGIN_SECONDS,
    MAX_EACH,
    MAX_STRANGERS,
    SAME_SECONDS,
    Noted,
    Trail,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lost() -> Counter[str]:
    return Counter()


@pytest.fixture
def trail(clock: Clock, lost: Counter[str]) -> Trail:
    def on_lost(action: str, number: int) -> None:
        lost[action] += number

    return Trail(on_lost, clock)


def failed(address: str = "192.0.2.1", **more: Any) -> Noted:
    return Noted("login.failed", "api", address=address, **more)


def told(trail: Trail) -> list[tuple[str, int]]:
    return [(one.action, one.detail.get("times", 1)) for one in trail.take(100_000)]


def test_the_same_is_told_once_and_then_with_its_number(trail: Trail, clock: Clock) -> None:
    for _ in range(500):
        trail.note(failed())
    assert told(trail) == [("login.failed", 1)]
    clock.now += SAME_SECONDS
    assert told(trail) == [("login.failed", 499)]
    clock.now += SAME_SECONDS
    assert told(trail) == []


def test_what_happens_again_later_is_told_again(trail: Trail, clock: Clock) -> None:
    trail.note(failed())
    clock.now += SAME_SECONDS
    trail.note(failed())
    assert told(trail) == [("login.failed", 1), ("login.failed", 1)]


def test_somebody_logs_in_from_one_place_once_an_hour(trail: Trail, clock: Clock) -> None:
    for _ in range(3):
        trail.note(Noted("login.succeeded", "registry", "ada", address="192.0.2.1"))
        clock.now += SAME_SECONDS
    trail.note(Noted("login.succeeded", "registry", "ada", address="192.0.2.9"))
    assert told(trail) == [("login.succeeded", 1), ("login.succeeded", 1)]
    clock.now += LOGIN_SECONDS
    assert told(trail) == [("login.succeeded", 2)]


def test_one_client_that_guesses_names_is_told_of_so_often_and_then_counted(
    trail: Trail, clock: Clock
) -> None:
    for number in range(10_000):
        trail.note(failed(actor=f"user{number}"))
    first = trail.take(100_000)
    assert len(first) == MAX_EACH
    clock.now += SAME_SECONDS
    rest = trail.take(100_000)
    assert [(one.detail["times"], one.detail["of"]) for one in rest] == [
        (10_000 - MAX_EACH, "192.0.2.1")
    ]


def test_addresses_of_one_network_are_one_client(trail: Trail) -> None:
    for number in range(1000):
        trail.note(failed(f"2001:db8::{number:x}", actor=f"user{number}"))
    assert len(trail.take(100_000)) == MAX_EACH


def test_a_million_tries_from_everywhere_leave_a_few_hundred_events(
    trail: Trail, clock: Clock, lost: Counter[str]
) -> None:
    for number in range(100_000):
        trail.note(failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(trail.take(100_000)) == MAX_STRANGERS
    clock.now += SAME_SECONDS
    counted = trail.take(100_000)
    assert len(counted) <= module._MAX_NAMED + 1
    assert sum(one.detail["times"] for one in counted) == 100_000 - MAX_STRANGERS
    assert not lost, "they are told, together"


def test_strangers_hold_up_nobody_who_has_logged_in(trail: Trail) -> None:
    for number in range(10_000):
        trail.note(failed(f"10.0.{number >> 8}.{number & 255}"))
    trail.take(100_000)
    trail.note(Noted("access.refused", "api", "ada", address="10.0.0.1"))
    assert told(trail) == [("access.refused", 1)]


def test_nobody_fills_the_memory_with_what_is_ever_new(trail: Trail, clock: Clock) -> None:
    for number in range(50_000):
        clock.now += 60
        trail.note(failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(trail) <= module.MAX_WAITING
    assert sum(map(len, trail._same.values())) <= module._MAX_SAME


def test_changes_are_all_told_and_first(trail: Trail) -> None:
    trail.note(failed())
    for _ in range(100):
        trail.change(Noted("manifest.pushed", "registry", "ada"))
    actions = [one.action for one in trail.take(100_000)]
    assert actions == ["manifest.pushed"] * 100 + ["login.failed"]


def test_what_there_is_no_room_for_is_counted_as_lost(trail: Trail, lost: Counter[str]) -> None:
    for _ in range(module.MAX_CHANGES + 7):
        trail.change(Noted("blob.pushed", "registry", "ada"))
    assert lost == {"blob.pushed": 7}


def test_what_could_not_be_written_waits_again_in_its_order(trail: Trail) -> None:
    for name in "abc":
        trail.change(Noted("blob.pushed", "registry", name))
    trail.note(failed())
    taken = trail.take(2)
    trail.put_back(taken)
    assert [one.actor for one in trail.take(10)] == ["a", "b", "c", None]


def test_at_the_end_all_that_was_counted_is_told(trail: Trail) -> None:
    for number in range(200):
        trail.note(failed())
        trail.note(failed("192.0.2.2", actor=f"user{number}"))
    trail.end()
    assert sum(times for _, times in told(trail)) == 400
