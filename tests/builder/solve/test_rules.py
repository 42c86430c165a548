"""Solves by the rules of policies."""

import asyncio
import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import PolicyRefused, Unsatisfiable
from builder.lock import Lock
from builder.rules.model import (
    Advisory,
    AdvisoryRule,
    Affected,
    AffectedRange,
    AgeRule,
    Author,
    ChannelRule,
    DeniedRule,
    Exemption,
    LicenceRule,
    Rules,
)
from builder.solve import Solution
from builder.solve.explain import MAX_LENGTH
from builder.spec import Channel, EnvironmentSpec
from tests.builder.fake_channel import PUBLISHED_MS, FakeChannels, fake_channels, package
from tests.builder.solve.test_solve import TTL_SECONDS, Clock, names, run, solver, spec

COMPANY = Author("company", contact="it@example.org")
DAY_MS = 86_400_000
YOUNG_MS = PUBLISHED_MS + 30 * DAY_MS
OLD_ENOUGH = AgeRule(COMPANY, "7 days", PUBLISHED_MS + DAY_MS)
NO_GPL = LicenceRule(COMPANY, denied=("GPL-3.0-*",))


@pytest.fixture
def channels() -> Iterator[FakeChannels]:
    with fake_channels() as served:
        yield served


@pytest.fixture
def main(channels: FakeChannels) -> Channel:
    return channels["main"].add(
        package("openssl", "3.0.7"),
        package("openssl", "3.0.8"),
        package("openssl", "3.1.0"),
        package("tool", "1.0", "openssl >=3.0.7,<3.0.8"),
        package("tool", "1.1", "openssl >=3.1", timestamp_ms=YOUNG_MS),
        package("reader", "1.0", license="MIT"),
        package("reader", "2.0", license="GPL-3.0-or-later"),
        package("editor", "1.0", "lines", license="MIT"),
        package("lines", "1.0", license="GPL-3.0-only"),
        package("either", "1.0", license="GPL-3.0-only OR MIT"),
    )


def solve(directory: Path, wanted: EnvironmentSpec, rules: Rules) -> Solution:
    made = solver(directory)
    return run(made, lambda: made.solve(wanted, rules))


def left_out(solution: Solution) -> list[str]:
    return [one.left_out for one in solution.refused["linux-64"]]


def denied(*specs: str) -> Rules:
    return Rules(denied=tuple(DeniedRule(COMPANY, text) for text in specs))


def test_another_version_is_found_for_one_that_is_denied(tmp_path: Path, main: Channel) -> None:
    solution = solve(tmp_path, spec("openssl", main), denied("openssl >=3.1"))
    assert names(solution) == ["openssl-3.0.8"]
    assert left_out(solution) == [
        "openssl 3.1.0 is left out by policy 'company': 'openssl >=3.1' is denied"
    ]


def test_what_is_older_than_what_was_found_is_not_said_to_be_left_out(
    tmp_path: Path, main: Channel
) -> None:
    solution = solve(tmp_path, spec("openssl", main), denied("openssl <3.0.8"))
    assert names(solution) == ["openssl-3.1.0"]
    assert left_out(solution) == []


def test_a_package_is_left_out_for_what_it_needs(tmp_path: Path, main: Channel) -> None:
    solution = solve(tmp_path, spec("tool", main), denied("openssl >=3.0.8"))
    assert names(solution) == ["openssl-3.0.7", "tool-1.0"]


def test_what_is_too_young_gives_way_to_what_is_older(tmp_path: Path, main: Channel) -> None:
    solution = solve(tmp_path, spec("tool", main), Rules(age=(OLD_ENOUGH,)))
    assert names(solution) == ["openssl-3.0.7", "tool-1.0"]
    assert left_out(solution) == [
        "tool 1.1 is left out by policy 'company': it is younger than 7 days"
    ]


def test_a_package_may_be_exactly_as_old_as_is_demanded(
    tmp_path: Path, channels: FakeChannels
) -> None:
    at_ms = 1_700_000_000_123
    main = channels["main"].add(
        package("lib", "1.0", timestamp_ms=at_ms), package("lib", "1.1", timestamp_ms=at_ms + 1)
    )
    rules = Rules(age=(AgeRule(COMPANY, "7 days", at_ms),))
    assert names(solve(tmp_path, spec("lib", main), rules)) == ["lib-1.0"]


