"""Which file of a source defines which environment."""

import time

import pytest

from registry.catalog.source_patterns import MAX_PATTERNS, Patterns, Place, parse_patterns
from registry.errors import SourceInvalid


def usual(root_name: str = "team") -> Patterns:
    return parse_patterns(None, has_namespace=True, root_name=root_name)


def places(patterns: Patterns, *paths: str) -> dict[str, str]:
    return {path: str(place) for path, place in patterns.choose(paths).places.items()}


def test_by_themselves_a_folder_or_a_file_gives_its_name_at_any_depth() -> None:
    assert places(
        usual(),
        "forecast/environment.yml",
        "teams/data/report/environment.yaml",
        "apps/web/pixi.lock",
        "old/conda-lock.yml",
        "envs/plot.yml",
        "stats.yaml",
        "environment.yml",
        "README.md",
        "apps/web/pixi.toml",
    ) == {
        "apps/web/pixi.lock": "web",
        "environment.yml": "team",
        "envs/plot.yml": "plot",
        "forecast/environment.yml": "forecast",
        "old/conda-lock.yml": "old",
        "stats.yaml": "stats",
        "teams/data/report/environment.yaml": "report",
    }


def test_in_one_folder_a_lock_counts_before_what_it_was_made_of() -> None:
    files = ["a/environment.yml", "a/conda-lock.yml", "a/pixi.lock"]
    chosen = usual().choose(files)
    assert list(chosen.places) == ["a/pixi.lock"]
    assert not chosen.problems, "what a lock was made of belongs beside it"
    assert places(usual(), *files[:2]) == {"a/conda-lock.yml": "a"}
    assert places(usual(), "pixi.lock", "environment.yml") == {"pixi.lock": "team"}


def test_two_files_for_one_environment_are_the_first_and_a_problem_that_names_it() -> None:
    chosen = usual().choose(["b/forecast.yml", "a/forecast/environment.yml", "a/forecast.yml"])
    assert list(chosen.places) == ["a/forecast.yml"]
    assert chosen.problems == {
        "a/forecast/environment.yml": (
            "'forecast' is defined by a/forecast.yml already: one file defines an environment"
        ),
        "b/forecast.yml": (
            "'forecast' is defined by a/forecast.yml already: one file defines an environment"
        ),
    }
    both = usual().choose(["a/environment.yml", "a/environment.yaml"])
    assert list(both.places) == ["a/environment.yaml"]
    assert list(both.problems) == ["a/environment.yml"]


def test_without_a_namespace_the_folder_above_gives_it() -> None:
    patterns = parse_patterns(None, has_namespace=False, root_name="team")
    assert places(
        patterns,
        "analytics/forecast/environment.yml",
        "deep/er/data/report.yml",
        "environment.yml",
        "alone.yml",
    ) == {
        "analytics/forecast/environment.yml": "analytics/forecast",
        "deep/er/data/report.yml": "data/report",
    }


@pytest.mark.parametrize(
    ("pattern", "path", "environment"),
    [
        ("{environment}/environment.yml", "a/environment.yml", "a"),
        ("{environment}/environment.yml", "x/a/environment.yml", None),
        ("envs/**/{environment}.env.yml", "envs/x/y/a.env.yml", "a"),
        ("envs/**/{environment}.env.yml", "envs/a.env.yml", "a"),
        ("envs/**/{environment}.env.yml", "other/a.env.yml", None),
        ("py-{environment}-*.yml", "py-a-3.12.yml", "a"),
        ("**/binder/environment.yml", "demo/binder/environment.yml", "binder"),
        ("environment.yml", "environment.yml", "team"),
        ("a+b/{environment}.yml", "a+b/c.yml", "c"),
        ("a+b/{environment}.yml", "aab/c.yml", None),
    ],
)
def test_a_pattern_says_which_part_of_a_path_is_the_name(
    pattern: str, path: str, environment: str | None
) -> None:
    match = parse_patterns([pattern], has_namespace=True, root_name="team").match(path)
    assert (match and match.place.environment) == environment


def test_of_several_patterns_the_first_that_matches_counts() -> None:
    patterns = parse_patterns(
        ["{namespace}/{environment}.lock.yml", "{namespace}/{environment}.yml"], has_namespace=False
    )
    match = patterns.match("data/a.lock.yml")
    assert match is not None
    assert match.place == Place("a", "data")
    assert places(patterns, "data/a.yml", "data/a.lock.yml") == {"data/a.lock.yml": "data/a"}


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "no path of 1 to"),
        ("/etc/{environment}.yml", "no path relative"),
        ("../{environment}.yml", "no path relative"),
        ("a//{environment}.yml", "no path relative"),
        (".git/{environment}.yml", "hidden"),
        ("{environment}/**", "the name of a file at its end"),
        ("**/a/**/{environment}.yml", "once"),
        ("{environment}{namespace}.yml", "no text between"),
        ("*a*b*c.yml", "more than 2"),
        ("{name}.yml", "braces around something else"),
        ("{environment}/{environment}.yml", "twice"),
        ("{namespace}/{environment}.yml", "own namespace"),
        ("a\n{environment}.yml", "can be printed"),
        ("x" * 300, "no path of 1 to"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused_with_a_sentence(pattern: str, why: str) -> None:
    with pytest.raises(SourceInvalid, match=why) as caught:
        parse_patterns([pattern], has_namespace=True)
    assert pattern[:200].replace("\n", " ") in caught.value.message


def test_a_source_without_a_namespace_has_to_find_it_in_the_path() -> None:
    with pytest.raises(SourceInvalid, match="which says whose environment"):
        parse_patterns(["{environment}.yml"], has_namespace=False)


@pytest.mark.parametrize("count", [0, MAX_PATTERNS + 1])
def test_the_number_of_patterns_is_bounded(count: int) -> None:
    with pytest.raises(SourceInvalid, match="1 to 50 patterns"):
        parse_patterns(["{environment}.yml"] * count, has_namespace=True)


def test_no_pattern_takes_long_with_any_path() -> None:
    worst = parse_patterns(
        ["**/*a*/a*a*/{environment}a*b.yml"] * MAX_PATTERNS, has_namespace=True, root_name="team"
    )
    path = "/".join(["a" * 30] * 31)
    began = time.process_time()
    assert worst.match(path) is None
    assert time.process_time() - began < 0.2
