"""Which versions of a package a channel has."""

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import rattler

from builder.platforms import Subdir
from builder.solve.offered import to_ms
from builder.solve.repodata import Repodata
from builder.spec import Channel


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a package in a channel."""

    version: str
    #: How many builds of it there are for the platform.
    builds: int
    #: When the first of them was published, in milliseconds since 1970, if the channel says.
    published_ms: int | None
    #: Of the build with the highest number: bytes of its archive, and what the index says of its
    #: licence.
    size_bytes: int
    licence: str


async def ask_releases(
    repodata: Repodata, channel: Channel, platform: Subdir, name: str, most: int
) -> list[Release]:
    """Return the newest ``most`` versions that ``channel`` has for ``platform``, with noarch."""
    found = await repodata.records(channel, platform, [name])
    return await asyncio.to_thread(_releases, found, most)


def _releases(found: Sequence[rattler.RepoDataRecord], most: int) -> list[Release]:
    by_version: dict[rattler.Version, list[rattler.RepoDataRecord]] = {}
    for record in found:
        by_version.setdefault(record.version, []).append(record)
    newest = sorted(by_version, reverse=True)[:most]
    return [_release(str(version), by_version[version]) for version in newest]


def _release(version: str, records: Sequence[rattler.RepoDataRecord]) -> Release:
    last = max(records, key=lambda record: (record.build_number, str(record.build)))
    dates = [date for record in records if (date := _published(record)) is not None]
    return Release(
        version, len(records), to_ms(min(dates, default=None)), last.size or 0, last.license or ""
    )


def _published(record: rattler.RepoDataRecord) -> datetime.datetime | None:
    return record.indexed_timestamp or record.timestamp
