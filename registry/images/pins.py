"""Builds that stay makeable when their channels have forgotten their packages."""

import json
from collections.abc import Callable

from builder.concurrency.single_flight import SingleFlight, together
from builder.fetch.base_image import BaseImages
from builder.fetch.packages import Packages
from builder.keys import package_key
from builder.lock import Lock
from builder.platforms import PLATFORMS
from builder.ports import Progress, ProgressListener, Store
from builder.records import ArchiveRecord
from registry.storage.layout import pin_key


class Pins:
    """Keeps the archives and base of builds in the store, and fetches what is missing."""

    def __init__(
        self, store: Store, packages: Packages, bases: BaseImages, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._packages = packages
        self._bases = bases
        self._now = now
        self._flights: SingleFlight[None] = SingleFlight()

    async def pin(self, lock: Lock, on_progress: ProgressListener) -> None:
        """Keep a build: every archive and the base are in the store then, and never evicted.

        Idempotent. A caller that is cancelled leaves the work going on.

        Raises:
            PackageError: An archive cannot be had any more.
            BaseImageError: The base cannot be had any more.
        """
        await self._flights.run(lock.key, lambda: self._pin(lock, on_progress))

    async def unpin(self, key: str) -> None:
        """Remove a pin, so that archives and base may be evicted; idempotent."""
        await self._store.delete(pin_key(key))

    async def is_pinned(self, key: str) -> bool:
        """Tell whether a build is kept."""
        return await self._store.size(pin_key(key)) is not None

    async def close(self) -> None:
        """Cancel the running downloads and wait for them to end."""
        await self._flights.close()

    async def _pin(self, lock: Lock, on_progress: ProgressListener) -> None:
        await self._fetch(lock, on_progress)
        await self._store.write(pin_key(lock.key), json.dumps({"at": self._now()}).encode())
        # A collector that began before may have taken something until it saw the mark.
        await self._fetch(lock, on_progress)

    async def _fetch(self, lock: Lock, on_progress: ProgressListener) -> None:
        missing = await self._missing(lock)
        done = 0

        async def fetch(record: ArchiveRecord) -> None:
            nonlocal done
            await self._packages.archive(record)
            done += 1
            on_progress(Progress("download", done, len(missing)))

        await together(fetch(record) for record in missing)
        if lock.base is not None:
            for subdir in lock.platforms:
                # Its lock is in the store: it has been built.
                await self._bases.fetch(lock.base, PLATFORMS[subdir], is_locked=True)

    async def _missing(self, lock: Lock) -> list[ArchiveRecord]:
        """Return the records whose archives are not in the store, each archive once."""
        groups: list[tuple[ArchiveRecord, ...]] = [
            *lock.platforms.values(),
            *lock.wheels.values(),
        ]
        records = {record.sha256: record for group in groups for record in group}
        sizes = await together(self._store.size(package_key(sha256)) for sha256 in records)
        return [
            record for record, size in zip(records.values(), sizes, strict=True) if size is None
        ]
