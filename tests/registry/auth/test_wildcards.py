import re
from itertools import product

import pytest

from registry.auth.known_grants import EVERYONE, KnownGrants
from registry.auth.rights import parse_pattern
from registry.auth.roles import glob_matches
from registry.auth.wildcards import count_wildcards, read_glob, read_pattern
from tests.registry.auth.grants import grant

#: Every name of up to five characters, two of which make components.
NAMES = ["".join(name) for size in range(6) for name in product("a/b", repeat=size)]
PATTERNS = [
    "".join(text) for size in range(1, 5) for text in product(("a", "b/", "*", "**"), repeat=size)
]


def test_patterns_match_what_regular_expressions_do() -> None:
    for text in PATTERNS:
        if "***" in text:
            continue
        parts = re.split(r"(\*+)", text)
        translated = ({"*": "[^/]*", "**": ".*"}.get(part, re.escape(part)) for part in parts)
        expected = re.compile("".join(translated))
        found = read_pattern(text)
        for name in NAMES:
            assert found.matches(name) is (expected.fullmatch(name) is not None), (text, name)


def test_globs_match_what_regular_expressions_do() -> None:
    for text in PATTERNS:
        expected = re.compile(".*".join(map(re.escape, text.split("*"))))
        found = read_glob(text)
        for name in NAMES:
            assert found.matches(name) is (expected.fullmatch(name) is not None), (text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("*a" * 48 + "*b", "a" * 100),
        ("**a" * 80 + "**b", "a" * 255),
        ("*a" * 120 + "*b", "a" * 255),
        ("**a*a*a*a*a*b**c", "a" * 254 + "c"),
    ],
)
def test_what_has_many_wildcards_is_matched_at_once(text: str, name: str) -> None:
    assert not parse_pattern(text).matches(name)
    assert not glob_matches(text, name)
    assert not any(read_pattern(f"{text}/*").matches(f"{name}/{name}") for _ in range(1000))


def test_a_grant_with_many_wildcards_is_looked_at_at_once() -> None:
    known = KnownGrants(lambda: 0.0)
    known.put(grant("everyone", "viewer", "ada/" + "*a" * 48 + "*b"))
    assert not list(known.matching(EVERYONE, "ada", "a" * 100))
    assert list(known.matching(EVERYONE, "ada", "a" * 99 + "b"))


def test_wildcards_are_counted_where_texts_are_divided() -> None:
    assert [count_wildcards(text) for text in ("a", "*", "a*b*", "**/*", "te**st")] == [
        0,
        1,
        2,
        2,
        1,
    ]
