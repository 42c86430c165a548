"""Locks by the rules of policies, of conda's packages and of wheels."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import PolicyRefused, UnknownPackage
from builder.lock import Lock, Told, from_yaml, to_yaml
from builder.ports import Progress
from builder.rules.judging import judge_lock
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
    LimitRule,
    PlatformRule,
    PypiRule,
    RequiredRule,
    Rules,
)
from conformance.channel.index import index_channel
from conformance.channel.server import ChannelServer
from conformance.channel.writer import Entry, Package, write_package
from conformance.pypi import settings as pypi_settings
from conformance.pypi.index import write_index
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import Builder, open_builder
from tests.tiny_wheels import TinyWheel, wheel_bytes

pytestmark = pytest.mark.anyio

TODAY = datetime.date(2026, 11, 1)
COMPANY = Author("company", contact="it@example.org")
WARNING = Author("advice", "warn")
IN_2023, IN_2024, IN_2025 = (f"{year}-01-01T12:00:00Z" for year in (2023, 2024, 2025))
OLD_ENOUGH_MS = int(datetime.datetime(2024, 6, 1, tzinfo=datetime.UTC).timestamp() * 1000)
#: Wheels by name and version: when they were uploaded, their licence, and what they need.
WHEELS = {
    ("lib", "1.0"): (IN_2023, "MIT", ""),
    ("lib", "1.1"): (IN_2024, "MIT", ""),
    ("lib", "2.0"): (IN_2025, "MIT", ""),
    ("app", "1.0"): (IN_2024, "MIT", "lib"),
    ("strict", "1.0"): (IN_2024, "MIT", "lib>=2"),
    ("free", "1.0"): (IN_2024, "Apache-2.0", ""),
    ("free", "2.0"): (IN_2024, "GPL-3.0-only", ""),
    ("silent", "1.0"): (IN_2024, "", ""),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("channel")
    for subdir in ("linux-64", "linux-aarch64"):
        for name, version, *depends in (
            ("python", "3.11.9"),
            ("tzdata", "2025a"),
            ("pip", "25.0", "python"),
            ("audit", "1.0"),
            ("odd", "1.0", "zlib <1"),
            ("zlib", "1.3"),
            ("zlib", "0.9"),
        ):
            entries = [Entry("bin/python")] if name == "python" else [Entry(f"share/{name}")]
            write_package(
                Package(name, version, subdir=subdir, depends=tuple(depends), entries=entries),
                directory,
            )
    index_channel(directory)
    return directory


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChannelServer]:
    wheels, directory = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("index")
    uploads = {}
    for (name, version), (uploaded, licence, needs) in WHEELS.items():
        metadata = f"License-Expression: {licence}\n" if licence else ""
        metadata += f"Requires-Dist: {needs}\n" if needs else ""
        wheel = TinyWheel(name, version, files={f"{name}.py": b""}, metadata=metadata)
        path = wheels / wheel.file_name
        path.write_bytes(wheel_bytes(wheel))
        uploads[path] = uploaded
    write_index(directory, uploads)
    with ChannelServer(directory) as server:
        yield server


@pytest.fixture
async def builder(
    channel: Path, index: ChannelServer, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[Builder]:
    settings = Settings.model_validate(
        {
            "store": str(tmp_path / "store"),
            "channels": {"main": channel.as_uri()},
            "default_channels": ["main"],
            "platforms": ["linux-64", "linux-aarch64"],
            "workers": 1,
            **pypi_settings(index.url),
        }
    )
    async with open_builder(settings, Metrics()) as opened:
        yield opened


class Notes:
    """Keeps the lines of a build's log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if progress.note:
            self.lines.append(progress.note)


async def lock(builder: Builder, name: str, rules: Rules, notes: Notes | None = None) -> Lock:
    spec = await builder.resolver.spec(f"env/{name}", "bare", builder.policy, TODAY)
    return await builder.resolver.lock(spec, notes or Notes(), rules)


async def refusal(builder: Builder, name: str, rules: Rules) -> str:
    with pytest.raises(PolicyRefused) as caught:
        await lock(builder, name, rules)
    return caught.value.message


def conda(made: Lock) -> dict[str, str]:
    return {record.name: record.version for record in made.platforms["linux-64"]}


def pypi(made: Lock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in made.wheels.get("linux-64", ())}


async def test_what_a_policy_adds_is_locked_and_told_with_its_reason(builder: Builder) -> None:
    rules = Rules(
        required=(
            RequiredRule(COMPANY, "tzdata", reason="dates need it"),
            RequiredRule(COMPANY, "pip", "python"),
            RequiredRule(COMPANY, "audit", "pip"),
            RequiredRule(COMPANY, "odd", "ruby"),
            RequiredRule(WARNING, "zlib"),
        )
    )
    notes = Notes()
    made = await lock(builder, "python", rules, notes)
    assert sorted(conda(made)) == ["audit", "pip", "python", "tzdata"]
    assert made.told == Told(
        added=(
            "tzdata is added by policy 'company': dates need it",
            "pip is added beside python by policy 'company'",
            "audit is added beside pip by policy 'company'",
        ),
        warnings=("this environment is against policy 'advice': it lacks zlib, which is required",),
    )
    assert notes.lines == list(made.told.added)
    assert sorted(conda(await lock(builder, "zlib", rules))) == ["tzdata", "zlib"]


