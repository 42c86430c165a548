"""What the benchmarks of prefixes share: builds with all that they are made of, at hand.

Nothing goes over a network while it is measured: bytecode and plans are fetched from a server once,
and given to a root by :class:`Stock`, as are the archives of the channel. rattler finds the same
archives there.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import rattler

from benchmarks.bench import Bench
from benchmarks.images import build_key, get_manifest
from builder.install.prefix.installation import InstallationPlan, parse_installation
from builder.platforms import Subdir
from conformance.clients.server import Server
from registry.images.processes import LocalProcesses
from registry.prefixes.layout import preset
from registry.prefixes.opening import open_reconciler
from registry.prefixes.root import RootOptions
from registry.prefixes.server import Wanted, WantedVersion

SUBDIR: Final[Subdir] = "linux-64"
NAMESPACE: Final = "team"
#: Sparse: only what is written takes room.
_ROOM_MIB: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Build:
    """A build, and what it is made of."""

    plan: InstallationPlan
    #: A tar with the bytecode of its modules.
    bytecode: Path

    @property
    def records(self) -> dict[str, int]:
        """The sha256 of every archive, and its size."""
        return {one.record.sha256: one.record.size_bytes or 0 for one in self.plan.packages}


@contextmanager
def room(bench: Bench) -> Iterator[Path]:
    """Give a directory on an ext4 with a journal, as disks have it.

    On one without, each new file costs the more the more files were removed in the last minutes.
    Who is not root gets a directory as it comes.
    """
    home = bench.directory("prefixes")
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        yield home
        return
    image, disk = home / "image", home / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(_ROOM_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


class Stock:
    """Builds that were fetched; gives a root what it asks for.

    Implements :class:`registry.prefixes.server.Server`.
    """

    def __init__(self, channel: Path, home: Path) -> None:
        """Have none yet.

        Args:
            channel: The directory of the channel whose packages they have.
            home: Where bytecode is kept; on the file system of the roots.
        """
        self._home = home
        self._channel = channel
        self._by_key: dict[str, Build] = {}
        self._records: dict[str, rattler.RepoDataRecord] = {}
        for subdir in (SUBDIR, "noarch"):
            data = rattler.RepoData.from_path(channel / subdir / "repodata.json")
            for record in data.into_repo_data(rattler.Channel(channel.as_uri())):
                assert record.sha256 is not None
                self._records[record.sha256.hex()] = record

    def fetch(self, server: Server, name: str) -> Build:
        """Have a server build an image, and take what it is made of."""
        key = build_key(get_manifest(server, name))
        url = f"{server.url}/api/v1/builds/{key}"
        with httpx.Client(follow_redirects=True, timeout=300) as http:
            query = {"platform": SUBDIR}
            installation = http.get(f"{url}/installation.json", params=query).raise_for_status()
            bytecode = http.get(f"{url}/bytecode.tar.zst", params=query).raise_for_status()
        path = self._home / f"{key}.bytecode"
        path.write_bytes(bytecode.content)
        build = Build(parse_installation(installation.content), path)
        self.add(build)
        return build

    def add(self, build: Build) -> None:
        """Have one more build."""
        self._by_key[build.plan.key] = build

    def rattler_records(self, build: Build) -> list[rattler.RepoDataRecord]:
        """Return the packages of a build as the channel lists them."""
        return [self._records[sha256] for sha256 in build.records]

    def version(self, build: Build) -> WantedVersion:
        """Return the only version of an environment that a build is of."""
        key = build.plan.key
        return WantedVersion(NAMESPACE, f"env-{key[:8]}", 1, key, True, 1_700_000_000.0)

    def wanting(self, builds: Iterable[Build]) -> Wanted:
        """Return what is wanted if these builds are."""
        versions = tuple(self.version(build) for build in builds)
        return Wanted(versions, str(hash(versions)))

    async def wanted(
        self, only: Sequence[str], versions: int | None, known: str | None, wait_seconds: float
    ) -> Wanted | None:
        """Return everything."""
        return self.wanting(self._by_key.values())

    async def installation(self, version: WantedVersion, subdir: Subdir) -> InstallationPlan:
        """Return what a version installs."""
        return self._by_key[version.key].plan

    async def package(self, version: WantedVersion, sha256: str, size_bytes: int, to: Path) -> None:
        """Put an archive there without copying it, as rattler does not copy it either."""
        record = self._records[sha256]
        os.symlink(self._channel / record.subdir / record.file_name, to)  # noqa: PTH211 (at once)

    async def bytecode(self, version: WantedVersion, subdir: Subdir, to: Path) -> None:
        """Put bytecode there without copying it."""
        os.symlink(self._by_key[version.key].bytecode, to)  # noqa: PTH211 (as above)


class Keeper:
    """Keeps roots equal in this process, with workers that are started already."""

    def __init__(self, stock: Stock, workers: LocalProcesses) -> None:
        """Take what roots are made of, and who unpacks packages."""
        self._stock = stock
        self._workers = workers

    async def keep(self, root: Path, builds: Iterable[Build]) -> float:
        """Make a root equal at once; return the seconds until that returns.

        What is thrown away is removed afterwards, and waited for.
        """
        return await self.keep_wanted(root, self._stock.wanting(builds))

    async def keep_wanted(self, root: Path, wanted: Wanted) -> float:
        """Do as :meth:`keep` for versions of any environments."""
        options = RootOptions(preset("own"), SUBDIR, grace_seconds=0.0)
        reconciler = open_reconciler(root, self._stock, self._workers, options)
        began = time.monotonic()
        report = await reconciler.run(wanted)
        seconds = time.monotonic() - began
        assert report.is_equal, report.problems
        await reconciler.settle()
        await reconciler.close()
        return seconds


@asynccontextmanager
async def keeper(stock: Stock) -> AsyncIterator[Keeper]:
    """Give a keeper of roots."""
    workers = LocalProcesses(len(os.sched_getaffinity(0)))
    await workers.start()
    try:
        yield Keeper(stock, workers)
    finally:
        workers.close()


async def install_by_rattler(
    records: list[rattler.RepoDataRecord], prefix: Path, cache: Path
) -> float:
    """Have py-rattler install packages; return the seconds that it takes."""
    began = time.monotonic()
    await rattler.install(
        records, prefix, cache_dir=cache, platform=rattler.Subdir(SUBDIR), show_progress=False
    )
    seconds = time.monotonic() - began
    # rattler's threads may still run when the loop ends, and then the process crashes.
    await asyncio.sleep(0.1)
    return seconds


def disk_bytes(directory: Path) -> int:
    """Return what a directory takes of a disk, each inode once, directories too."""
    done = subprocess.run(
        ["du", "--summarize", "--block-size=1", directory],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[0])


def remove(*directories: Path) -> None:
    """Remove directories, and have nothing left to be written."""
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
    os.sync()
