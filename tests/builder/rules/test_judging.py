import pytest

from builder.lock import Lock, WheelFacts
from builder.oci.digest import parse_digest
from builder.records import BaseReference, PackageRecord, WheelRecord, canonical_json
from builder.rules.candidate import NO_LICENCE, UNDATED, Candidate
from builder.rules.judging import Judge, judge_lock
from builder.rules.model import (
    Advisory,
    AdvisoryRule,
    Affected,
    AffectedRange,
    AgeRule,
    Author,
    BaseRule,
    ChannelRule,
    DeniedRule,
    Exemption,
    LicenceRule,
    LimitRule,
    PlatformRule,
    PypiRule,
    RequiredRule,
    Rules,
)
from builder.spec import Channel

COMPANY = Author("company", contact="it@example.org")
WARNING = Author("advice", "warn")
SHA256, MD5 = "0" * 64, "0" * 32
MAIN = Channel("main", "https://conda.example/main")


def package(name: str, version: str = "1.0", **more: object) -> Candidate:
    fields = {"build": "h0_0", "channel": "main", "licence": "MIT", "published_ms": 1000}
    return Candidate("conda", name, version, **{**fields, **more})  # type: ignore[arg-type]


def wheel(name: str, version: str = "1.0", **more: object) -> Candidate:
    return Candidate("pypi", name, version, project=name, **more)  # type: ignore[arg-type]


def sentences(rules: Rules, candidate: Candidate) -> list[str]:
    return [found.sentence for found in Judge(rules).violations(candidate)]


@pytest.mark.parametrize(
    ("denied", "candidate", "hit"),
    [
        ("openssl", package("openssl"), True),
        ("openssl", package("openssl-legacy"), False),
        ("openssl <3.0.8", package("openssl", "3.0.7"), True),
        ("openssl <3.0.8", package("openssl", "3.0.8"), False),
        ("openssl <3.0.8", package("openssl", "1.0.2h"), True),
        ("openssl <3.0.8", package("openssl", "not!a!version"), True),
        ("openssl =1.1", package("openssl", "1.1.1w"), True),
        ("openssl >=1,<2|3.0.*", package("openssl", "3.0.9"), True),
        ("blas * *mkl", package("blas", build="1.0_mkl"), True),
        ("blas * *mkl", package("blas", build="openblas"), False),
        ("main::openssl", package("openssl"), True),
        ("other::openssl", package("openssl"), False),
        ("nvidia-*", package("nvidia-cuda"), True),
        ("nvidia-* >=12", package("nvidia-cuda", "11"), False),
        ("*", package("anything"), True),
        ("openssl", wheel("openssl"), False),
    ],
)
def test_a_match_spec_denies_what_it_matches(denied: str, candidate: Candidate, hit: bool) -> None:
    rules = Rules(denied=(DeniedRule(COMPANY, denied, reason="because"),))
    reason = f"'{denied}' is denied (because)"
    expected = f"{candidate.name} {candidate.version} is not allowed by policy 'company': {reason}"
    assert sentences(rules, candidate) == ([expected] if hit else [])


@pytest.mark.parametrize(
    ("denied", "candidate", "hit"),
    [
        ("Ruamel.YAML", wheel("ruamel-yaml"), True),
        ("requests<2.32", wheel("requests", "2.31.0"), True),
        ("requests<2.32", wheel("requests", "2.32.0rc1"), False),
        ("requests<2.32", wheel("requests", "2.32.0"), False),
        ("acme-*", wheel("acme-tools"), True),
        ("requests", package("requests"), False),
    ],
)
def test_a_requirement_denies_wheels(denied: str, candidate: Candidate, hit: bool) -> None:
    rules = Rules(denied=(DeniedRule(COMPANY, denied, "pypi"),))
    assert bool(sentences(rules, candidate)) is hit