async def test_what_is_told_is_no_part_of_a_lock(builder: Builder) -> None:
    rules = Rules(required=(RequiredRule(COMPANY, "tzdata"),))
    told = await lock(builder, "zlib", rules)
    plain = await lock(builder, "zlib.tzdata", Rules())
    assert (told.key, told) == (plain.key, plain)
    assert from_yaml(to_yaml(told)).told == Told()


async def test_what_is_required_and_does_not_fit_is_named_with_its_policy(builder: Builder) -> None:
    needs_odd = Rules(required=(RequiredRule(COMPANY, "odd"),))
    assert await refusal(builder, "zlib.gt.1", needs_odd) == (
        "odd is required by policy 'company', and with it, for linux-64, no set of versions fits:"
        " odd 1.0 needs zlib <1, but zlib >1 is wanted; ask it@example.org"
    )
    nowhere = Rules(required=(RequiredRule(COMPANY, "nowhere", "python"),))
    assert "nowhere is required by policy 'company', and with it, no package 'nowhere' in" in (
        await refusal(builder, "python", nowhere)
    )
    with pytest.raises(UnknownPackage):
        await lock(builder, "zlibb", needs_odd)


async def test_a_package_of_a_channel_that_is_taken_away_is_said_to_be_refused(
    channel: Path, tmp_path: Path
) -> None:
    special = tmp_path / "special"
    entries = [Entry("share/rare")]
    write_package(Package("rare", "1.0", subdir="linux-64", entries=entries), special)
    await asyncio.to_thread(index_channel, special)
    settings = Settings.model_validate(
        {
            "store": str(tmp_path / "store"),
            "channels": {"main": channel.as_uri(), "special": special.as_uri()},
            "default_channels": ["main", "special"],
            "workers": 1,
        }
    )
    only_main = Rules(channels=(ChannelRule(COMPANY, ("main",)),))
    async with open_builder(settings, Metrics()) as builder:
        told = await refusal(builder, "zlib/rare", only_main)
        assert "rare 1.0 is not allowed by policy 'company'" in told
        assert "special" in told
        with pytest.raises(UnknownPackage):
            await lock(builder, "zlib/nowhere", only_main)


async def test_what_a_solve_knows_nothing_of_is_refused_behind_it(builder: Builder) -> None:
    assert await refusal(builder, "zlib.tzdata", Rules(limits=(LimitRule(COMPANY, 1),))) == (
        "this environment is not allowed by policy 'company': it has 2 packages, and 1 are"
        " allowed; ask it@example.org"
    )


async def test_platforms_and_channels_are_those_that_are_allowed(builder: Builder) -> None:
    rules = Rules(platforms=(PlatformRule(COMPANY, ("linux-64",)),))
    made = await lock(builder, "zlib", rules)
    assert list(made.platforms) == ["linux-64"]
    assert "it is for linux-aarch64" in made.told.warnings[0]
    assert "channel 'main' is none" in await refusal(
        builder, "zlib", Rules(channels=(ChannelRule(COMPANY, ("other",)),))
    )


async def test_a_younger_wheel_gives_way_to_an_older_one(builder: Builder) -> None:
    notes = Notes()
    rules = Rules(age=(AgeRule(COMPANY, "7 days", OLD_ENOUGH_MS, ("python",)),))
    made = await lock(builder, "python.pypi--app", rules, notes)
    assert pypi(made) == {"app": "1.0", "lib": "1.1"}
    assert made.told.left_out == (
        "lib 2.0 is left out by policy 'company': it is younger than 7 days",
    )
    assert list(made.told.left_out) == notes.lines
    assert judge_lock(made, rules) == ()
    exempt = Rules(age=(AgeRule(COMPANY, "7 days", OLD_ENOUGH_MS, ("python", "lib")),))
    assert pypi(await lock(builder, "python.pypi--app", exempt)) == {"app": "1.0", "lib": "2.0"}
    globbed = Rules(age=(AgeRule(COMPANY, "7 days", OLD_ENOUGH_MS, ("python", "li*")),))
    assert pypi(await lock(builder, "python.pypi--app", globbed)) == {"app": "1.0", "lib": "2.0"}
    waived = Rules(age=rules.age, exemptions=(Exemption(1, "lib==2.0", "pypi"),))
    assert pypi(await lock(builder, "python.pypi--lib", waived)) == {"lib": "2.0"}
    other = Rules(age=rules.age, exemptions=(Exemption(1, "lib==3.0", "pypi"),))
    assert pypi(await lock(builder, "python.pypi--lib", other)) == {"lib": "1.1"}


