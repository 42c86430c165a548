import asyncio
import datetime

import pytest

from builder.rules.model import NO_RULES
from registry.errors import PolicyTextInvalid
from registry.policy.advisories import read_advisory
from registry.policy.book import PolicyBook
from registry.policy.policy import OWN
from registry.policy.waivers import Waiver
from tests.registry.policy.texts import osv, policy

NOON = datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime.datetime:
        return self.now


def denying(spec: str) -> str:
    return f'[packages]\ndenied = ["{spec}"]'


def denied(book: PolicyBook, *place: str) -> list[str]:
    return [rule.spec for rule in book.rules(*(place or (None,))).denied]


def test_what_is_put_holds_and_what_is_removed_does_not() -> None:
    book = PolicyBook(Clock())
    assert book.rules(None) is book.rules(None)
    assert book.rules(None) == NO_RULES
    stored = policy(denying("a"), "one", source="database", version=1)
    own = policy(denying("b"), OWN, namespace="team", source="database", version=1)
    for _ in range(2):  # all of it is harmless twice
        book.put_policy(stored)
        book.put_policy(own)
    assert (denied(book), denied(book, "team")) == (["a"], ["a", "b"])
    assert [one.name for one in book.policies_of("team")] == ["one", OWN]
    for _ in range(2):
        book.remove_policy("one")
        book.remove_policy(OWN, "team")
    assert book.rules("team") == NO_RULES


def test_rules_are_the_same_object_until_something_changes() -> None:
    book = PolicyBook(Clock())
    book.put_files({"company": policy(denying("a"))})
    first = book.rules("team", "x")
    book.put_files({"company": policy(denying("a"))})
    assert book.rules("team", "x") is first
    seen = book.changes
    book.put_files({"company": policy(denying("b"))})
    assert book.changes > seen
    assert denied(book, "team", "x") == ["b"]


def test_a_file_goes_before_the_policy_of_the_database_with_its_name() -> None:
    book = PolicyBook(Clock())
    book.put_policy(policy(denying("a"), source="database"))
    book.put_files({"company": policy(denying("b"))})
    assert denied(book) == ["b"]
    assert book.is_kept_in_file("company")
    assert [one.source for one in book.policies()] == ["file"]
    book.put_files({})
    assert denied(book) == ["a"]
    found = book.policy("company")
    assert found is not None
    assert found.source == "database"
    assert not book.is_kept_in_file("company")
    assert book.policy(OWN, "team") is None


def test_a_day_later_an_age_is_counted_anew() -> None:
    clock = Clock()
    book = PolicyBook(clock)
    book.put_files({"company": policy('[age]\nminimum = "1 day"')})
    first, seen = book.rules(None), book.changes
    clock.now = NOON.replace(hour=23, minute=59)
    assert book.rules(None) is first
    clock.now = NOON + datetime.timedelta(hours=12)
    assert (
        book.rules(None).age[0].published_until_ms == first.age[0].published_until_ms + 86_400_000
    )
    assert book.changes > seen


def test_a_waiver_ends_by_itself_at_its_moment() -> None:
    clock = Clock()
    book = PolicyBook(clock)
    book.put_files({"company": policy(denying("a"))})
    until = NOON + datetime.timedelta(minutes=1)
    for _ in range(2):
        book.put_waiver(Waiver(7, "a", namespace="team", expires_at=until))
        book.put_waiver(Waiver(8, "a", namespace="team", expires_at=NOON))
    assert [one.waiver for one in book.rules("team").exemptions] == [7]
    assert [one.number for one in book.waivers()] == [7]
    clock.now = until
    assert book.rules("team").exemptions == ()
    book.put_waiver(Waiver(9, "a"))
    book.remove_waiver(9)
    book.remove_waiver(9)
    assert book.rules(None).exemptions == ()


def test_all_of_the_database_is_replaced_at_once() -> None:
    book = PolicyBook(Clock())
    book.put_policy(policy(denying("a"), "old", source="database"))
    book.put_waiver(Waiver(1, "a"))
    book.replace_stored([policy(denying("b"), "new", source="database")], [Waiver(2, "b")])
    assert denied(book) == ["b"]
    assert [one.number for one in book.waivers()] == [2]
    seen = book.changes
    book.replace_stored([policy(denying("b"), "new", source="database")], [Waiver(2, "b")])
    assert book.changes == seen


@pytest.mark.anyio
async def test_whoever_waits_for_a_change_is_woken_by_it() -> None:
    book = PolicyBook(Clock())
    seen = book.changes
    waiting = asyncio.create_task(book.changed(seen))
    await asyncio.sleep(0)
    assert not waiting.done()
    book.put_files({"company": policy(denying("a"))})
    assert await waiting == book.changes > seen
    # A change before the wait began is not missed, and one that does not come is not waited for.
    assert await book.changed(seen) > seen
    assert await book.changed(book.changes, 0.001) == book.changes


def test_problems_are_told_by_place_and_gone_when_they_are() -> None:
    told: list[tuple[str, int]] = []
    book = PolicyBook(Clock(), lambda place, count: told.append((place, count)))
    book.put_problems(
        "policies", [PolicyTextInvalid("b.toml", "x"), PolicyTextInvalid("a.toml", "y")]
    )
    book.put_problems("advisories", [PolicyTextInvalid("z.json", "x", line=3, field="id")])
    assert [one.message for one in book.problems()] == [
        "a.toml: y",
        "b.toml: x",
        "z.json, line 3, id: x",
    ]
    book.put_problems("policies", [])
    assert [one.file for one in book.problems()] == ["z.json"]
    assert told == [("policies", 2), ("advisories", 1), ("policies", 0)]


def test_advisories_change_the_rules_of_policies_that_want_them() -> None:
    book = PolicyBook(Clock())
    found = read_advisory(osv())
    assert found is not None
    book.put_files({"company": policy("[advisories]")})
    assert [rule.advisories for rule in book.rules(None).advisories] == [()]
    book.put_advisories((found,))
    assert [rule.advisories for rule in book.rules(None).advisories] == [(found,)]
