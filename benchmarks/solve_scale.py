"""``solve-scale``: solving in a channel of half a million records, over HTTP.

Cold is a new process with nothing on disk; on disk, a new process where another one solved the same
before; warm, the same process again. What a process holds at most is beside it.
"""

import asyncio
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import MB, Figure
from benchmarks.large_channel import count_records, ensure_large_channel
from benchmarks.processes import peak_memory_bytes
from builder.solve import Solver
from builder.spec import Channel, EnvironmentSpec, Requirement, VirtualPackage
from conformance.channel.server import ChannelServer

#: Neither the most needed nor the least.
_WANTED: Final = ("compiled40", "compiled300", "pure10", "pure200", "pure700")


@dataclass(frozen=True, slots=True)
class _Solves:
    """What one process found, in seconds."""

    first: float
    again: float
    packages: int
    peak_bytes: int


def measure(bench: Bench) -> Figure:
    """Return the seconds of a warm solve."""
    directory = ensure_large_channel(10 if bench.short else 1)
    found: dict[str, list[_Solves]] = {"cold": [], "on disk": []}
    runs = bench.runs(5)
    with ChannelServer(directory) as channel:
        for _ in range(runs):
            cache = bench.directory("repodata")
            for solves in found.values():
                solves.append(_in_new_process(channel.url, cache))
    every = [*found["cold"], *found["on disk"]]
    warm = statistics.median(solves.again for solves in every)
    seconds = {name: statistics.median(s.first for s in solves) for name, solves in found.items()}
    peak = max(solves.peak_bytes for solves in every)
    note = (
        f"{count_records(directory):,} records, {every[0].packages} packages solved; cold"
        f" {seconds['cold']:.2f} s, on disk {seconds['on disk']:.2f} s, warm {warm:.2f} s;"
        f" at most {peak / MB:.0f} MB"
    )
    return Figure(warm, runs, note)


def _in_new_process(url: str, cache: Path) -> _Solves:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(_solve_twice, url, cache).result()


def _solve_twice(url: str, cache: Path) -> _Solves:
    return asyncio.run(_solves(url, cache))


def wanted_of(url: str) -> EnvironmentSpec:
    """Return what is solved in the channel at an address."""
    return EnvironmentSpec(
        requirements=tuple(Requirement(name) for name in _WANTED),
        channels=(Channel("large", url),),
        platforms=("linux-64",),
        virtual_packages=(VirtualPackage("__glibc", "2.36"), VirtualPackage("__linux", "5.10")),
    )


async def _solves(url: str, cache: Path) -> _Solves:
    solver = Solver(cache)
    spec = wanted_of(url)
    started = time.monotonic()
    solved = await solver.solve(spec)
    first = time.monotonic() - started
    started = time.monotonic()
    await solver.solve(spec)
    again = time.monotonic() - started
    peak_bytes = max(peak_memory_bytes(pid) for pid in ("self", *_children()))
    await solver.close()
    return _Solves(first, again, len(solved["linux-64"]), peak_bytes)


def _children() -> list[str]:
    """Return the processes that solve for this one."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [pid for children in tasks for pid in children.read_text(encoding="utf-8").split()]
