"""Questions to channels, run by :mod:`builder.solve.child`; answers are small.

Channels are given as they are fetched (:mod:`builder.network.mirrors`); records name their
identities.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import rattler

from builder.network.mirrors import identity_of
from builder.platforms import NOARCH, Subdir
from builder.records import PackageRecord, without_credentials
from builder.rules.candidate import Candidate
from builder.rules.judges import Judges
from builder.rules.judging import Judge
from builder.rules.model import Rules
from builder.rules.violation import Violation
from builder.solve.blame import blame
from builder.solve.failures import UnsolvableTree, mapped_failures
from builder.solve.filtered import Filtered
from builder.solve.match_spec import to_match_spec
from builder.solve.offered import to_ms
from builder.solve.records import by_place, to_records
from builder.solve.repodata import Repodata
from builder.spec import NO_DIGEST, Channel, EnvironmentSpec, Requirement, RulesDigest

#: How archives end that channels list beside newer ones of the same name.
_OLD_FORMAT: Final = ".tar.bz2"


async def ask_names(repodata: Repodata, channel: Channel, platform: Subdir) -> frozenset[str]:
    """Return the names of all packages that ``channel`` has for ``platform``, with noarch."""
    return await repodata.names(channel, platform)


async def ask_versions(
    repodata: Repodata,
    channel: Channel,
    platform: Subdir,
    name: str,
    until: datetime.datetime | None,
    most: int,
) -> list[str]:
    """Return the newest ``most`` versions of a package that were published until then."""
    return (await repodata.versions(channel, platform, name, until))[:most]


@dataclass(frozen=True, slots=True)
class PlatformSolution:
    """What a spec means for one platform."""

    #: They may lack checksums.
    packages: tuple[PackageRecord, ...]
    #: What rules have left out that is newer than what is there in its place.
    left_out: tuple[Violation, ...] = ()


async def ask_solution(
    repodata: Repodata,
    spec: EnvironmentSpec,
    platform: Subdir,
    homes: Mapping[Requirement, Channel],
    until: datetime.datetime | None,
    timeout_seconds: float,
    digest: RulesDigest = NO_DIGEST,
    rules: bytes | None = None,
) -> PlatformSolution | None:
    """Return the packages of ``spec`` for one platform; ``None``: the rules are not known here.

    Raises:
        PolicyRefused: Nothing fits by the rules, and something would without them.

    Args:
        repodata: What is asked.
        spec: What is wanted.
        platform: For what.
        homes: The channel that each requirement is to be met from.
        until: Nothing that was published later counts.
        timeout_seconds: What the solver may take.
        digest: Stands for the rules that hold.
        rules: They themselves as JSON, which may be thousands of advisories: sent when they are
            not known.
    """
    judge = repodata.judges.get(digest) if digest else None
    if digest and judge is None:
        if rules is None:
            return None
        judge = await asyncio.to_thread(_judge, repodata.judges, rules)
    filtered = Filtered()

    async def question(gateway: rattler.Gateway) -> list[rattler.RepoDataRecord]:
        nonlocal filtered
        if judge is not None:
            pins = {wanted.name: spec.channels.index(homes[wanted]) for wanted in homes}
            filtered = await repodata.filter(gateway).of(
                gateway, judge, spec.channels, platform, pins, to_ms(until)
            )
        return await _solve(gateway, spec, platform, homes, until, timeout_seconds, filtered)

    async def without_rules(
        only: Filtered, gateway: rattler.Gateway
    ) -> list[rattler.RepoDataRecord]:
        return await _solve(gateway, spec, platform, homes, until, timeout_seconds, only)

    extra_seconds = timeout_seconds
    try:
        found = await repodata.ask(spec.channels, question, extra_seconds=extra_seconds)
    except UnsolvableTree as exc:
        if judge is None:
            raise
        refused: Sequence[Violation] = ()
        # What has its age is tried first: who is to be asked for an exception from another rule
        # is not to be asked for the newest version, which needs one from that of age besides.
        aged = Filtered(published_until_ms=judge.published_until_ms)
        for only in (aged, Filtered()) if aged != Filtered() else (aged,):
            asked = partial(without_rules, only)
            try:
                found = await repodata.ask(spec.channels, asked, extra_seconds=extra_seconds)
            except UnsolvableTree as unsolvable:
                if only == Filtered():
                    raise unsolvable from None  # which is not because of policies
                continue
            if refused := await asyncio.to_thread(_refused, judge, spec, found):
                break
        raise blame(str(exc), refused, {wanted.name for wanted in homes}) or exc from None
    filtered.restore(found)
    with mapped_failures(spec.channels):
        packages = await asyncio.to_thread(to_records, found, spec.channels)
    return PlatformSolution(packages, filtered.left_out(found))


async def _solve(
    gateway: rattler.Gateway,
    spec: EnvironmentSpec,
    platform: Subdir,
    homes: Mapping[Requirement, Channel],
    until: datetime.datetime | None,
    timeout_seconds: float,
    filtered: Filtered,
) -> list[rattler.RepoDataRecord]:
    sources = [rattler.Channel(channel.url) for channel in spec.channels]
    return await rattler.solve(
        [filtered.source, *sources] if filtered.source else sources,
        [
            to_match_spec(wanted, filtered.home(wanted.name, homes[wanted]))
            for wanted in spec.requirements
        ],
        gateway=gateway,
        platforms=[platform, NOARCH],
        virtual_packages=_virtual_packages(spec, platform),
        timeout=datetime.timedelta(seconds=timeout_seconds),
        exclude_newer=filtered.until(until),
        constraints=filtered.constraints,
        channel_relations="disabled",
    )


def _judge(judges: Judges, rules: bytes) -> Judge:
    return judges.of(Rules.from_json(rules))


def _refused(
    judge: Judge, spec: EnvironmentSpec, found: Sequence[rattler.RepoDataRecord]
) -> list[Violation]:
    """Return what rules refuse of a solution without them."""
    channels = {without_credentials(identity_of(one)): one.name for one in spec.channels}
    records = to_records(found, spec.channels)
    candidates = [Candidate.of_package(record, channels) for record in records]
    return [one for candidate in candidates if (one := judge.refusal(candidate)) is not None]


async def ask_packages(
    repodata: Repodata, channel: Channel, platform: Subdir, places: Sequence[str]
) -> Mapping[str, PackageRecord]:
    """Return what the channel lists at these places, which may lack checksums."""
    names = sorted({_name(place) for place in places})
    found = await repodata.records(channel, platform, names)
    listed = dict(await asyncio.to_thread(by_place, found, frozenset(places), channel))
    hidden = [p for p in places if p not in listed and p.endswith(_OLD_FORMAT)]
    return {**listed, **await _hidden(repodata, channel, hidden, found)}


async def forget(repodata: Repodata, channels: Sequence[Channel]) -> None:
    """Take what there is of channels from memory and disk."""
    await asyncio.to_thread(repodata.forget, channels)


async def _hidden(
    repodata: Repodata,
    channel: Channel,
    places: Sequence[str],
    found: Sequence[rattler.RepoDataRecord],
) -> Mapping[str, PackageRecord]:
    """Return those of ``places`` that lie beside a ``.conda``, one of ``found``."""
    beside = {f"{r.subdir}/{r.file_name.removesuffix('.conda')}" for r in found}
    hidden = [place for place in places if place.removesuffix(_OLD_FORMAT) in beside]
    if not hidden:
        return {}
    names = sorted({_name(place) for place in hidden})
    subdirs = sorted({place.partition("/")[0] for place in hidden})
    records = await repodata.in_both_formats(channel, subdirs, names)
    return await asyncio.to_thread(by_place, records, frozenset(hidden), channel)


def _name(place: str) -> str:
    """Return the name of the package that lies there."""
    return place.rpartition("/")[2].rsplit("-", 2)[0]


def _virtual_packages(
    spec: EnvironmentSpec, platform: Subdir
) -> list[rattler.GenericVirtualPackage]:
    return [
        rattler.GenericVirtualPackage(
            rattler.PackageName(package.name),
            rattler.Version(package.version),
            rattler.BuildString(package.build),
        )
        for package in spec.virtual_packages
        if package.platform in {None, platform}
    ]
