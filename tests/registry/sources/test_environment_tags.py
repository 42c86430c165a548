import datetime

import pytest

from builder.errors import MalformedTag
from registry.errors import ManifestUnknown
from registry.sources.directory import Pointer
from registry.sources.environment_tags import (
    EnvironmentTag,
    build_of,
    parse_environment_tag,
    tags_of,
)
from registry.sources.variants import Variant

TODAY = datetime.date(2026, 11, 5)
ONE, TWO = "1" * 32, "2" * 32


def at(day: int, hour: int = 12) -> float:
    return datetime.datetime(2026, 11, day, hour, tzinfo=datetime.UTC).timestamp()


POINTER = Pointer(
    "analytics",
    "forecast",
    ONE,
    {1: ONE, 2: TWO, 10: TWO},
    ((at(1), ONE), (at(3), TWO), (at(3, 23), ONE)),
    True,
)
NEW = Pointer("analytics", "new", None, {}, (), True)


@pytest.mark.parametrize(
    ("tag", "which", "bare", "user"),
    [
        ("latest", None, False, ""),
        ("v7", 7, False, ""),
        (ONE, ONE, False, ""),
        ("2026-11-05", TODAY, False, ""),
        ("bare", None, True, ""),
        ("latest-bare", None, True, ""),
        ("v7-bare-user1000", 7, True, "1000:1000"),
        ("user1000-v7", 7, False, "1000:1000"),
        ("2026-11-01-bare", datetime.date(2026, 11, 1), True, ""),
        ("bare-2026-11-01", datetime.date(2026, 11, 1), True, ""),
        (f"{ONE}-user0", ONE, False, "0:0"),
    ],
)
def test_a_tag_says_which_version_and_which_variant(
    tag: str, which: object, bare: bool, user: str
) -> None:
    read = parse_environment_tag(tag, today=TODAY)
    assert read == EnvironmentTag(which, Variant(bare=bare, user=user))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        (
            "py3.12",
            "'py3.12' in the tag 'py3.12' would need other packages, and those of a version",
        ),
        ("v7-cuda12.4", "'cuda12.4' in the tag 'v7-cuda12.4' would need other packages"),
        ("x86_64_v3", "would need other packages"),
        ("v7-v8", "'v8' in the tag 'v7-v8' is the second that says which version"),
        ("latest-2026-11-01", "is the second that says which version"),
        ("bare-bare", "'bare' is said twice in the tag 'bare-bare'"),
        ("user1-user2", "'user2' is the second user in the tag"),
        ("user99999999999", "'99999999999' is not the number of a user"),
        ("v0", "'v0' in the tag 'v0' is not understood: a tag of an environment is 'latest'"),
        ("v7.1", "is not understood"),
        ("v7-", "'' in the tag 'v7-' is not understood"),
        ("stable", "is not understood"),
        ("v7-stable", "is not understood"),
        ("v7-py3.12", "would need other packages"),
        ("2026-02-30", "is no day of the calendar"),
        ("2026-11-06", "2026-11-06 in the tag '2026-11-06' has not come yet"),
    ],
)
def test_what_makes_no_sense_for_a_lock_is_told_in_one_sentence(tag: str, told: str) -> None:
    with pytest.raises(MalformedTag) as caught:
        parse_environment_tag(tag, today=TODAY)
    assert told in caught.value.message


def test_a_date_is_what_was_active_when_the_day_was_over() -> None:
    days = {day: build_of(POINTER, datetime.date(2026, 11, day)) for day in (1, 2, 3, 4, 5)}
    assert days == dict.fromkeys(days, ONE)
    before = Pointer(*("a", "b", TWO, POINTER.versions, POINTER.activations[:2], True))
    assert build_of(before, datetime.date(2026, 11, 2)) == ONE
    assert build_of(before, datetime.date(2026, 11, 3)) == TWO
    midnight = Pointer("a", "b", ONE, POINTER.versions, ((at(2, 0), ONE),), True)
    with pytest.raises(ManifestUnknown, match="was active at the end of 2026-11-01"):
        build_of(midnight, datetime.date(2026, 11, 1))
    assert build_of(midnight, datetime.date(2026, 11, 2)) == ONE


def test_what_there_is_none_of_is_told_with_where_to_look() -> None:
    for pointer, which, told in (
        (NEW, None, "no version of 'analytics/new' is active yet: 'pullforge env versions"),
        (POINTER, 3, "'analytics/forecast' has no version 3 that was built"),
        (POINTER, "3" * 32, f"no version of 'analytics/forecast' has the key '{'3' * 32}'"),
        (POINTER, datetime.date(2026, 10, 31), "was active at the end of 2026-10-31"),
    ):
        with pytest.raises(ManifestUnknown, match=told):
            build_of(pointer, which)
    assert build_of(POINTER, None) == ONE
    assert build_of(POINTER, 10) == TWO
    assert build_of(POINTER, TWO) == TWO


def test_tags_are_listed_in_the_order_of_their_characters() -> None:
    listed = [ONE, "2026-11-01", "2026-11-03", TWO, "latest", "v1", "v10", "v2"]
    assert list(tags_of(POINTER)) == sorted(listed)
    assert list(tags_of(NEW)) == []
    for tag in tags_of(POINTER):
        build_of(POINTER, parse_environment_tag(tag, today=TODAY).which)
