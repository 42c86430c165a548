"""Checksums that a channel's index does not give."""

import hashlib
import json
from dataclasses import replace
from typing import Final

from builder.concurrency.single_flight import SingleFlight
from builder.fetch.packages import Packages
from builder.keys import package_key, sums_key
from builder.lock.fields import MD5, SHA256
from builder.ports import Store
from builder.records import PackageRecord, canonical_json

#: What a remembered answer has.
_FIELDS: Final = ("sha256", "md5")


class Sums:
    """Completes records that lack a sha256 or an md5, from the archives themselves.

    What was found is remembered in the store, for every server that has it: an archive is not
    downloaded again because of it. One of which the index gives no checksum at all may be replaced
    unnoticed; so what was found counts while that archive is kept.
    """

    def __init__(self, store: Store, packages: Packages) -> None:
        self._store = store
        self._packages = packages
        self._flights: SingleFlight[PackageRecord] = SingleFlight()

    async def complete(self, record: PackageRecord) -> PackageRecord:
        """Return ``record`` with both checksums; at once if it has them.

        Raises:
            PackageUnavailable: Its archive cannot be downloaded.
            CorruptPackage: It does not have the checksum or size that the index gives.
            UnsafePackage: It is too large, or lies on a host that is not allowed.
        """
        if record.sha256 and record.md5:
            return record
        said = [record.url, record.sha256, record.md5, record.size_bytes, record.timestamp_ms]
        digest = hashlib.sha256(canonical_json(said).encode()).hexdigest()
        return await self._flights.run(digest, lambda: self._complete(record, sums_key(digest)))

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._flights.close()

    async def _complete(self, record: PackageRecord, key: str) -> PackageRecord:
        known = _read(await self._store.read(key))
        if known and (record.sha256 or record.md5 or await self._kept(known[0])):
            sha256, md5 = known
        else:
            sha256, md5 = await self._packages.sums(record)
            content = dict(zip(_FIELDS, (sha256, md5), strict=True))
            await self._store.write(key, canonical_json(content).encode())
        return replace(record, sha256=sha256, md5=md5)

    async def _kept(self, sha256: str) -> bool:
        return await self._store.size(package_key(sha256)) is not None


def _read(data: bytes | None) -> tuple[str, str] | None:
    """Return what is remembered; ``None`` if nothing is, or if it is damaged."""
    if data is None:
        return None
    try:
        content = json.loads(data)
        sha256, md5 = (content[field] for field in _FIELDS)
        whole = SHA256.fullmatch(sha256) and MD5.fullmatch(md5)
    except (ValueError, TypeError, KeyError):
        return None
    return (sha256, md5) if whole else None