def test_an_age_is_exact_and_what_has_no_date_is_too_young() -> None:
    rules = Rules(age=(AgeRule(COMPANY, "7 days", 1000, ("certs >=2", "ruamel.yaml")),))
    young = "is not allowed by policy 'company': it is younger than 7 days"
    assert sentences(rules, package("lib", published_ms=1000)) == []
    assert sentences(rules, package("lib", published_ms=1001)) == [f"lib 1.0 {young}"]
    assert sentences(rules, package("lib", published_ms=None)) == [
        "lib 1.0 is not allowed by policy 'company': nobody says whether it is older than 7 days"
    ]
    assert sentences(rules, package("certs", "2", published_ms=2000)) == []
    assert sentences(rules, package("certs", "1", published_ms=2000)) == [f"certs 1 {young}"]
    assert sentences(rules, wheel("ruamel-yaml", published_ms=2000)) == []
    assert sentences(rules, wheel("lib", published_ms=2000)) == [f"lib 1.0 {young}"]


def test_a_wheel_of_which_nobody_has_asked_is_not_held_against_what_an_index_says() -> None:
    strict = LicenceRule(COMPANY, allowed=("MIT",), allows_unknown=False)
    rules = Rules(age=(AgeRule(COMPANY, "7 days", 1000),), licences=(strict,))
    assert sentences(rules, wheel("lib")) == []
    assert len(sentences(rules, wheel("lib", published_ms=UNDATED))) == 1
    assert len(sentences(rules, wheel("lib", licence=NO_LICENCE))) == 1
    assert len(sentences(rules, package("lib", licence=""))) == 1


def test_an_unknown_licence_is_a_class_of_its_own() -> None:
    lenient = Rules(licences=(LicenceRule(COMPANY, allowed=("MIT",)),))
    strict = Rules(licences=(LicenceRule(COMPANY, allowed=("MIT",), allows_unknown=False),))
    odd = package("lib", licence="see  the\nweb")
    assert sentences(lenient, odd) == []
    assert sentences(strict, odd) == [
        (
            "lib 1.0 is not allowed by policy 'company': its licence 'see the web' is none that is"
            " known"
        )
    ]


@pytest.mark.parametrize(
    ("affected", "candidate", "fixed"),
    [
        (Affected("pypi", "lib", (AffectedRange("0", "2.0"),)), wheel("lib", "1.9"), "2.0"),
        (Affected("pypi", "lib", (AffectedRange("0", "2.0"),)), wheel("lib", "2.0rc1"), "2.0"),
        (Affected("pypi", "lib", (AffectedRange("0", "2.0"),)), wheel("lib", "2.0"), None),
        (Affected("pypi", "lib", (AffectedRange("1.0", last="1.5"),)), wheel("lib", "1.5"), ""),
        (Affected("pypi", "lib", (AffectedRange("1.0", last="1.5"),)), wheel("lib", "1.5.1"), None),
        (Affected("pypi", "lib", (AffectedRange("1.0", last="1.5"),)), wheel("lib", "0.9"), None),
        (Affected("pypi", "lib", versions=("1.0.0",)), wheel("lib", "1.0"), ""),
        (Affected("pypi", "lib", versions=("1.0.0",)), wheel("lib", "1.1"), None),
        (
            Affected("pypi", "lib", (AffectedRange("0", "1.1"), AffectedRange("2", "2.2"))),
            wheel("lib", "2.1"),
            "2.2",
        ),
        (Affected("pypi", "lib"), wheel("lib", "7"), ""),
        (
            Affected("pypi", "torch", (AffectedRange("0", "2.6"),)),
            package("pytorch", "2.5", project="torch"),
            "2.6",
        ),
        (Affected("pypi", "lib", (AffectedRange("0", "2"),)), package("lib", "1"), None),
        (
            Affected("conda", "openssl", (AffectedRange("0", "1.1.1g"),)),
            package("openssl", "1.1.1f"),
            "1.1.1g",
        ),
        (
            Affected("conda", "openssl", (AffectedRange("0", "1.1.1g"),)),
            package("openssl", "1.1.1w"),
            None,
        ),
        (Affected("pypi", "lib", (AffectedRange("0", "2"),)), wheel("lib", "not a version"), "2"),
    ],
)
def test_an_advisory_is_about_versions_in_its_ranges(
    affected: Affected, candidate: Candidate, fixed: str | None
) -> None:
    rule = AdvisoryRule(COMPANY, (Advisory("GHSA-1", (affected,), severity="high"),))
    found = Judge(Rules(advisories=(rule,))).violations(candidate)
    assert [one.fixed_in for one in found] == ([] if fixed is None else [fixed])
    assert {one.advisory for one in found} <= {"GHSA-1"}


