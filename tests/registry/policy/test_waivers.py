"""What a waiver lets pass, and that it is nothing else: held against the rules themselves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.rules.candidate import Candidate
from builder.rules.judging import Judge
from builder.rules.model import Manager, Rules
from registry.policy.book import PolicyBook
from registry.policy.policy import Policy, read_policy
from registry.policy.waivers import Waiver

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
#: Of each kind of rule that is about packages, in two policies of IT and two of namespaces.
RULES = """
[channels]
allowed = ["main"]
[packages]
denied = ["numpy", "pandas >=2", { spec = "numpy", manager = "pypi" }]
[licences]
denied = ["GPL-*"]
[age]
minimum = "7 days"
[pypi]
projects = ["pandas"]
"""
SOME = "namespaces = ['team-*']\n[packages]\ndenied = ['numpy']\n"

PLACES = [(None, None), ("team-a", None), ("team-a", "x"), ("team-a", "y"), ("team-b", "x")]
NAMES = ["numpy", "pandas", "numpy-base", "six"]
VERSIONS = ["1.0", "2.0", "2.0.1", "3.0"]

names, versions = st.sampled_from(NAMES), st.sampled_from(VERSIONS)
managers: st.SearchStrategy[Manager] = st.sampled_from(["conda", "pypi"])


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    """Return a package that may break any of the rules."""
    manager = draw(managers)
    return Candidate(
        manager,
        draw(names),
        draw(versions),
        build="0" if manager == "conda" else "",
        channel=draw(st.sampled_from(["main", "other"])) if manager == "conda" else "",
        licence=draw(st.sampled_from(["MIT", "GPL-3.0-only"])),
        published_ms=draw(st.sampled_from([0, int(NOW.timestamp()) * 1000])),
    )


@st.composite
def waivers(draw: st.DrawFn, number: int = 1) -> Waiver:
    """Return a waiver of exactly one version, or from one version on."""
    manager, name, version = draw(managers), draw(names), draw(versions)
    operator = draw(st.sampled_from(["==", ">="]))
    space = " " if manager == "conda" else ""
    place = draw(st.sampled_from(PLACES))
    ends = draw(st.sampled_from([None, NOW - timedelta(days=1), NOW + timedelta(days=1)]))
    policy = draw(st.sampled_from(["company", "team", "own"]))
    return Waiver(
        number, f"{name}{space}{operator}{version}", manager, policy, *place, expires_at=ends
    )


def policies() -> list[Policy]:
    return [
        read_policy("company", RULES),
        read_policy("team", SOME),
        read_policy("own", RULES, namespace="team-a"),
        read_policy("own", RULES, namespace="team-b"),
    ]


POLICIES = policies()


def rules_with(given_waivers: list[Waiver], place: tuple[str | None, str | None]) -> Rules:
    book = PolicyBook(lambda: NOW)
    book.replace_stored(POLICIES, given_waivers)
    return book.rules(*place)


def broken(rules: Rules, package: Candidate) -> set[tuple[str, str, str]]:
    return {(one.policy, one.kind, one.reason) for one in Judge(rules).violations(package)}


def is_meant(waiver: Waiver, package: Candidate) -> bool:
    """Tell whether a waiver is about a package, by what it says alone."""
    exact = "==" in waiver.spec
    name, _, version = waiver.spec.partition("==" if exact else ">=")
    is_version = package.version == version if exact else package.version >= version
    return (package.manager, package.name) == (waiver.manager, name.strip()) and is_version


@given(st.lists(waivers(), max_size=3), candidates(), st.sampled_from(PLACES))
def test_a_waiver_lets_pass_what_it_says_and_nothing_else(
    given_waivers: list[Waiver], package: Candidate, place: tuple[str | None, str | None]
) -> None:
    numbered = [replace(one, number=number) for number, one in enumerate(given_waivers, 1)]
    before = broken(rules_with([], place), package)
    after = broken(rules_with(numbered, place), package)
    passed = {
        one.policy
        for one in numbered
        if is_meant(one, package)
        and (one.namespace is None or one.namespace == place[0])
        and (one.environment is None or one.environment == place[1])
        and (one.expires_at is None or one.expires_at > NOW)
    }
    assert after == {found for found in before if found[0] not in passed}


@given(st.lists(waivers(), max_size=3), st.sampled_from(PLACES))
def test_a_waiver_changes_no_rule(
    given_waivers: list[Waiver], place: tuple[str | None, str | None]
) -> None:
    numbered = [replace(one, number=number) for number, one in enumerate(given_waivers, 1)]
    before, after = rules_with([], place), rules_with(numbered, place)
    for name in ("channels", "denied", "licences", "age", "bases", "platforms", "pypi", "limits"):
        assert getattr(after, name) == getattr(before, name)


@pytest.mark.parametrize("kind", ["channels", "packages", "licences", "age", "pypi"])
def test_every_rule_about_packages_can_be_waived(kind: str) -> None:
    manager: Manager = "pypi" if kind == "pypi" else "conda"
    odd = {
        "channels": Candidate("conda", "six", "1.0", "0", "other", "MIT", 0),
        "packages": Candidate("conda", "numpy", "1.0", "0", "main", "MIT", 0),
        "licences": Candidate("conda", "six", "1.0", "0", "main", "GPL-3.0-only", 0),
        "age": Candidate("conda", "six", "1.0", "0", "main", "MIT", int(NOW.timestamp()) * 1000),
        "pypi": Candidate("pypi", "six", "1.0", licence="MIT", published_ms=0),
    }[kind]
    found = Judge(rules_with([], (None, None))).refusal(odd)
    assert found is not None
    assert found.kind == kind
    (spec,) = found.refusal.packages
    waiver = Waiver(1, spec, manager, found.policy)
    assert Judge(rules_with([waiver], (None, None))).refusal(odd) is None