async def test_a_wheel_that_nothing_replaces_is_named_with_rule_and_policy(
    builder: Builder,
) -> None:
    rules = Rules(age=(AgeRule(COMPANY, "7 days", OLD_ENOUGH_MS, ("python",)),))
    assert await refusal(builder, "python.pypi--strict", rules) == (
        "for linux-64, "
        * 0
        + "lib 2.0 is not allowed by policy 'company': it is younger than 7 days, and nothing else"
        " fits; ask it@example.org"
    )


async def test_wheels_are_denied_by_version_project_and_advisory(builder: Builder) -> None:
    denied = Rules(denied=(DeniedRule(COMPANY, "lib>=1.1", "pypi"),))
    assert pypi(await lock(builder, "python.pypi--app", denied)) == {"app": "1.0", "lib": "1.0"}
    hit = Affected("pypi", "lib", (AffectedRange("1.1", "1.5"), AffectedRange("2")))
    advisories = Rules(advisories=(AdvisoryRule(COMPANY, (Advisory("GHSA-1", (hit,)),)),))
    assert pypi(await lock(builder, "python.pypi--app", advisories))["lib"] == "1.0"
    whole = Rules(denied=(DeniedRule(COMPANY, "lib", "pypi", reason="withdrawn"),))
    assert "lib 2.0 is not allowed by policy 'company': 'lib' is denied (withdrawn)" in (
        await refusal(builder, "python.pypi--app", whole)
    )
    some = Rules(pypi=(PypiRule(COMPANY, projects=("app",)),))
    assert "of PyPI only app are allowed, and nothing else fits" in await refusal(
        builder, "python.pypi--app", some
    )


async def test_the_licence_of_a_wheel_is_read_in_it(builder: Builder) -> None:
    rules = Rules(licences=(LicenceRule(COMPANY, denied=("GPL-3.0-*",)),))
    made = await lock(builder, "python.pypi--free.pypi--silent", rules)
    assert pypi(made) == {"free": "1.0", "silent": "1.0"}
    assert made.told.left_out == (
        "free 2.0 is left out by policy 'company': its licence GPL-3.0-only is not allowed",
    )
    known = Rules(licences=(LicenceRule(COMPANY, denied=("GPL-3.0-*",), allows_unknown=False),))
    exempt = Rules(
        licences=known.licences,
        exemptions=(Exemption(1, "python"), Exemption(1, "tzdata"), Exemption(1, "zlib")),
    )
    assert "silent 1.0 is not allowed by policy 'company': its licence 'NOASSERTION'" in (
        await refusal(builder, "python.pypi--silent", exempt)
    )


async def test_wheels_of_a_lock_that_was_sent_are_looked_up(builder: Builder) -> None:
    sent = from_yaml(to_yaml(await lock(builder, "python.pypi--lib.pypi--free", Rules())))
    rules = Rules(
        age=(AgeRule(COMPANY, "7 days", OLD_ENOUGH_MS, ("python",)),),
        licences=(LicenceRule(COMPANY, denied=("GPL-3.0-*",)),),
    )
    assert judge_lock(sent, rules) == ()
    known = await builder.resolver.facts(sent, rules, builder.policy.channels)
    assert known.key == sent.key
    assert {(v.platform, v.sentence) for v in judge_lock(known, rules)} == {
        (platform, f"{package} is not allowed by policy 'company': {reason}")
        for platform in ("linux-64", "linux-aarch64")
        for package, reason in (
            ("free 2.0", "its licence GPL-3.0-only is not allowed"),
            ("lib 2.0", "it is younger than 7 days"),
        )
    }
    assert await builder.resolver.facts(sent, Rules(), builder.policy.channels) is sent


async def test_what_a_lock_that_was_sent_says_of_its_packages_is_not_believed(
    builder: Builder,
) -> None:
    channels = builder.policy.channels
    made = await lock(builder, "zlib.tzdata", Rules())
    forged = Lock(
        {
            subdir: tuple(
                replace(one, listed='{"license":"MIT"}', timestamp_ms=1) for one in records
            )
            for subdir, records in made.platforms.items()
        },
        made.channels,
        made.virtual_packages,
    )
    sent = from_yaml(to_yaml(forged))
    rules = Rules(
        age=(AgeRule(COMPANY, "7 days", OLD_ENOUGH_MS),),
        licences=(LicenceRule(COMPANY, allows_unknown=False),),
    )
    assert judge_lock(sent, rules) == ()
    truth = judge_lock(await builder.resolver.facts(made, rules, channels), rules)
    known = await builder.resolver.facts(sent, rules, channels)
    assert truth, "the channel says nothing of dates"
    assert judge_lock(known, rules) == truth
    assert known.key == sent.key
    gone = await builder.resolver.facts(sent, rules, ())
    assert {v.reason for v in judge_lock(gone, rules)} == {
        "nobody says whether it is older than 7 days",
        "its licence 'LicenseRef-Unlisted AND (MIT)' is none that is known",
    }
