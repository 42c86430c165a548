"""``start``: from the start of the server's process to its first answer, ``GET /v2/``."""

import statistics
import time

from benchmarks.bench import Bench
from benchmarks.figure import Figure


def measure(bench: Bench) -> Figure:
    """Return the median of seconds."""
    runs = bench.runs(9)
    # Starting the channel is no part of it.
    assert bench.channel.url
    found = [_start_seconds(bench) for _ in range(runs)]
    return Figure(statistics.median(found), runs, f"from {min(found):.2f} to {max(found):.2f} s")


def _start_seconds(bench: Bench) -> float:
    started = time.monotonic()
    with bench.new_server():
        return time.monotonic() - started
