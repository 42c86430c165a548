import datetime
import os
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.rules.applying import applied
from builder.rules.candidate import Candidate
from builder.rules.judging import Judge
from builder.rules.model import NO_RULES, Advisory, Rules
from builder.spec import Channel, EnvironmentSpec, Requirement
from registry.policy.advisories import read_advisory, united
from registry.policy.compiling import Compiler, compile_rules
from registry.policy.policy import OWN, Policy, read_policy
from registry.policy.waivers import Waiver
from tests.registry.policy.texts import EVERYTHING, osv, policy

TODAY = datetime.date(2026, 11, 29)
NAMES = ("numpy", "openssl", "evil-a", "jinja2", "r-base")


def advisory(number: str, **fields: Any) -> Advisory:
    found = read_advisory(osv(number, **fields))
    assert found is not None
    return found


ADVISORIES = united(
    [
        advisory("A-1", database_specific={"severity": "HIGH"}),
        advisory("A-2", database_specific={"severity": "LOW"}, aliases=["CVE-2"]),
        advisory("A-3"),
    ]
)


def rules(*policies: Policy, waivers: tuple[Waiver, ...] = (), at: str | None = None) -> Rules:
    return compile_rules(policies, waivers, ADVISORIES, at, None, TODAY)


def test_each_table_becomes_a_rule_with_the_policy_it_is_of() -> None:
    found = rules(policy())
    assert {len(getattr(found, field.name)) for field in fields(Rules)} == {0, 1, 3}
    assert [(rule.spec, rule.manager) for rule in found.denied] == [
        ("openssl <3.0.8", "conda"),
        ("left-pad", "conda"),
        ("evil-thing>=2", "pypi"),
    ]
    assert [(r.spec, r.condition, r.is_default) for r in found.required] == [
        ("tzdata", "", False),
        ("pip", "python", False),
        ("ca-certificates", "", True),
    ]
    authors = {rule.author for field in fields(Rules) for rule in getattr(found, field.name)}
    assert [(one.policy, one.mode, one.contact) for one in authors] == [
        ("company", "enforce", "it@example.org")
    ]


def test_a_policy_that_says_nothing_is_no_rule() -> None:
    assert rules(policy("[licences]\n[pypi]\n[packages]\n[limits]\n")) == NO_RULES
    assert rules().digest == ""


def test_an_age_counts_from_the_start_of_the_day() -> None:
    (rule,) = rules(policy('[age]\nminimum = "36 hours"')).age
    until = datetime.datetime.fromtimestamp(rule.published_until_ms / 1000, datetime.UTC)
    assert until == datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
    assert rule.minimum == "36 hours"


def test_a_channel_is_allowed_in_its_namespaces_alone() -> None:
    named = {at: rules(policy(), at=at).channels[0].allowed for at in ("bioinformatics", "x", None)}
    assert named == {
        "bioinformatics": ("conda-forge", "bioconda"),
        "x": ("conda-forge",),
        None: ("conda-forge",),
    }


@pytest.mark.parametrize(
    ("table", "ids"),
    [
        ("", ["A-1", "A-2", "A-3"]),
        ("unscored = false", ["A-1", "A-2"]),
        ('minimum_severity = "medium"', ["A-1", "A-3"]),
        ('minimum_severity = "high"\nunscored = false', ["A-1"]),
        ('minimum_severity = "critical"', ["A-3"]),
        ('ignore = ["CVE-2", "A-1"]', ["A-3"]),
    ],
)
def test_advisories_count_by_severity_and_unless_they_are_set_aside(
    table: str, ids: list[str]
) -> None:
    (rule,) = rules(policy(f"[advisories]\n{table}")).advisories
    assert [one.id for one in rule.advisories] == ids


def test_policies_hold_where_they_say() -> None:
    here = policy('namespaces = ["team-*"]\n[packages]\ndenied = ["a"]', "teams")
    own = read_policy(OWN, '[packages]\ndenied = ["b"]', namespace="team-x")
    held = {
        at: [r.spec for r in rules(here, own, at=at).denied] for at in ("team-x", "team-y", "z")
    }
    assert held == {"team-x": ["b", "a"], "team-y": ["a"], "z": []}
    assert not rules(here, own)


