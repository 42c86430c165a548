"""``prefix-bytes`` and ``prefix-delete``: twenty related environments in one root.

They are those of ``sharing``. The measure of their bytes is the directory of unpacked packages,
each of which is there once whoever needs it.
"""

import asyncio
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import MB, Figure
from benchmarks.prefixes_stock import Build, Stock, disk_bytes, keeper, room
from benchmarks.sharing import ENVIRONMENTS

#: How many are deleted, one after the other.
_DELETED: Final = 5


def measure_bytes(bench: Bench) -> Figure:
    """Return what the root takes of the disk as a multiple of what its packages take."""
    with room(bench) as disk:
        stock, builds = _stocked(bench, disk)
        asyncio.run(_keep(stock, disk / "root", builds))
        whole, packages = disk_bytes(disk / "root"), disk_bytes(disk / "root" / ".packages")
        alone = sum(disk_bytes(path) for path in (disk / "root" / "builds").iterdir())
        files = sum(1 for _ in (disk / "root" / "builds").rglob("*"))
    note = (
        f"{whole / MB:.0f} MB, of which packages {packages / MB:.0f} MB; the {len(builds)} prefixes"
        f" would have {alone / MB:.0f} MB in {files:,} files if they shared nothing"
    )
    return Figure(whole / packages, 1, note)


def measure_delete(bench: Bench) -> Figure:
    """Return the seconds of a pass after one of the environments was deleted."""
    with room(bench) as disk:
        stock, builds = _stocked(bench, disk)
        seconds = asyncio.run(_delete(stock, disk / "root", builds))
    note = (
        f"{min(seconds):.3f} to {max(seconds):.3f} s, over {len(seconds)} of {len(builds)};"
        " files are removed in the background"
    )
    return Figure(statistics.median(seconds), len(seconds), note)


def _stocked(bench: Bench, disk: Path) -> tuple[Stock, list[Build]]:
    home = disk / "stock"
    home.mkdir()
    stock = Stock(bench.paths.channel, home)
    names = ENVIRONMENTS[:2] if bench.short else ENVIRONMENTS
    with bench.server() as server:
        return stock, [stock.fetch(server, f"{name}:py3.11") for name in names]


async def _keep(stock: Stock, root: Path, builds: Sequence[Build]) -> None:
    async with keeper(stock) as keeping:
        await keeping.keep(root, builds)


async def _delete(stock: Stock, root: Path, builds: Sequence[Build]) -> list[float]:
    async with keeper(stock) as keeping:
        await keeping.keep(root, builds)
        count = min(_DELETED, len(builds) - 1)
        return [await keeping.keep(root, builds[number:]) for number in range(1, count + 1)]