def test_exempt_packages_may_be_younger_and_are_locked_with_their_own_dates(
    tmp_path: Path, channels: FakeChannels
) -> None:
    main = channels["main"].add(
        package("tool", "1.0", "certs"),
        package("tool", "1.1", "certs", timestamp_ms=YOUNG_MS),
        package("certs", "1", timestamp_ms=PUBLISHED_MS),
        package("certs", "2", timestamp_ms=YOUNG_MS),
        package("certs", "3", timestamp_ms=None),
        package("certs", "4", timestamp_ms=YOUNG_MS, license="GPL-3.0-only"),
    )
    exempt = AgeRule(COMPANY, "7 days", OLD_ENOUGH.published_until_ms, ("certs >=2",))
    wanted = spec("tool; certs", main)
    rules = Rules(age=(exempt,), licences=(NO_GPL,))
    solution = solve(tmp_path, wanted, rules)
    assert names(solution) == ["certs-3", "tool-1.0"]
    assert solution["linux-64"][0].timestamp_ms is None
    at_most = solve(tmp_path, spec("tool; certs <3", main), rules)
    assert [(r.version, r.timestamp_ms) for r in at_most["linux-64"]] == [
        ("2", YOUNG_MS),
        ("1.0", PUBLISHED_MS),
    ]
    assert at_most["linux-64"][0].channel_url == main.url
    assert at_most["linux-64"][0].channel == ""
    Lock(dict(at_most), (main,), ())


def test_a_waiver_lets_one_version_pass(tmp_path: Path, main: Channel) -> None:
    for exemption, found in (
        (Exemption(1, "tool ==1.1"), "tool-1.1"),
        (Exemption(1, "tool ==1.1", policy="company"), "tool-1.1"),
        (Exemption(1, "tool ==1.1", policy="other"), "tool-1.0"),
        (Exemption(1, "tool ==1.2"), "tool-1.0"),
        (Exemption(1, "tool ==1.1", "pypi"), "tool-1.0"),
    ):
        rules = Rules(age=(OLD_ENOUGH,), exemptions=(exemption,))
        assert names(solve(tmp_path, spec("tool", main), rules))[-1] == found


def test_one_build_of_a_version_may_be_refused_and_another_taken(
    tmp_path: Path, channels: FakeChannels
) -> None:
    main = channels["main"].add(
        package("lib", "1.0", build="a_0", license="MIT"),
        package("lib", "2.0", build="a_1", build_number=1, license="GPL-3.0-only"),
        package("lib", "2.0", build="a_0", license="MIT"),
        package("lib", "1.5", build="a_1", build_number=1, license="MIT"),
        package("user", "1.0", "lib >=2"),
    )
    rules = Rules(licences=(NO_GPL,))
    lib, _ = solve(tmp_path, spec("user", main), rules)["linux-64"]
    assert (lib.version, lib.build, lib.url) == (
        "2.0",
        "a_0",
        f"{main.url}/linux-64/lib-2.0-a_0.conda",
    )
    pinned = solve(tmp_path, spec("main::lib", main), rules)["linux-64"][0]
    assert (pinned.version, pinned.build, pinned.channel) == ("2.0", "a_0", "")


def test_a_licence_is_avoided_where_a_version_or_a_choice_allows_it(
    tmp_path: Path, main: Channel
) -> None:
    solution = solve(tmp_path, spec("reader; either", main), Rules(licences=(NO_GPL,)))
    assert names(solution) == ["either-1.0", "reader-1.0"]
    assert left_out(solution) == [
        "reader 2.0 is left out by policy 'company': its licence GPL-3.0-or-later is not allowed"
    ]


def test_what_policies_rule_out_is_named_with_rule_policy_and_contact(
    tmp_path: Path, main: Channel
) -> None:
    with pytest.raises(PolicyRefused) as caught:
        solve(tmp_path, spec("editor", main), Rules(licences=(NO_GPL,)))
    assert caught.value.message == (
        "lines 1.0 is not allowed by policy 'company': its licence GPL-3.0-only is not allowed,"
        " and nothing else fits; ask it@example.org"
    )
    refusal = caught.value.refusal
    assert refusal is not None
    assert (refusal.policy, refusal.kind, refusal.packages) == (
        "company",
        "licences",
        ("lines ==1.0",),
    )


def test_an_exception_from_a_licence_is_not_asked_for_a_version_that_is_too_young_besides(
    channels: FakeChannels, tmp_path: Path
) -> None:
    main = channels["main"].add(
        package("viewer", "1.0", license="GPL-3.0-only"),
        package("viewer", "2.0", license="GPL-3.0-only", timestamp_ms=YOUNG_MS),
    )
    rules = Rules(licences=(NO_GPL,), age=(OLD_ENOUGH,))
    with pytest.raises(PolicyRefused) as caught:
        solve(tmp_path, spec("viewer", main), rules)
    refusal = caught.value.refusal
    assert refusal is not None
    assert (refusal.kind, refusal.packages) == ("licences", ("viewer ==1.0",))
    # What asks for the young one has no other way.
    with pytest.raises(PolicyRefused) as caught:
        solve(tmp_path, spec("viewer 2.0", main), rules)
    refusal = caught.value.refusal
    assert refusal is not None
    assert refusal.packages == ("viewer ==2.0",)


