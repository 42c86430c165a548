"""What channels say of the packages of a lock that somebody has sent.

A lock says under which licence its packages are and when they were published, and is made again
with another key by whoever changes that. So rules do not believe it: what the channel lists counts,
and what it does not list has no date, and no licence that is known.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from builder.lock import Lock
from builder.records import PackageRecord, canonical_json, without_credentials
from builder.rules.licences import spdx
from builder.solve import Solver
from builder.spec import Channel

#: Stands beside what nobody but the lock says: a licence that is denied stays so, and another one
#: is unknown.
_UNLISTED: Final = "LicenseRef-Unlisted"


class Indexed:
    """Asks channels.

    Args:
        solver: Reads their indexes.
        channels: Those of this server.
    """

    def __init__(self, solver: Solver, channels: Sequence[Channel]) -> None:
        self._solver = solver
        self._channels = {without_credentials(one.url): one for one in channels}

    async def of(self, lock: Lock) -> Mapping[str, PackageRecord]:
        """Return what channels say of the packages of a lock, by their addresses.

        Raises:
            ChannelUnavailable: One does not answer, and never has.
            LockError: An index does not give both checksums of a package, and nothing else does.
            PackageError: A package whose checksums are not both given cannot be had.
        """
        found: dict[str, PackageRecord] = {}
        for platform, records in lock.platforms.items():
            of_channel: dict[str, dict[str, PackageRecord]] = defaultdict(dict)
            for record in records:
                of_channel[record.channel_url][_place(record)] = record
            for url, wanted in of_channel.items():
                channel = self._channels.get(url)
                listed: Mapping[str, PackageRecord] = {}
                if channel is not None:
                    listed = await self._solver.find(channel, platform, wanted)
                for place, record in wanted.items():
                    known = listed.get(place)
                    is_same = known is not None and known.sha256 == record.sha256
                    found[record.url] = known if known and is_same else unlisted(record)
        return found


def unlisted(record: PackageRecord) -> PackageRecord:
    """Return a package without what its lock alone says of it."""
    licence = record.said.get("license")
    said = spdx(licence) if isinstance(licence, str) else ""
    listed = {"license": f"{_UNLISTED} AND ({said})" if said else _UNLISTED}
    return replace(record, listed=canonical_json(listed), timestamp_ms=None)


def _place(record: PackageRecord) -> str:
    """Return what a package is looked up by in its channel: path, or address elsewhere."""
    base = f"{record.channel_url}/"
    return unquote(record.url.removeprefix(base))
