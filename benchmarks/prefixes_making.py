"""``prefix-known``, ``prefix-new`` and ``prefix-next``: how long prefixes take to be made.

All of them are those of ``EVERYDAY``, on a disk of their own. A known lock is one whose packages
are unpacked: its prefix is linked, as ``cp -al`` links a tree, with its own path in its files. A
new one is unpacked first, from archives that are at hand; rattler does the same with an empty
cache. Where only the lock is new, rattler has its packages in its cache.
"""

import asyncio
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import MB, Figure, interleaved, medians
from benchmarks.images import environment_of
from benchmarks.prefixes_stock import (
    Build,
    Stock,
    disk_bytes,
    install_by_rattler,
    keeper,
    remove,
    room,
)
from builder.install.prefix.link import LinkOptions, link
from builder.install.prefix.syncing import sync_file_system

_RUNS: Final = 7


def measure_known(bench: Bench) -> Figure:
    """Return the seconds to link a prefix as a multiple of those of ``cp -al``."""
    with room(bench) as disk:
        stock, build = _stocked(bench, disk)
        root, made, copied = disk / "root", disk / "made", disk / "copied"
        asyncio.run(_keep(stock, root, build))
        prefix = root / "builds" / build.plan.key

        def ours() -> float:
            remove(made)
            began = time.monotonic()
            link(build.plan, root / ".packages", made, str(prefix), LinkOptions())
            return time.monotonic() - began

        def cp() -> float:
            remove(copied)
            began = time.monotonic()
            subprocess.run(["cp", "-al", prefix, copied], check=True)
            return time.monotonic() - began

        def whole_pass() -> float:
            remove(prefix)
            return asyncio.run(_keep(stock, root, build))

        sides = {"ours": ours, "cp": cp, "pass": whole_pass}
        found = medians(interleaved(bench.runs(_RUNS), sides))
        files = sum(1 for path in prefix.rglob("*") if not path.is_dir())
    note = (
        f"{found['ours']:.3f} s, synced to the disk, cp -al {found['cp']:.3f} s; {files:,} files;"
        f" a whole pass over the root that lacks it {found['pass']:.2f} s"
    )
    return Figure(found["ours"] / found["cp"], bench.runs(_RUNS), note)


def measure_new(bench: Bench) -> Figure:
    """Return the seconds of a pass over an empty root as a multiple of rattler's.

    A link leads to a prefix only when all of it has reached the disk; that is waited for after
    rattler, too.
    """
    with room(bench) as disk:
        stock, build = _stocked(bench, disk)
        records = stock.rattler_records(build)
        unsynced: list[float] = []

        def ours() -> float:
            remove(disk / "root")
            return asyncio.run(_keep(stock, disk / "root", build))

        def theirs() -> float:
            remove(disk / "prefix", disk / "cache")
            install = install_by_rattler(records, disk / "prefix", disk / "cache")
            unsynced.append(asyncio.run(install))
            began = time.monotonic()
            sync_file_system(disk)
            return unsynced[-1] + time.monotonic() - began

        found = medians(interleaved(bench.runs(_RUNS), {"ours": ours, "theirs": theirs}))
        size = disk_bytes(disk / "root" / "builds")
    note = (
        f"{found['ours']:.2f} s with bytecode, rattler {found['theirs']:.2f} s without, both until"
        f" all has reached the disk; {median(unsynced):.2f} s until rattler says that it is done;"
        f" {len(records)} packages, {size / MB:.0f} MB"
    )
    return Figure(found["ours"] / found["theirs"], bench.runs(_RUNS), note)


def measure_next(bench: Bench) -> Figure:
    """Return the seconds of a pass that makes one more prefix as a multiple of rattler's."""
    with room(bench) as disk:
        stock, build = _stocked(bench, disk)
        records = stock.rattler_records(build)
        asyncio.run(_keep(stock, disk / "root", build))
        asyncio.run(install_by_rattler(records, disk / "prefix", disk / "cache"))

        def ours() -> float:
            remove(disk / "root" / "builds" / build.plan.key)
            return asyncio.run(_keep(stock, disk / "root", build))

        def theirs() -> float:
            remove(disk / "prefix")
            return asyncio.run(install_by_rattler(records, disk / "prefix", disk / "cache"))

        found = medians(interleaved(bench.runs(_RUNS), {"ours": ours, "theirs": theirs}))
    note = f"{found['ours']:.2f} s, synced to the disk; rattler {found['theirs']:.2f} s"
    return Figure(found["ours"] / found["theirs"], bench.runs(_RUNS), note)


def _stocked(bench: Bench, disk: Path) -> tuple[Stock, Build]:
    home = disk / "stock"
    home.mkdir()
    stock = Stock(bench.paths.channel, home)
    with bench.server() as server:
        return stock, stock.fetch(server, environment_of(bench.short))


async def _keep(stock: Stock, root: Path, *builds: Build) -> float:
    async with keeper(stock) as keeping:
        return await keeping.keep(root, builds)