def test_waivers_hold_in_their_environment_namespace_or_everywhere() -> None:
    waivers = (
        Waiver(3, "a", namespace="team", environment="x"),
        Waiver(2, "b", namespace="team"),
        Waiver(1, "c", "pypi", "company"),
    )

    def given_at(namespace: str | None, environment: str | None) -> list[int]:
        found = compile_rules([policy()], waivers, (), namespace, environment, TODAY)
        return [one.waiver for one in found.exemptions]

    assert given_at("team", "x") == [1, 2, 3]
    assert given_at("team", "y") == [1, 2]
    assert given_at("team", None) == [1, 2]
    assert given_at("other", "x") == [1]
    assert given_at(None, None) == [1]
    # Without a policy nothing is lifted, and builds are the ones that they were before.
    assert compile_rules([], waivers, (), "team", "x", TODAY) == NO_RULES


def test_an_advisory_of_pypi_is_about_the_conda_packages_of_the_project() -> None:
    judge = Judge(rules(policy("[advisories]\nminimum_severity = 'high'\nunscored = false")))
    of_conda = Candidate("conda", "python-jinja", "3.1.3", project="jinja2")
    found = judge.refusal(of_conda)
    assert found is not None
    assert found.fixed_in == "3.1.4"
    assert "A-1" in found.sentence
    assert judge.refusal(replace(of_conda, version="3.1.4")) is None
    assert judge.refusal(replace(of_conda, project="")) is None
    assert judge.refusal(Candidate("pypi", "jinja2", "2.0")) is not None


_specs = st.sampled_from(["numpy <2", "openssl", "evil-*", "jinja2 >=3", "acme::numpy"])
_tables: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(["enforce", "warn"]),
    "namespaces": st.lists(st.sampled_from(["*", "team-*", "other"]), min_size=1, max_size=2),
    "channels": st.sampled_from(
        [
            {"allowed": ["conda-forge"]},
            {"allowed": ["acme", "conda-forge"], "only_in": {"acme": ["team-a"]}},
        ]
    ),
    "packages": st.fixed_dictionaries(
        {}, optional={"denied": st.lists(_specs, max_size=2), "required": st.just(["tzdata"])}
    ),
    "licences": st.sampled_from(
        [{"denied": ["GPL-*"]}, {"allowed": ["MIT"]}, {"unknown": "deny"}, {}]
    ),
    "age": st.sampled_from([{"minimum": "7 days"}, {"minimum": "1 day", "exempt": ["numpy"]}]),
    "advisories": st.sampled_from([{}, {"minimum_severity": "high"}, {"ignore": ["A-1"]}]),
    "platforms": st.just({"allowed": ["linux-64"]}),
    "pypi": st.sampled_from([{"allowed": False}, {"projects": ["jinja2"]}, {}]),
    "limits": st.sampled_from([{"packages": 1}, {"size": "1 kB"}]),
}
_documents = st.fixed_dictionaries({}, optional=_tables)
_candidates = st.builds(
    Candidate,
    st.sampled_from(["conda", "pypi"]),
    st.sampled_from(NAMES),
    st.sampled_from(["1.0", "2.1", "3.1.3"]),
    channel=st.sampled_from(["conda-forge", "acme"]),
    licence=st.sampled_from(["MIT", "GPL-3.0-only", ""]),
    published_ms=st.sampled_from([None, 0, 1_795_910_400_000]),
    project=st.sampled_from(["", "jinja2"]),
    size_bytes=st.sampled_from([0, 900]),
)


def numbered(documents: list[dict[str, Any]]) -> list[Policy]:
    return [
        read_policy(f"p{number}", tomlkit.dumps(document))
        for number, document in enumerate(documents)
    ]


def broken(judge: Judge, packages: list[Candidate]) -> Counter[str]:
    found = judge.environment("linux-aarch64", packages, "docker.io/library/debian:12")
    return Counter(repr(one) for one in found)


