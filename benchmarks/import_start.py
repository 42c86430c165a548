"""``import-start``: docker run, imports, the end; in our image and in one that rattler installed.

The environment is rich in pure Python packages. The other image is made by a Dockerfile, where all
modules are compiled. Both are pulled and have run once.
"""

import time
from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench
from benchmarks.dockerfile import Dockerfile
from benchmarks.figure import Figure, interleaved, medians

_NAME: Final = "env/jupyter_server.rich.requests.python.3.11:latest"
_PROGRAM: Final = "import jupyter_server.serverapp, nbconvert, rich.console, requests"
_SHORT_NAME: Final = "env/rich.python.3.11:latest"
_SHORT_PROGRAM: Final = "import rich.console"


def measure(bench: Bench) -> Figure:
    """Return how many times as long our container takes."""
    name, program = (_SHORT_NAME, _SHORT_PROGRAM) if bench.short else (_NAME, _PROGRAM)
    with bench.server() as server:
        dockerfile = Dockerfile(bench, server)
        theirs = f"{bench.registry.host}/installed:latest"
        bench.docker.build(dockerfile.write(name), theirs)
        ours = server.reference(name)
        pulled = bench.docker.pull(ours)
        assert pulled.ok, pulled.output

    def seconds(reference: str, source: str) -> Callable[[], float]:
        def run() -> float:
            started = time.monotonic()
            bench.docker.run(reference, "python", "-c", source)
            return time.monotonic() - started

        run()
        return run

    runs = bench.runs(9)
    found = medians(
        interleaved(
            runs,
            {
                "ours": seconds(ours, program),
                "theirs": seconds(theirs, program),
                "nothing": seconds(ours, "pass"),
            },
        )
    )
    for reference in (ours, theirs):
        bench.docker.remove(reference)
    note = (
        f"{found['ours']:.2f} s in ours, {found['theirs']:.2f} s in the other,"
        f" {found['nothing']:.2f} s without an import"
    )
    return Figure(found["ours"] / found["theirs"], runs, note)
