"""What packages install, remembered: a package seen once is not downloaded to plan an image."""

from contextlib import suppress
from pathlib import Path

from builder.flight import SingleFlight
from builder.install.contents import PackageContents, dump_contents, parse_contents, read_contents
from builder.install.requires_dist import read_extras
from builder.keys import contents_key
from builder.packages import Packages
from builder.ports import Store, Workers
from builder.records import PackageRecord


class ContentsCache:
    """Gives the contents of packages, from the store or from their archives."""

    def __init__(self, store: Store, packages: Packages, workers: Workers) -> None:
        self._store = store
        self._packages = packages
        self._workers = workers
        self._flights: SingleFlight[PackageContents] = SingleFlight()

    async def get(self, record: PackageRecord) -> PackageContents:
        """Return what ``record`` installs.

        Raises:
            PackageError: The archive cannot be had, is damaged or is refused.
        """
        return await self._flights.run(record.sha256, lambda: self._get(record))

    async def extras(self, record: PackageRecord, distribution: str) -> tuple[str, ...]:
        """Return what the extras of a Python distribution inside ``record`` need.

        They are rarely asked for, so they are not remembered.

        Raises:
            PackageError: As :meth:`get`.
        """

        async def work(paths: list[Path]) -> tuple[str, ...]:
            return await self._workers.run(read_extras, paths[0], record, distribution)

        return await self._packages.use([record], work)

    async def close(self) -> None:
        """Stop what is under way."""
        await self._flights.close()

    async def _get(self, record: PackageRecord) -> PackageContents:
        key = contents_key(record.sha256)
        data = await self._store.read(key)
        if data is not None:
            with suppress(ValueError):  # of an older format: read the archive again
                return parse_contents(data)

        async def work(paths: list[Path]) -> PackageContents:
            return await self._workers.run(read_contents, paths[0], record)

        contents = await self._packages.use([record], work)
        await self._store.write(key, dump_contents(contents))
        return contents