@settings(deadline=None)
@given(st.lists(_documents, max_size=3), _documents, st.lists(_candidates, max_size=3))
def test_one_more_policy_only_tightens(
    documents: list[dict[str, Any]], more: dict[str, Any], packages: list[Candidate]
) -> None:
    for at in (None, "team-a"):
        few = rules(*numbered(documents), at=at)
        many = rules(*numbered([*documents, more]), at=at)
        for field in fields(Rules):
            assert Counter(getattr(few, field.name)) <= Counter(getattr(many, field.name))
        before, after = Judge(few), Judge(many)
        for package in packages:
            assert before.refusal(package) is None or after.refusal(package) is not None
        assert broken(before, packages) <= broken(after, packages)


@settings(deadline=None)
@given(_documents, st.lists(_candidates, max_size=3))
def test_one_more_rule_only_tightens(document: dict[str, Any], packages: list[Candidate]) -> None:
    whole = rules(*numbered([document]))
    after = Judge(whole)
    for name in document:
        if name in {"mode", "namespaces"}:
            continue
        less = {other: table for other, table in document.items() if other != name}
        before = Judge(rules(*numbered([less])))
        for package in packages:
            assert before.refusal(package) is None or after.refusal(package) is not None
        assert broken(before, packages) <= broken(after, packages)


def test_a_namespace_turns_round_no_order_of_channels_that_administrators_gave() -> None:
    ours = read_policy("zz-company", '[channels]\nallowed = ["main", "extra"]')
    own = read_policy(OWN, '[channels]\nallowed = ["extra", "main"]', namespace="team")
    found = rules(own, ours, at="team")
    assert [rule.author.policy for rule in found.channels] == ["zz-company", OWN]
    main, extra = Channel("main", "https://a/main"), Channel("extra", "https://a/extra")
    wanted = EnvironmentSpec((Requirement("six"),), (main, extra), ("linux-64",), ())
    assert applied(wanted, found).spec.channels == (main, extra)


@settings(deadline=None)
@given(st.lists(_documents, max_size=4), st.randoms(use_true_random=False))
def test_compiling_is_deterministic_in_whatever_order_policies_come(
    documents: list[dict[str, Any]], chance: Any
) -> None:
    policies = numbered(documents)
    waivers = [Waiver(number, "numpy") for number in range(3)]
    expected = compile_rules(policies, waivers, ADVISORIES, "team-a", "x", TODAY)
    chance.shuffle(policies)
    chance.shuffle(waivers)
    again = compile_rules(policies, waivers, ADVISORIES, "team-a", "x", TODAY)
    assert again == expected
    assert (again.digest, again.identity) == (expected.digest, expected.identity)
    assert Rules.from_json(again.to_json()) == again


def test_other_processes_compile_the_same_digest() -> None:
    program = (
        "import sys; from tests.registry.policy.test_compiling import rules, policy;"
        "sys.stdout.write(rules(policy()).digest)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {rules(policy(EVERYTHING)).digest}


def test_a_moving_age_changes_the_digest_and_not_the_identity() -> None:
    one = compile_rules([policy()], (), (), None, None, TODAY)
    next_day = compile_rules([policy()], (), (), None, None, TODAY + datetime.timedelta(days=1))
    assert one.digest != next_day.digest
    assert one.identity == next_day.identity


def test_what_was_chosen_of_advisories_is_chosen_once_for_all_days_and_namespaces() -> None:
    held = read_policy("company", "[advisories]\nminimum_severity = 'low'\n")
    first = Compiler(ADVISORIES, TODAY)
    (rule,) = first.rules([held], [], None, None).advisories
    tomorrow = first.again(ADVISORIES, TODAY + datetime.timedelta(days=1))
    assert tomorrow.today > TODAY
    (same,) = tomorrow.rules([held, policy()], [], "team", "forecast").advisories[:1]
    assert same is rule, "its digest is computed once"
    (other,) = tomorrow.again(ADVISORIES[:1], TODAY).rules([held], [], None, None).advisories
    assert [one.id for one in other.advisories] == ["A-1"]
