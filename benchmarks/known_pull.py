"""``known-pull``: as ``first-pull``, but the server has seen every package in other environments.

So nothing is downloaded, and what the packages contain is known; layers of single packages exist,
and bins of packages that were not together before are made.
"""

import shutil
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.images import copy_image, environment_of, get_manifest

#: Together they have every package of the environment, in other company.
_KIN: Final = ("env/pandas.click:latest", "env/matplotlib.rich:latest", "env/scikit-learn:latest")
_SHORT_KIN: Final = ("env/python:latest", "env/python.six.click:latest")


def measure(bench: Bench) -> Figure:
    """Return how many times as long the pull takes as one of the finished image."""
    name = environment_of(bench.short)
    known = bench.directory("known") / "store"
    with bench.server(known) as server:
        for kin in _SHORT_KIN if bench.short else _KIN:
            get_manifest(server, kin)
    with bench.server() as server:
        copy = copy_image(server, name, bench.registry)

    def here() -> float:
        # A copy each time: the environment is new to every server.
        store = bench.directory("known") / "store"
        shutil.copytree(known, store)
        with bench.server(store) as server:
            return bench.pull_seconds(server.reference(name))

    runs = bench.runs(5)
    found = medians(interleaved(runs, {"here": here, "there": lambda: bench.pull_seconds(copy)}))
    note = f"{found['here']:.2f} s here, {found['there']:.2f} s from docker-registry"
    return Figure(found["here"] / found["there"], runs, note)
