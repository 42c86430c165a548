import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.auth.policy import Policy
from registry.auth.rights import (
    ALL_BUILDS,
    ALL_ENVIRONMENTS,
    VERBS,
    Need,
    parse_pattern,
    parse_right,
)
from tests.registry.accounts import policy_of, user


@pytest.mark.parametrize(
    ("pattern", "repository", "expected"),
    [
        ("team/forecast", "team/forecast", True),
        ("team/forecast", "team/forecast2", False),
        ("team/*", "team/forecast", True),
        ("team/*", "team", False),
        ("team/*", "team/a/b", False),
        ("team/**", "team/a/b", True),
        ("team/**", "team2/a", False),
        ("**", "anything/at.all", True),
        ("*", "a", True),
        ("*", "a/b", False),
        ("env/bzip2-*", "env/bzip2-tools", True),
        ("*/x", "a/x", True),
        ("**/x", "a/b/x", True),
        ("a.c", "abc", False),
    ],
)
def test_a_pattern_stands_for_repositories(pattern: str, repository: str, expected: bool) -> None:
    assert parse_pattern(pattern).matches(repository) is expected


@pytest.mark.parametrize("text", ["", "***", "a b", "Team", "a:b", "a?", "a\n", "x" * 256])
def test_a_pattern_that_could_stand_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("team/*", "is no right"),
        ("team/*:", "is no right"),
        ("team/*:read", "the verbs are pull, push"),
        (":pull", "is no pattern"),
        ("team/*:pull,catalog", "is of all repositories"),
        ("team/*:metrics", "is of all repositories"),
    ],
)
def test_a_right_that_means_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_right(text)


def test_all_verbs_are_written_with_a_star() -> None:
    right = parse_right("team/**:*")
    assert all(right.covers(Need(verb, "team/x")) for verb in VERBS)
    assert str(right) == "team/**:*"
    assert not right.covers(Need("catalog", None)), "the catalog names what is not the team's"
    assert parse_right("**:*").covers(Need("catalog", None))


def test_pulling_is_open_and_nothing_else() -> None:
    policy = Policy()
    open_verbs = {verb for verb in VERBS if policy.is_open(Need(verb, "team/x"))}
    assert open_verbs == {"pull", "build", "metrics"}
    assert policy.is_open(Need("build", ALL_BUILDS))
    assert not policy.takes_logins


def test_what_is_private_needs_a_right_to_pull() -> None:
    ada = user("ada", "team/x:pull")
    policy = policy_of(ada, private=("team/**", "env/secret*"))
    assert policy.is_open(Need("pull", "env/numpy"))
    assert policy.is_open(Need("build", ALL_ENVIRONMENTS))
    assert policy.is_open(Need("metrics", None))
    assert not policy.is_open(Need("pull", "env/secret-sauce"))
    assert policy.may(ada, Need("pull", "team/x"))
    assert not policy.may(ada, Need("pull", "team/y"))
    assert not policy.may(None, Need("pull", "team/x"))
    assert not policy_of(private=("**",)).is_open(Need("metrics", None))


@pytest.mark.parametrize("pattern", ["**", "build/**", "build/*", "b**", "*/**"])
def test_where_all_that_is_made_is_private_asking_for_it_needs_a_right(pattern: str) -> None:
    ci, other = user("ci", f"{pattern}:build"), user("other", "build/0*:build", "team/**:*")
    policy = policy_of(ci, other, private=(pattern,))
    need = Need("build", ALL_BUILDS)
    assert not policy.may(None, need)
    assert not policy.may(other, need)
    assert policy.may(ci, need)


@given(st.text("ab/*", min_size=1, max_size=12), st.text("ab/", min_size=1, max_size=12))
def test_a_pattern_matches_what_a_slow_reading_of_it_matches(pattern: str, name: str) -> None:
    if "***" in pattern:
        return
    assert parse_pattern(pattern).matches(name) is _slow(pattern, name)


def _slow(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern.startswith("**"):
        return any(_slow(pattern[2:], name[i:]) for i in range(len(name) + 1))
    if pattern.startswith("*"):
        end = (name + "/").index("/")
        return any(_slow(pattern[1:], name[i:]) for i in range(end + 1))
    return name[:1] == pattern[0] and _slow(pattern[1:], name[1:])
