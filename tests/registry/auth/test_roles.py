from itertools import product

import pytest

from registry.auth.rights import VERBS, parse_pattern, parse_right
from registry.auth.roles import (
    ROLE_VERBS,
    ROLES,
    Role,
    common,
    glob_matches,
    globs_of,
    role_of_rights,
    service_role_of_rights,
)

NAMES = ["team/forecast", "team/x", "team-b/forecast", "te/fore", "a/b", "data/st", "team/st"]


@pytest.mark.parametrize(
    ("rights", "role"),
    [
        (["team/*:pull"], "viewer"),
        (["team/*:pull,push"], "editor"),
        (["team/*:pull", "team/**:push"], "editor"),
        (["team/*:pull,push,delete"], "admin"),
        (["**:*"], "admin"),
        (["team/*:push,delete"], None),
        (["team/fore*:pull"], None),
        (["*/*:pull"], "viewer"),
        (["team:pull", "other/*:*"], None),
        ([], None),
    ],
)
def test_verbs_come_to_a_role_in_a_whole_namespace(rights: list[str], role: Role | None) -> None:
    assert role_of_rights(map(parse_right, rights), "team", None) == role


@pytest.mark.parametrize("role", ROLES)
def test_the_verbs_of_a_role_come_to_that_role(role: Role) -> None:
    right = parse_right("team/*:" + ",".join(ROLE_VERBS[role]))
    expected = "admin" if role == "owner" else role
    assert role_of_rights([right], "team", "forecast") == expected
    assert all(ROLE_VERBS[one] <= ROLE_VERBS[role] for one in ROLES[: ROLES.index(role)])
    assert ROLE_VERBS[role] <= set(VERBS)


@pytest.mark.parametrize(
    ("rights", "role"),
    [
        (["**:*"], "administrator"),
        (["**:pull,catalog"], "auditor"),
        (["**:pull", "**:catalog"], "auditor"),
        (["**:pull"], None),
        (["*/*:*", "**:catalog"], None),
    ],
)
def test_verbs_on_everything_come_to_a_role_in_the_service(
    rights: list[str], role: str | None
) -> None:
    assert service_role_of_rights(map(parse_right, rights)) == role


@pytest.mark.parametrize(
    "text", ["**", "team/*", "team/**", "te**st", "t*/f*", "**/forecast", "a/b", "a/b/c", "a", "*"]
)
def test_the_globs_of_a_pattern_match_what_it_matches(text: str) -> None:
    pattern = parse_pattern(text)
    found = list(globs_of(pattern))
    for name in NAMES:
        parts = name.split("/")
        matched = any(
            glob_matches(one, parts[0]) and glob_matches(two, parts[1]) for one, two in found
        )
        assert matched == pattern.matches(name), name


def test_what_two_globs_have_in_common_is_never_more_than_each() -> None:
    texts = ["*", "a", "ab", "a*", "*b", "*a*", "a*b", "b*", "ab*", "*ab"]
    words = ["", *("".join(word) for size in (1, 2, 3) for word in product("abc", repeat=size))]
    for one, other in product(texts, repeat=2):
        found = common((one, "*"), (other, "*"))
        for word in words:
            in_both = glob_matches(one, word) and glob_matches(other, word)
            if found is not None and glob_matches(found[0], word):
                assert in_both, (one, other, found, word)
        if glob_matches(one, other) or glob_matches(other, one):
            assert found is not None


def test_a_glob_has_no_other_special_characters() -> None:
    assert glob_matches("a.b", "a.b")
    assert not glob_matches("a.b", "axb")
    assert not glob_matches("a", "a\n")
