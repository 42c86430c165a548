"""What a solver is told of packages that it shall not take."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import rattler

from builder.rules.violation import Violation
from builder.solve.offered import EPOCH, MS
from builder.spec import Channel

#: Lies below the address of a channel whose records are offered from here.
_ALLOWED: Final = "policy-allows"


@dataclass(frozen=True, slots=True)
class Refused:
    """A version of which the judge refuses a record."""

    version: rattler.Version
    violation: Violation


@dataclass(frozen=True, slots=True)
class Filtered:
    """What the solver is told."""

    constraints: Sequence[rattler.MatchSpec] = ()
    #: Records that are offered from here, by subdir and name.
    records: Mapping[tuple[str, str], list[rattler.RepoDataRecord]] = field(default_factory=dict)
    #: The moment up to which all must be published, in milliseconds since 1970.
    published_until_ms: int | None = None
    #: What is refused of each name that could be needed.
    refused: Mapping[str, Sequence[Refused]] = field(default_factory=dict)
    #: What records from here were before, by address: channel and dates.
    originals: Mapping[str, "Original"] = field(default_factory=dict)

    @property
    def source(self) -> "_Source | None":
        """Offers the records."""
        return _Source(self.records) if self.records else None

    def home(self, name: str, channel: Channel) -> Channel:
        """Return the channel that a requirement is pinned to."""
        if any(known == name for _, known in self.records):
            return Channel(channel.name, allowed_in(channel.url))
        return channel

    def until(self, until: datetime.datetime | None) -> datetime.datetime | None:
        """Return the moment up to which all must be published, with a specification's own."""
        if self.published_until_ms is None:
            return until
        # Half of the next millisecond is there because rattler rounds down.
        own = EPOCH + self.published_until_ms * MS + MS / 2
        return own if until is None else min(own, until)

    def left_out(self, found: Sequence[rattler.RepoDataRecord]) -> tuple[Violation, ...]:
        """Return what was refused that is newer than what was found in its place, by name."""
        newer = []
        for record in found:
            refused = self.refused.get(record.name.normalized)
            if refused and refused[0].version > rattler.Version(str(record.version)):
                newer.append(refused[0].violation)
        return tuple(sorted(newer, key=lambda one: one.name))

    def restore(self, found: Sequence[rattler.RepoDataRecord]) -> None:
        """Give records that were offered from here what the index says of them."""
        for record in found:
            original = self.originals.get(record.url)
            if original is not None:
                record.channel = original.channel
                record.timestamp = original.timestamp
                record.indexed_timestamp = original.indexed_timestamp


@dataclass(frozen=True, slots=True)
class Original:
    """What an index says of a record that is changed to be offered from here."""

    channel: str
    timestamp: datetime.datetime | None
    indexed_timestamp: datetime.datetime | None


class _Source:
    """Offers records that are in memory; a :class:`rattler.repo_data.source.RepoDataSource`."""

    def __init__(self, records: Mapping[tuple[str, str], list[rattler.RepoDataRecord]]) -> None:
        self._records = records

    async def fetch_package_records(
        self, platform: rattler.Subdir, name: rattler.PackageName
    ) -> list[rattler.RepoDataRecord]:
        return self._records.get((str(platform), name.normalized), [])

    def package_names(self, platform: rattler.Subdir) -> list[str]:
        return sorted(name for subdir, name in self._records if subdir == str(platform))


def allowed_in(url: str) -> str:
    """Return what stands for a channel whose allowed records are offered from here."""
    return f"{url.rstrip('/')}/{_ALLOWED}/"