def test_of_many_young_packages_the_one_in_the_way_is_named(
    tmp_path: Path, channels: FakeChannels
) -> None:
    main = channels["main"]
    for number in range(12):
        main.add(package(f"a{number}"), package(f"a{number}", "1.1", timestamp_ms=YOUNG_MS))
    channel = main.add(
        package("top", "1.0", "new >=2", *(f"a{number}" for number in range(12))),
        package("new", "1.0"),
        package("new", "2.0", timestamp_ms=YOUNG_MS),
    )
    with pytest.raises(PolicyRefused) as caught:
        solve(tmp_path, spec("top", channel), Rules(age=(OLD_ENOUGH,)))
    assert caught.value.message.startswith("new 2.0 is not allowed by policy 'company': it is")
    assert len(caught.value.message) <= MAX_LENGTH


def test_a_sentence_is_never_longer_than_a_terminal_shows(
    tmp_path: Path, channels: FakeChannels
) -> None:
    author = Author("p" * 100, contact="https://it.example.org/" + "x" * 150)
    channel = channels["main"].add(package("lib"))
    rules = Rules(denied=(DeniedRule(author, "lib", reason="because " * 60),))
    with pytest.raises(PolicyRefused) as caught:
        solve(tmp_path, spec("lib", channel), rules)
    assert len(caught.value.message) <= MAX_LENGTH
    assert caught.value.message.endswith(author.contact)


def test_what_fits_without_policies_no_better_is_explained_as_ever(
    tmp_path: Path, main: Channel
) -> None:
    sentences = []
    for rules in (Rules(), Rules(age=(OLD_ENOUGH,), denied=denied("openssl >=3.1").denied)):
        with pytest.raises(Unsatisfiable) as caught:
            solve(tmp_path, spec("openssl >=4", main), rules)
        sentences.append(caught.value.message)
    assert sentences[0] == sentences[1]


