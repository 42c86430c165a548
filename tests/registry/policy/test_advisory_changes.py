"""What a step from one build to another does to advisories."""

import random
from collections.abc import Collection, Sequence

from builder.rules.affecting import is_affected
from builder.rules.candidate import Candidate
from builder.rules.model import Advisory, Affected, AffectedRange, Manager
from registry.policy.advisory_changes import AdvisoryChange, advisory_changes

LINUX, MAC = "linux-64", "osx-arm64"


def about(
    number: str, name: str, fixed: str = "", manager: Manager = "conda", severity: str = ""
) -> Advisory:
    ranges = (AffectedRange("0", fixed),)
    return Advisory(number, (Affected(manager, name, ranges=ranges),), severity=severity)


def conda(name: str, version: str, project: str = "") -> Candidate:
    return Candidate("conda", name, version, "0", "main", project=project)


def told(changes: Sequence[AdvisoryChange]) -> list[tuple[str, str, str, str]]:
    return [(one.advisory.id, one.name, one.version, one.fixed_in) for one in changes]


def test_what_is_fixed_and_what_is_new_is_told_the_worst_first() -> None:
    known = [
        about("A-1", "openssl", "3.2.1", severity="low"),
        about("A-2", "openssl", "3.2.1", severity="critical"),
        about("A-3", "openssl", "3.3"),
        about("A-4", "zlib"),
        about("A-5", "xz"),
    ]
    old = [conda("openssl", "3.2.0"), conda("zlib", "1.3")]
    new = [conda("openssl", "3.2.1"), conda("zlib", "1.3"), conda("xz", "5.6")]
    found = advisory_changes({LINUX: old}, {LINUX: new}, known)
    assert told(found.fixed) == [
        ("A-2", "openssl", "3.2.0", "3.2.1"),
        ("A-1", "openssl", "3.2.0", "3.2.1"),
    ]
    assert told(found.new) == [("A-5", "xz", "5.6", "")]
    back = advisory_changes({LINUX: new}, {LINUX: old}, known)
    assert told(back.fixed) == told(found.new)
    assert {one.advisory.id for one in back.new} == {"A-1", "A-2"}


def test_a_package_that_goes_takes_its_advisories_along() -> None:
    found = advisory_changes({LINUX: [conda("xz", "5.6")]}, {LINUX: []}, [about("A-1", "xz")])
    assert (told(found.fixed), found.new) == ([("A-1", "xz", "5.6", "")], [])


def test_an_advisory_of_pypi_is_about_the_conda_package_of_the_project() -> None:
    known = [about("PYSEC-1", "torch", "2.1", "pypi")]
    old, new = conda("pytorch", "2.0", "torch"), conda("pytorch", "2.1", "torch")
    found = advisory_changes({LINUX: [old]}, {LINUX: [new]}, known)
    assert told(found.fixed) == [("PYSEC-1", "pytorch", "2.0", "2.1")]
    # From conda to a wheel it is still there, and is another package's.
    wheel = Candidate("pypi", "torch", "2.0", project="torch")
    found = advisory_changes({LINUX: [old]}, {LINUX: [wheel]}, known)
    assert [one.manager for one in (*found.fixed, *found.new)] == ["conda", "pypi"]


def test_platforms_are_told_and_those_that_one_of_the_two_lacks_are_left_out() -> None:
    known = [about("A-1", "xz", "5.8")]
    old, new = [conda("xz", "5.6")], [conda("xz", "5.8")]
    found = advisory_changes({LINUX: old, MAC: old}, {LINUX: new, MAC: new}, known)
    assert [tuple(one.platforms) for one in found.fixed] == [(LINUX, MAC)]
    found = advisory_changes({LINUX: old, MAC: old}, {LINUX: new, MAC: old}, known)
    assert [tuple(one.platforms) for one in found.fixed] == [(LINUX,)]
    found = advisory_changes({LINUX: old}, {LINUX: old, MAC: old}, known)
    assert (found.fixed, found.new) == ([], [])


def test_it_is_what_comparing_all_advisories_of_both_builds_comes_to() -> None:
    chance = random.Random(7)
    names, versions = [f"p{number}" for number in range(8)], [f"1.{minor}" for minor in range(5)]
    for _ in range(200):
        known = [
            about(f"A-{number}", chance.choice(names), chance.choice(["", *versions]))
            for number in range(20)
        ]
        builds = [
            [conda(name, chance.choice(versions)) for name in names if chance.random() < 0.8]
            for _ in range(2)
        ]
        old, new = (_all(build, known) for build in builds)
        found = advisory_changes({LINUX: builds[0]}, {LINUX: builds[1]}, known)
        assert {(one.advisory.id, one.name) for one in found.fixed} == old - new
        assert {(one.advisory.id, one.name) for one in found.new} == new - old


def _all(build: Collection[Candidate], known: Collection[Advisory]) -> set[tuple[str, str]]:
    return {
        (advisory.id, package.name)
        for package in build
        for advisory in known
        for affected in advisory.affected
        if affected.name == package.name and is_affected(affected, package)[0]
    }
