"""What packages install, remembered: a package seen once is not downloaded to plan an image."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from builder.concurrency.single_flight import SingleFlight, together
from builder.fetch.packages import Packages
from builder.install.contents import PackageContents, dump_contents, parse_contents, read_contents
from builder.install.requires_dist import read_extras
from builder.install.wheel.contents import (
    WheelContents,
    dump_wheel_contents,
    parse_wheel_contents,
    read_wheel_contents,
)
from builder.keys import contents_key
from builder.ports import Store, Workers
from builder.records import ArchiveRecord, PackageRecord, WheelRecord

Record = TypeVar("Record", PackageRecord, WheelRecord)
Contents = TypeVar("Contents")


class ContentsCache:
    """Gives the contents of packages and wheels, from the store or from their archives."""

    def __init__(self, store: Store, packages: Packages, workers: Workers) -> None:
        self._store = store
        self._packages = packages
        self._workers = workers
        self._flights: SingleFlight[PackageContents] = SingleFlight()
        self._wheel_flights: SingleFlight[WheelContents] = SingleFlight()

    async def get(self, record: PackageRecord) -> PackageContents:
        """Return what ``record`` installs.

        Raises:
            PackageError: The archive cannot be had, is damaged or is refused.
        """
        return await self._flights.run(record.sha256, lambda: self._get(record))

    async def get_wheel(self, record: WheelRecord) -> WheelContents:
        """Return what a wheel installs; raises as :meth:`get`."""
        return await self._wheel_flights.run(record.sha256, lambda: self._get_wheel(record))

    async def has(self, records: Iterable[ArchiveRecord]) -> bool:
        """Tell whether the contents of all ``records`` are known, so that none need be read."""
        keys = [contents_key(record.sha256) for record in records]
        return None not in await together(self._store.size(key) for key in keys)

    async def extras(self, record: PackageRecord, distribution: str) -> tuple[str, ...]:
        """Return what the extras of a distribution inside ``record`` need; it is not cached.

        Raises:
            PackageError: As :meth:`get`.
        """
        return await self._read(record, partial(read_extras, distribution=distribution))

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._flights.close()
        await self._wheel_flights.close()

    async def _get(self, record: PackageRecord) -> PackageContents:
        known = await self._known(record, parse_contents)
        if known is None:
            known = await self._read(record, read_contents)
            data = await asyncio.to_thread(dump_contents, known)
            await self._store.write(contents_key(record.sha256), data)
        return known

    async def _get_wheel(self, record: WheelRecord) -> WheelContents:
        known = await self._known(record, parse_wheel_contents)
        if known is None:
            known = await self._read(record, read_wheel_contents)
            data = await asyncio.to_thread(dump_wheel_contents, known)
            await self._store.write(contents_key(record.sha256), data)
        return known

    async def _known(
        self, record: ArchiveRecord, parse: Callable[[bytes], Contents]
    ) -> Contents | None:
        data = await self._store.read(contents_key(record.sha256))
        with suppress(ValueError):  # of an older format: read the archive again
            return None if data is None else await asyncio.to_thread(parse, data)
        return None

    async def _read(self, record: Record, read: Callable[[Path, Record], Contents]) -> Contents:
        async def work(paths: list[Path]) -> Contents:
            return await self._workers.run(read, paths[0], record)

        return await self._packages.use([record], work)
