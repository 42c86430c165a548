"""Templates are paths in a root, whatever is written in them and whatever a server says."""

import pytest

from registry.errors import RootUnusable
from registry.prefixes.layout import PRESETS, Layout, Template, preset
from registry.prefixes.server import Wanted, WantedVersion
from registry.prefixes.wanted import targets

KEY = "0123456789abcdef" * 2
ONE = WantedVersion("analytics", "forecast", 3, KEY, True, 1_700_000_000.9)


def version(name: str, number: int = 1, key: str = KEY, *, is_active: bool = True) -> WantedVersion:
    namespace, environment = name.split("/")
    return WantedVersion(namespace, environment, number, key, is_active, 0.0)


def test_a_template_is_filled_in() -> None:
    text = "{namespace}/x-{environment}/{key}-{number}.{created}"
    assert Template.parse(text).path(ONE) == f"analytics/x-forecast/{KEY}-3.1700000000"


@pytest.mark.parametrize("name", PRESETS)
def test_paths_of_a_template_are_known_as_its_own(name: str) -> None:
    layout = preset(name)
    for template in filter(None, (layout.builds, layout.link, layout.version_link)):
        assert template.matches(template.path(ONE))
        assert not template.matches(template.path(ONE) + "/x")
        assert not template.matches("x/" + template.path(ONE))


@pytest.mark.parametrize(
    ("builds", "said"),
    [
        ("/builds/{key}", "is no path in a root"),
        ("builds//{key}", "is no path in a root"),
        ("../{key}", "is no path in a root"),
        (".packages/{key}", "is no path in a root"),
        ("builds/{key}/", "is no path in a root"),
        ("", "is no path in a root"),
        ("{key}\0", "is no path in a root"),
        ("builds/{keys}", "'{keys}', which is no field"),
        ("builds/{key", "'{', which is no field"),
        ("builds/key}", "'}', which is no field"),
        ("builds/{}", "'{}', which is no field"),
        ("builds/{key.real}", "which is no field"),
        ("builds/{key!r}", "which is no field"),
        ("builds/{number}", "gives several builds the same path: write {key}"),
    ],
)
def test_a_template_that_is_none_is_refused_in_a_sentence(builds: str, said: str) -> None:
    with pytest.raises(RootUnusable) as caught:
        preset("own").replaced(builds, None, None) if builds else Layout.of("", "x", None)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("link", "version_link", "said"),
    [
        ("envs/{environment}", None, "several links the same path: write {namespace}"),
        ("{namespace}/{environment}-{key}", None, "changes its own path: leave out {key}"),
        ("{namespace}/{environment}@{number}", None, "changes its own path: leave out {number}"),
        (None, "{namespace}/{environment}", "several links the same path: write {number}"),
    ],
)
def test_links_that_would_be_one_are_refused(
    link: str | None, version_link: str | None, said: str
) -> None:
    with pytest.raises(RootUnusable) as caught:
        preset("own").replaced(None, link, version_link)
    assert said in caught.value.message


def test_a_preset_is_changed_in_part() -> None:
    layout = preset("own").replaced(None, None, "")
    assert layout.version_link is None
    assert layout.builds == preset("own").builds
    with pytest.raises(RootUnusable, match="choose one of own, conda-store, nebari"):
        preset("condastore")


def test_the_link_of_an_environment_goes_before_that_of_a_version() -> None:
    layout = preset("own").replaced(None, None, "{namespace}/envs/{environment}-v{number}")
    wanted = Wanted((version("a/b"), version("a/b-v1", 7, "f" * 32)), "")
    found = targets(wanted, layout)
    assert found.links["a/envs/b-v1"].version.environment == "b-v1"
    assert [one.sentence for one in found.problems] == [
        "a/b v1 is left out: 'a/envs/b-v1' is that of a/b-v1 v7 already: choose another template"
    ]


@pytest.mark.parametrize(
    ("link", "names"),
    [
        ("builds/{namespace}/{environment}", [f"{KEY}/b"]),
        ("{namespace}{environment}/x", ["a/bc", "ab/c"]),
        ("x/{namespace}-{environment}", ["a/b-c", "a-b/c"]),
    ],
)
def test_two_things_of_one_path_or_one_in_the_other_are_told(link: str, names: list[str]) -> None:
    wanted = Wanted(tuple(version(name) for name in names), "")
    found = targets(wanted, Layout.of("builds/{key}", link, None))
    assert len(found.problems) == 1
    assert "choose another template" in found.problems[0].sentence


def test_what_is_active_is_made_first_and_each_build_once() -> None:
    wanted = Wanted(
        (
            version("a/b", 1, "1" * 32, is_active=False),
            version("z/z", 9, "9" * 32),
            version("a/b", 2, "2" * 32),
            version("c/c", 5, "2" * 32),
        ),
        "",
    )
    found = targets(wanted, preset("own"))
    assert [path[-1] for path in found.prefixes] == ["2", "9", "1"]
    assert set(found.links) == {
        *("a/envs/b", "a/envs/b@v1", "a/envs/b@v2", "c/envs/c", "c/envs/c@v5"),
        *("z/envs/z", "z/envs/z@v9"),
    }
    assert not found.problems


def test_blocked_builds_are_not_wanted() -> None:
    wanted = Wanted((ONE, version("a/b", 1, "f" * 32)), "", frozenset({KEY}))
    assert set(targets(wanted, preset("own")).prefixes) == {"builds/" + "f" * 32}
