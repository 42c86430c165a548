"""``versus-dockerfile``: build, push and pull what a Dockerfile installs, against our first pull.

The lock is written already, and docker has the base and the installer when it builds. It pulls,
as another machine would, with nothing of the image.
"""

from benchmarks.bench import Bench
from benchmarks.dockerfile import Dockerfile
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.images import environment_of


def measure(bench: Bench) -> Figure:
    """Return how many times as long the way over a Dockerfile takes."""
    name = environment_of(bench.short)
    steps: dict[str, list[float]] = {"build": [], "push": [], "pull": []}
    with bench.server() as server:
        dockerfile = Dockerfile(bench, server)
        context = dockerfile.write(name)

        def theirs() -> float:
            # Another name each time: what was pushed once is not pushed again.
            reference = f"{bench.registry.host}/by-dockerfile-{len(steps['build'])}:latest"
            steps["build"].append(bench.docker.build(context, reference))
            steps["push"].append(bench.docker.push(reference))
            bench.docker.remove(reference)
            steps["pull"].append(bench.pull_seconds(reference))
            return sum(step[-1] for step in steps.values())

        def ours() -> float:
            with bench.server() as new:
                return bench.pull_seconds(new.reference(name))

        runs = bench.runs(3)
        found = medians(interleaved(runs, {"ours": ours, "theirs": theirs}) | steps)
    note = (
        f"{found['theirs']:.1f} s (build {found['build']:.1f}, push {found['push']:.1f},"
        f" pull {found['pull']:.1f}) against {found['ours']:.1f} s"
    )
    return Figure(found["theirs"] / found["ours"], runs, note)
