"""``scaling``: first pulls of one size in ever more packages, for each MB that is installed.

The packages are generated: the same 160 MB in 5, 20, 80 and 160 of them, in files of the same
sizes, so that nothing but their number differs. Time is that of docker's pull, processors those of
our server. The figure is the worse of the two: the most that a MB costs, against the least.
"""

import random
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.processes import cpu_seconds
from conformance.channel.index import write_repodata
from conformance.channel.server import ChannelServer
from conformance.channel.writer import Entry, Package, package_bytes

_COUNTS: Final = (5, 20, 80, 160)
_SIZE_MB: Final = 160
_SHORT_SIZE_MB: Final = 20
#: Files of a MB: a binary, and texts.
_BINARY_BYTES: Final = 600_000
_TEXTS: Final = 20
_TEXT_BYTES: Final = 20_000


def measure(bench: Bench) -> Figure:
    """Return how many times as much a MB costs in one number of packages as in another."""
    size_mb = _SHORT_SIZE_MB if bench.short else _SIZE_MB
    counts = [count for count in _COUNTS if count <= size_mb]
    directory = bench.directory("channel")
    _write_channel(directory, counts, size_mb)
    cpu: dict[int, list[float]] = {count: [] for count in counts}
    with ChannelServer(directory) as channel:

        def pull(count: int) -> float:
            with bench.server(channels={"conda-forge": channel.url}) as server:
                started = cpu_seconds(server.pid)
                seconds = bench.pull_seconds(server.reference(f"env/in{count}:latest"))
                cpu[count].append(cpu_seconds(server.pid) - started)
            return seconds

        runs = bench.runs(3)
        seconds = medians(interleaved(runs, {str(n): partial(pull, n) for n in counts}))
    used = medians({str(count): values for count, values in cpu.items()})
    note = f"{size_mb} MB in each; " + ", ".join(
        f"{n} packages {seconds[n] / size_mb * 1000:.0f} ms and {used[n] / size_mb * 1000:.0f} ms"
        " of processors per MB"
        for n in seconds
    )
    return Figure(max(_spread(seconds), _spread(used)), runs, note)


def _spread(values: dict[str, float]) -> float:
    return max(values.values()) / min(values.values())


def _write_channel(directory: Path, counts: list[int], size_mb: int) -> None:
    """Write a channel in which the package ``in20`` is, with all it needs, twenty packages."""
    packages = []
    for count in counts:
        names = [f"in{count}"] + [f"in{count}-part{number}" for number in range(1, count)]
        for number, name in enumerate(names):
            package = Package(
                name,
                "1.0",
                subdir="linux-64",
                noarch=None,
                depends=tuple(names[1:]) if number == 0 else (),
                entries=_entries(name, size_mb // count),
            )
            packages.append((package, package_bytes(package)))
    write_repodata(directory, packages)
    for package, data in packages:
        (directory / package.subdir / package.filename).write_bytes(data)


def _entries(name: str, size_mb: int) -> list[Entry]:
    """Return the files of a package; half of each is noise, as in what programs are made of."""
    noise = random.Random(name)
    entries = []
    for number in range(size_mb):
        binary = noise.randbytes(_BINARY_BYTES // 2) + bytes(_BINARY_BYTES // 2)
        entries.append(Entry(f"lib/{name}/{number}.so", binary, mode=0o755))
        for text in range(_TEXTS):
            lines = noise.randbytes(_TEXT_BYTES // 2).hex().encode()
            entries.append(Entry(f"share/{name}/{number}-{text}.txt", lines))
    return entries