def test_all_rules_hold_beside_each_other_in_the_order_of_their_kinds() -> None:
    rules = Rules(
        channels=(ChannelRule(COMPANY, ("other",)),),
        denied=(DeniedRule(WARNING, "lib"), DeniedRule(COMPANY, "lib")),
        age=(AgeRule(COMPANY, "7 days", 0),),
    )
    judge = Judge(rules)
    found = judge.violations(package("lib"))
    assert [(one.kind, one.mode) for one in found] == [
        ("channels", "enforce"),
        ("packages", "warn"),
        ("packages", "enforce"),
        ("age", "enforce"),
    ]
    refusal = judge.refusal(package("lib"))
    assert refusal is not None
    assert refusal.told == (
        "lib 1.0 is not allowed by policy 'company': channel 'main' is none of those that are"
        " allowed: other; ask it@example.org"
    )


def test_a_waiver_is_for_what_it_matches_and_for_its_policy_alone() -> None:
    rules = Rules(
        denied=(DeniedRule(COMPANY, "lib"), DeniedRule(Author("other"), "lib")),
        exemptions=(Exemption(1, "lib ==1.0", policy="company"),),
    )
    assert [v.policy for v in Judge(rules).violations(package("lib"))] == ["other"]
    assert len(Judge(rules).violations(package("lib", "1.1"))) == 2


def test_projects_of_pypi_are_allowed_by_name_or_not_at_all() -> None:
    some = Rules(pypi=(PypiRule(COMPANY, projects=("requests", "acme-*")),))
    assert sentences(some, wheel("acme-tools")) == []
    assert sentences(some, wheel("other")) == [
        "other 1.0 is not allowed by policy 'company': of PyPI only requests, acme-* are allowed"
    ]
    none = Rules(pypi=(PypiRule(COMPANY, is_allowed=False),))
    assert len(sentences(none, wheel("requests"))) == 1
    assert sentences(none, package("requests")) == []


def lock(*, base: str = "docker.io/library/debian") -> Lock:
    licence = canonical_json({"license": "MIT"})
    records = tuple(
        PackageRecord(
            name,
            "1.0",
            "h0_0",
            0,
            "linux-64",
            f"{MAIN.url}/linux-64/{name}-1.0-h0_0.conda",
            SHA256,
            MD5,
            1000,
            ("python",) if name == "requests" else (),
            timestamp_ms=1000,
            listed=licence,
        )
        for name in ("python", "requests")
    )
    made = WheelRecord("six", "1.17.0", "https://files.example/six-1.17.0-py3-none-any.whl", SHA256)
    reference = BaseReference(base, parse_digest(f"sha256:{SHA256}"))
    return Lock({"linux-64": records}, (MAIN,), (), reference, wheels={"linux-64": (made,)})


