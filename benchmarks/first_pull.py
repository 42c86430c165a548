"""``first-pull``: docker pulls an environment that is new, and the finished image.

The server's store is empty: it asks the channel for its index, solves, downloads, assembles and
sends. docker-registry holds the same image, digest for digest. docker has
no layer of it in either case, the base's included.
"""

from benchmarks.bench import Bench
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.images import copy_image, environment_of
from benchmarks.processes import cpu_seconds


def measure(bench: Bench) -> Figure:
    """Return how many times as long the first pull takes."""
    name = environment_of(bench.short)
    with bench.server() as server:
        copy = copy_image(server, name, bench.registry)
    cpu: list[float] = []

    def here() -> float:
        with bench.server() as server:
            started = cpu_seconds(server.pid)
            seconds = bench.pull_seconds(server.reference(name))
            cpu.append(cpu_seconds(server.pid) - started)
        return seconds

    runs = bench.runs(5)
    found = medians(
        interleaved(runs, {"here": here, "there": lambda: bench.pull_seconds(copy)}) | {"cpu": cpu}
    )
    note = (
        f"{found['here']:.2f} s here ({found['cpu']:.2f} s of processors),"
        f" {found['there']:.2f} s from docker-registry"
    )
    return Figure(found["here"] / found["there"], runs, note)
