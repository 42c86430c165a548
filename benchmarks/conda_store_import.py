"""``conda-store-import``: a conda-store of a company is moved here, and that is cut off twice.

It is conda-store's own server, which answers one request after the other, with rows by its models.
"""

import statistics
import time
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from conformance.conda_store.importing import kill_after, receiving, report_of
from conformance.conda_store.locks import locks_of
from conformance.conda_store.real_server import RealServer

#: Namespaces, environments and builds.
_FULL: Final = (20, 300, 2000)
_SHORT: Final = (4, 12, 60)
#: How many packages a lock is of, besides what they need: ninety with that.
_ROOTS: Final = 25


def measure(bench: Bench) -> Figure:
    """Return the seconds that ``pullforge import conda-store`` takes into an empty server."""
    size = _SHORT if bench.short else _FULL
    home = bench.directory("conda-store-import")
    taken: list[float] = []
    with RealServer.start(home / "old") as old:
        locks = locks_of(bench.paths.channel, bench.channel.url, size[2], roots=_ROOTS)
        what = old.fill(*size, locks)
        asked = ("conda-store", old.url, f"--token={old.token}", "--roles=v2")
        for number in range(bench.runs(3)):
            here = home / str(number)
            with receiving(here, bench.paths, bench.channel) as server:
                started = time.monotonic()
                for share in (4, 2):
                    kill_after(here, asked, server, size[1] // share)
                builds = report_of(here, *asked)["builds"]
                taken.append(time.monotonic() - started)
            assert builds["made"] + builds["known"] == what.builds, builds
            assert builds["known"], builds
            assert not builds["refused"], builds
    note = (
        f"{size[0]} namespaces, {size[1]} environments, {size[2]} builds; killed twice;"
        f" from {min(taken):.0f} to {max(taken):.0f} s"
    )
    return Figure(statistics.median(taken), len(taken), note)
