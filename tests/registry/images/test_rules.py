"""Rules in the store: written before anything names them, and kept as long as they are used."""

import os
from pathlib import Path

import pytest

from builder.errors import StoreUnavailable
from builder.rules.model import NO_RULES, AgeRule, Author, DeniedRule, Rules
from builder.spec import RulesDigest
from registry.images.rules import KEPT_SECONDS, RulesRecords, forget_rules
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import CURRENT_RULES, rules_key

pytestmark = pytest.mark.anyio

DAY_SECONDS = 86_400
RULES = Rules(denied=(DeniedRule(Author("company"), "openssl <3.0.8"),))


class Clock:
    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def files(root: Path) -> list[Path]:
    return sorted((root / "store" / "rules").glob("*.json"))


async def test_what_one_keeps_another_reads(store: FilesystemStore, clock: Clock) -> None:
    digest = await RulesRecords(store, clock).keep(RULES)
    assert digest == RULES.digest
    assert await RulesRecords(store, clock).get(digest) == RULES


async def test_of_no_rules_nothing_is_written(
    store: FilesystemStore, clock: Clock, tmp_path: Path
) -> None:
    records = RulesRecords(store, clock)
    assert await records.keep(NO_RULES) == ""
    assert await records.identity(NO_RULES) == ""
    assert await records.get(RulesDigest("")) == NO_RULES
    assert files(tmp_path) == []


async def test_rules_that_are_gone_are_asked_for_again(
    store: FilesystemStore, clock: Clock
) -> None:
    with pytest.raises(StoreUnavailable, match="ask for it again"):
        await RulesRecords(store, clock).get(RULES.digest)


async def test_an_age_that_moves_makes_other_rules_of_the_same_identity(
    store: FilesystemStore, clock: Clock
) -> None:
    records = RulesRecords(store, clock)
    one, other = (
        Rules(age=(AgeRule(Author("company"), "7 days", moment),)) for moment in (1000, 2000)
    )
    assert await records.keep(one) != await records.keep(other)
    assert await records.identity(one) == await records.identity(other)


async def test_what_is_used_stays_and_what_is_not_goes_after_thirty_days(
    store: FilesystemStore, clock: Clock, tmp_path: Path
) -> None:
    records = RulesRecords(store, clock)
    unused = Rules(denied=(DeniedRule(Author("team"), "left-pad"),))
    await records.publish(RULES)
    await records.keep(unused)
    for _ in range(3):
        clock.now += 20 * DAY_SECONDS
        for path in (tmp_path / "store" / "rules").iterdir():
            if path.stat().st_mtime > clock.now - 20 * DAY_SECONDS:
                os.utime(path, (clock.now - 20 * DAY_SECONDS,) * 2)
        await records.keep(RULES)
        os.utime(tmp_path / "store" / rules_key(RULES.digest), (clock.now, clock.now))
        await forget_rules(store, clock.now)
    assert [path.name for path in files(tmp_path)] == [f"{RULES.digest}.json"]
    assert await store.size(CURRENT_RULES) is not None


async def test_the_same_rules_are_written_once_a_day(
    store: FilesystemStore, clock: Clock, tmp_path: Path
) -> None:
    records = RulesRecords(store, clock)
    await records.keep(RULES)
    path = tmp_path / "store" / rules_key(RULES.digest)
    path.unlink()  # seen, if it were written again
    await records.keep(Rules.from_json(RULES.to_json()))
    os.utime(path, (clock.now, clock.now))
    path.unlink()
    await records.keep(RULES)
    assert not path.exists()
    clock.now += DAY_SECONDS
    await records.keep(RULES)
    assert path.exists()
    assert KEPT_SECONDS > 2 * DAY_SECONDS


async def test_published_rules_hold_for_who_knows_no_policies(
    store: FilesystemStore, clock: Clock
) -> None:
    records, other = RulesRecords(store, clock), RulesRecords(store, clock)
    assert await other.published() == NO_RULES
    await records.publish(RULES)
    assert await other.published() == RULES
    assert await other.published() is await other.published()
    await records.publish(NO_RULES)
    assert await other.published() == NO_RULES