def test_a_lock_is_judged_as_a_whole() -> None:
    rules = Rules(
        required=(
            RequiredRule(COMPANY, "tzdata", reason="dates"),
            RequiredRule(COMPANY, "pip", "python"),
            RequiredRule(COMPANY, "gcc", "ruby"),
            RequiredRule(COMPANY, "nice", is_default=True),
            RequiredRule(COMPANY, "python >=0.9"),
        ),
        bases=(BaseRule(COMPANY, ("docker.io/library/alpine:*", "none")),),
        platforms=(PlatformRule(COMPANY, ("linux-aarch64",)),),
        limits=(LimitRule(COMPANY, packages=2, size_bytes=1999),),
    )
    found = judge_lock(lock(), rules)
    assert {one.platform for one in found} == {"linux-64"}
    assert [one.reason for one in found] == [
        "it lacks tzdata, which is required (dates)",
        "it lacks pip, which is required beside python",
        "it has 3 packages, and 2 are allowed",
        "its archives have 2000 bytes, and 1999 are allowed",
        (
            f"its base image 'docker.io/library/debian@sha256:{SHA256}' is none of those that are"
            " allowed: docker.io/library/alpine:*, none"
        ),
        "it is for linux-64, and linux-aarch64 alone are allowed",
    ]
    assert judge_lock(lock(base="docker.io/library/alpine"), Rules(bases=rules.bases)) == ()


def test_what_a_lock_says_of_licences_ages_channels_and_wheels_is_judged() -> None:
    rules = Rules(
        channels=(ChannelRule(COMPANY, ("main",)),),
        licences=(LicenceRule(COMPANY, denied=("MIT",)),),
        age=(AgeRule(COMPANY, "7 days", 999),),
        advisories=(AdvisoryRule(COMPANY, (Advisory("GHSA-1", (Affected("pypi", "requests"),)),)),),
    )
    facts = {SHA256: WheelFacts("MIT License", 5)}
    made = lock()
    found = judge_lock(made, rules)
    assert [(one.name, one.kind) for one in found] == [
        ("python", "licences"),
        ("python", "age"),
        ("requests", "licences"),
        ("requests", "age"),
        ("requests", "advisories"),
    ]
    told = Lock(made.platforms, made.channels, (), made.base, wheels=made.wheels, wheel_facts=facts)
    assert told.key == made.key
    assert [(v.name, v.kind) for v in judge_lock(told, rules)][-1] == ("six", "licences")
    elsewhere = judge_lock(made, rules, {"https://other.example": "main"})
    assert elsewhere[0].reason == (
        "channel 'https://conda.example/main' is none of those that are allowed: main"
    )


def test_no_rules_judge_nothing() -> None:
    assert judge_lock(lock(), Rules()) == ()


def test_rules_about_thousands_of_names_cost_the_others_nothing() -> None:
    rules = Rules(
        denied=tuple(DeniedRule(COMPANY, f"denied{n} <1") for n in range(2000)),
        advisories=(
            AdvisoryRule(
                COMPANY,
                tuple(Advisory(f"A-{n}", (Affected("conda", f"hit{n}"),)) for n in range(5000)),
            ),
        ),
    )
    judge = Judge(rules)
    assert judge.violations(package("free")) == ()
    assert len(judge.violations(package("hit4999"))) == 1
    assert len(judge.violations(package("denied1999", "0.5"))) == 1


def test_exempt_projects_have_dates_of_their_own() -> None:
    rules = Rules(
        age=(
            AgeRule(COMPANY, "7 days", 1000, ("ruamel.yaml", "acme-*", "certifi >=1")),
            AgeRule(COMPANY, "2 days", 3000, ("certifi",)),
            AgeRule(WARNING, "9 days", 10),
        ),
        exemptions=(Exemption(1, "six ==1.17.0", "pypi"), Exemption(2, "numpy")),
    )
    judge = Judge(rules)
    assert judge.published_until_ms == 1000
    assert judge.own_dates(["acme-tools", "other", "numpy"]) == {
        "acme-tools": 3000,
        "certifi": None,
        "ruamel-yaml": 3000,
        "six": None,
    }
    assert Judge(Rules(exemptions=rules.exemptions)).own_dates(["six"]) == {}