def test_a_channel_whose_packages_are_refused_still_comes_first(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    other = channels["other"].add(package("lines", "9.0", license="MIT"), package("openssl", "9"))
    with pytest.raises(PolicyRefused, match=r"lines 1\.0 is not allowed"):
        solve(tmp_path, spec("editor", main, other), Rules(licences=(NO_GPL,)))
    with pytest.raises(PolicyRefused, match=r"openssl 3\.1\.0 is not allowed"):
        solve(tmp_path, spec("openssl", main, other), denied("openssl >=3,<4"))


def test_a_rule_about_one_channel_leaves_the_same_name_of_another_alone(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    other = channels["other"].add(package("openssl", "2.0"))
    solution = solve(tmp_path, spec("other::openssl", main, other), denied("main::openssl"))
    assert names(solution) == ["openssl-2.0"]
    with pytest.raises(PolicyRefused):
        solve(tmp_path, spec("main::openssl", main, other), denied("main::openssl"))


def test_packages_of_a_channel_that_a_waiver_opens_are_refused_but_for_its_own(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    other = channels["other"].add(package("extra", "1.0"), package("extra", "2.0"))
    rules = Rules(
        channels=(ChannelRule(COMPANY, ("main",)),),
        exemptions=(Exemption(1, "other::extra ==1.0"),),
    )
    assert names(solve(tmp_path, spec("extra", main, other), rules)) == ["extra-1.0"]


def test_an_advisory_is_avoided_also_if_it_names_the_project_of_pypi(
    tmp_path: Path, channels: FakeChannels
) -> None:
    main = channels["main"].add(
        package("python", "3.12.1"),
        package("requests", "2.31.0", "python", subdir="noarch", noarch="python"),
        package("requests", "2.32.3", "python", subdir="noarch", noarch="python"),
        package("requests", "2.33.0", "python", subdir="noarch", noarch="python"),
    )
    hit = Affected("pypi", "requests", (AffectedRange("2.32.3"),))
    advisory = Advisory("GHSA-9wx4-h78v-vm56", (hit,), severity="high")
    rules = Rules(advisories=(AdvisoryRule(COMPANY, (advisory,)),))
    solution = solve(tmp_path, spec("requests", main), rules)
    assert names(solution)[-1] == "requests-2.31.0"
    assert left_out(solution) == [
        "requests 2.33.0 is left out by policy 'company': GHSA-9wx4-h78v-vm56 (high) affects it"
    ]


def test_rules_that_only_warn_leave_nothing_out(tmp_path: Path, main: Channel) -> None:
    warns = Author("company", "warn")
    rules = Rules(
        denied=(DeniedRule(warns, "openssl"),),
        age=(AgeRule(warns, "7 days", 0),),
        licences=(LicenceRule(warns, denied=("*",)),),
    )
    assert names(solve(tmp_path, spec("tool; reader", main), rules)) == [
        "openssl-3.1.0",
        "reader-2.0",
        "tool-1.1",
    ]


def test_a_date_and_an_age_are_both_kept(tmp_path: Path, channels: FakeChannels) -> None:
    at = [PUBLISHED_MS + day * DAY_MS for day in range(5)]
    main = channels["main"].add(
        *(package("lib", f"1.{day}", timestamp_ms=at[day]) for day in range(5)),
        *(package("free", f"1.{day}", timestamp_ms=at[day]) for day in range(5)),
    )
    until = datetime.datetime.fromtimestamp(at[3] / 1000, datetime.UTC).date()
    rules = Rules(age=(AgeRule(COMPANY, "7 days", at[1], ("free",)),))
    solution = solve(tmp_path, spec("lib; free", main, until=until), rules)
    assert names(solution) == ["free-1.3", "lib-1.1"]


def test_what_is_published_later_is_judged_too(tmp_path: Path, channels: FakeChannels) -> None:
    main = channels["main"].add(package("lib", "1.0"))
    clock = Clock()
    made = solver(tmp_path, clock)

    async def scenario() -> list[str]:
        found = [*names(await made.solve(spec("lib", main), denied("lib ==2.0")))]
        channels["main"].add(package("lib", "2.0"), package("lib", "1.5"))
        clock.seconds += TTL_SECONDS + 1
        return found + names(await made.solve(spec("lib", main), denied("lib ==2.0")))

    assert run(made, scenario) == ["lib-1.0", "lib-1.5"]


def test_what_is_on_disk_is_judged_when_a_channel_is_down(
    tmp_path: Path, channels: FakeChannels, main: Channel
) -> None:
    clock = Clock()
    made = solver(tmp_path, clock)

    async def scenario() -> list[str]:
        await made.solve(spec("openssl", main))
        channels["main"].status = 503
        clock.seconds += TTL_SECONDS + 1
        return names(await made.solve(spec("openssl", main), denied("openssl >=3.1")))

    assert run(made, scenario) == ["openssl-3.0.8"]


def test_credentials_of_a_channel_change_nothing(tmp_path: Path, main: Channel) -> None:
    secret = Channel("main", main.url.replace("http://", "http://user:secret@"))
    rules = Rules(licences=(NO_GPL,), age=(OLD_ENOUGH,))
    solution = solve(tmp_path, spec("reader", secret), rules)
    assert names(solution) == ["reader-1.0"]
    assert solution["linux-64"][0].url.startswith(main.url)


def test_many_solves_by_different_rules_at_once_do_not_disturb_each_other(
    tmp_path: Path, main: Channel
) -> None:
    made = solver(tmp_path)
    every = [denied(), denied("openssl >=3.1"), denied("openssl >=3.0.8"), denied("openssl <3.1")]

    async def scenario() -> list[list[str]]:
        wanted = spec("openssl", main)
        found = await asyncio.gather(*(made.solve(wanted, rules) for rules in every * 5))
        return [names(one) for one in found]

    assert (
        run(made, scenario)
        == [
            ["openssl-3.1.0"],
            ["openssl-3.0.8"],
            ["openssl-3.0.7"],
            ["openssl-3.1.0"],
        ]
        * 5
    )


def test_the_same_rules_and_index_give_the_same_lock_whatever_the_hash_seed(
    tmp_path: Path, main: Channel
) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from builder.lock import Lock
from builder.rules.model import *
from builder.solve import Solver
from builder.spec import Channel
from tests.builder.solve.test_rules import NO_GPL, OLD_ENOUGH, denied
from tests.builder.solve.test_solve import spec

async def main():
    channel = Channel("main", {main.url!r})
    solver = Solver(Path({str(tmp_path)!r}))
    rules = Rules(licences=(NO_GPL,), age=(OLD_ENOUGH,), denied=denied("openssl >=3.1").denied)
    found = await solver.solve(spec("tool; reader; either", channel), rules)
    print(Lock(dict(found), (channel,), ()).key, [v.left_out for v in found.refused["linux-64"]])
    await solver.close()

asyncio.run(main())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": each},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for each in ("0", "7", "4242")
    ]
    assert set(said) == {said[0]}
    assert said[0]
