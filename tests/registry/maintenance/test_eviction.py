import random

from hypothesis import given
from hypothesis import strategies as st

from registry.images.usage import NOTE_SECONDS
from registry.maintenance.eviction import (
    DAY_SECONDS,
    GRACE_SECONDS,
    Budget,
    CacheItem,
    EvictionPlan,
    Kind,
    plan_eviction,
)

NOW = 1_800_000_000.0
HOUR = 3600


def item(
    name: str,
    size_bytes: int = 100,
    hours_ago: float = 100,
    *,
    kind: Kind = "layer",
    written_hours_ago: float = 1000,
) -> CacheItem:
    modified, used = NOW - written_hours_ago * HOUR, NOW - hours_ago * HOUR
    return CacheItem(kind, name, size_bytes, modified, used)


def keys(plan: EvictionPlan) -> list[str]:
    return [one.key for one in plan.items]


def test_without_a_budget_nothing_goes() -> None:
    assert not Budget()
    assert not Budget.of(None, None)
    assert keys(plan_eviction([item("a"), item("b")], Budget(), NOW)) == []


def test_what_fits_stays() -> None:
    plan = plan_eviction([item("a"), item("b")], Budget(size_bytes=200), NOW)
    assert keys(plan) == []
    assert plan.over_bytes == 0


def test_what_was_used_longest_ago_goes_first_until_the_rest_fits() -> None:
    cache = [item("new", hours_ago=10), item("oldest", hours_ago=30), item("old", hours_ago=20)]
    assert keys(plan_eviction(cache, Budget(size_bytes=250), NOW)) == ["oldest"]
    assert keys(plan_eviction(cache, Budget(size_bytes=199), NOW)) == ["oldest", "old"]
    assert keys(plan_eviction(cache, Budget(size_bytes=0), NOW)) == ["oldest", "old", "new"]


def test_a_budget_of_nothing_is_a_budget() -> None:
    assert Budget(size_bytes=0)
    assert Budget(age_seconds=0)


def test_what_is_older_than_the_age_goes_however_small_the_cache() -> None:
    cache = [item("old", hours_ago=73), item("new", hours_ago=71)]
    assert keys(plan_eviction(cache, Budget.of(None, 3), NOW)) == ["old"]


def test_age_and_size_together_take_what_either_takes() -> None:
    cache = [item("a", hours_ago=100), item("b", hours_ago=50), item("c", hours_ago=40)]
    budget = Budget(size_bytes=100, age_seconds=3 * DAY_SECONDS)
    assert keys(plan_eviction(cache, budget, NOW)) == ["a", "b"]


def test_of_the_same_age_archives_go_before_layers() -> None:
    cache = [item("blobs/a"), item("packages/b", kind="package"), item("blobs/c")]
    plan = plan_eviction(cache, Budget(size_bytes=0), NOW)
    assert keys(plan) == ["packages/b", "blobs/a", "blobs/c"]


def test_what_was_used_or_written_in_the_last_hour_stays_and_it_is_said_what_is_too_much() -> None:
    cache = [
        item("used", hours_ago=0.9),
        item("written", hours_ago=100, written_hours_ago=0.9),
        item("other"),
    ]
    plan = plan_eviction(cache, Budget(size_bytes=0, age_seconds=0), NOW)
    assert keys(plan) == ["other"]
    assert plan.over_bytes == 200


def test_the_grace_covers_an_hour_although_notes_may_be_an_hour_late() -> None:
    noted = item("a", hours_ago=(NOTE_SECONDS + HOUR - 1) / HOUR)
    assert keys(plan_eviction([noted], Budget(size_bytes=0), NOW)) == []
    assert GRACE_SECONDS == NOTE_SECONDS + HOUR


def test_a_clock_that_was_put_back_evicts_nothing_that_is_new() -> None:
    assert keys(plan_eviction([item("a", hours_ago=-5)], Budget(size_bytes=0), NOW)) == []


def test_the_plan_says_how_much_there_is_and_how_much_goes() -> None:
    cache = [item("a", 10, 9), item("b", 20, 8), item("c", 40, 7, kind="package")]
    plan = plan_eviction(cache, Budget(size_bytes=60), NOW)
    assert (plan.cache["layer"].number, plan.cache["layer"].size_bytes) == (2, 30)
    assert (plan.cache["package"].number, plan.cache["package"].size_bytes) == (1, 40)
    assert (plan.going["layer"].number, plan.going["layer"].size_bytes) == (1, 10)
    assert (plan.going["package"].number, plan.going["package"].size_bytes) == (0, 0)


ITEMS = st.lists(
    st.builds(
        CacheItem,
        st.sampled_from(["layer", "package"]),
        st.text("abcdef", min_size=1, max_size=6),
        st.integers(0, 1000),
        st.floats(0, NOW + HOUR),
        st.floats(0, NOW + HOUR),
    ),
    unique_by=lambda one: one.key,
    max_size=30,
)


@given(ITEMS, st.integers(0, 20_000), st.randoms(use_true_random=False))
def test_a_plan_is_a_function_of_the_cache_and_takes_no_more_than_it_must(
    items: list[CacheItem], size_bytes: int, chance: random.Random
) -> None:
    budget = Budget(size_bytes=size_bytes)
    plan = plan_eviction(items, budget, NOW)
    shuffled = list(items)
    chance.shuffle(shuffled)
    assert plan_eviction(shuffled, budget, NOW) == plan
    left = sum(one.size_bytes for one in items) - sum(one.size_bytes for one in plan.items)
    assert plan.over_bytes == max(0, left - size_bytes)
    if plan.items:
        # Without its last step the plan would not have been enough.
        assert left + plan.items[-1].size_bytes > size_bytes
    if plan.over_bytes:
        going = set(plan.items)
        recent = NOW - GRACE_SECONDS
        assert all(max(one.used, one.modified) >= recent for one in items if one not in going)
    uses = [one.used for one in plan.items]
    assert uses == sorted(uses)
