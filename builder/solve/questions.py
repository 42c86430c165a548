"""Questions to channels, run by :mod:`builder.solve.child`; answers are small."""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Final

import rattler

from builder.platforms import NOARCH, Subdir
from builder.records import PackageRecord
from builder.solve.failures import mapped_failures
from builder.solve.match_spec import to_match_spec
from builder.solve.records import by_place, to_records
from builder.solve.repodata import Repodata
from builder.spec import Channel, EnvironmentSpec, Requirement

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


async def ask_solution(
    repodata: Repodata,
    spec: EnvironmentSpec,
    platform: Subdir,
    homes: Mapping[Requirement, Channel],
    until: datetime.datetime | None,
    timeout_seconds: float,
) -> tuple[PackageRecord, ...]:
    """Return the packages of ``spec`` for one platform, which may lack checksums.

    Args:
        repodata: What is asked.
        spec: What is wanted.
        platform: For what.
        homes: The channel that each requirement is to be met from.
        until: Nothing that was published later counts.
        timeout_seconds: What the solver may take.
    """

    async def question(gateway: rattler.Gateway) -> list[rattler.RepoDataRecord]:
        return await rattler.solve(
            [rattler.Channel(channel.url) for channel in spec.channels],
            [to_match_spec(wanted, homes[wanted]) for wanted in spec.requirements],
            gateway=gateway,
            platforms=[platform, NOARCH],
            virtual_packages=_virtual_packages(spec, platform),
            timeout=datetime.timedelta(seconds=timeout_seconds),
            exclude_newer=until,
            channel_relations="disabled",
        )

    found = await repodata.ask(spec.channels, question, extra_seconds=timeout_seconds)
    with mapped_failures(spec.channels):
        return await asyncio.to_thread(to_records, found)


async def ask_packages(
    repodata: Repodata, channel: Channel, platform: Subdir, places: Sequence[str]
) -> Mapping[str, PackageRecord]:
    """Return what the channel lists at these places, which may lack checksums."""
    names = sorted({_name(place) for place in places})
    found = await repodata.records(channel, platform, names)
    listed = dict(await asyncio.to_thread(by_place, found, frozenset(places)))
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
    return await asyncio.to_thread(by_place, records, frozenset(hidden))


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
