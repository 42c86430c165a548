"""A model of many workers: how many builds a minute N of them make, and what limits them.

``python -m benchmarks.fleet`` prints the tables of docs/scaling.md. It is a simulation, with what
was measured on one machine put in (:data:`MEASURED`): builds of different environments wait in one
queue, as in a morning rush; each goes through the stages of a real one, and takes turns at what all
share::

    build ─→ broker ─→ solve (core) ─→ fetch (channel) ─→ plan (core) ─→ layers: each
               ─→ broker ─→ core ─→ upload (S3) ─→ finish (core, S3)

Workers have cores; the broker handles one command at a time; S3 and the channel have so many bytes
a second, and S3 so many requests. Nothing is random but the sizes of layers, whose seed is fixed.
"""

import random
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final

import simpy
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Costs:
    """What one build of an everyday environment costs, in seconds of one core, and bytes."""

    solve_seconds: float
    plan_seconds: float
    finish_seconds: float
    #: All layers together.
    layers_seconds: float
    layers: int
    #: Fetched from the channel, when no worker has seen its packages.
    archive_bytes: float
    #: Of its layers.
    layer_bytes: float
    #: Of the packages of a build, the share that was seen in other builds, whose layers are there.
    known: float
    #: Commands of Redis for each task, from the order to its outcome.
    commands: float
    #: Requests to S3 for each build, without the bytes.
    requests: float


@dataclass(frozen=True, slots=True)
class Place:
    """What the workers share."""

    cores_per_worker: int = 4
    #: Redis does one command after the other.
    commands_per_second: float = 50_000
    s3_bytes_per_second: float = 10e9
    #: Amazon's for one prefix; blobs are below 256.
    s3_requests_per_second: float = 5_500
    #: What one worker gets from S3 and from the channel.
    link_bytes_per_second: float = 500e6
    channel_bytes_per_second: float = 1.25e9


@dataclass(frozen=True, slots=True)
class Result:
    """What a simulated fleet did."""

    builds_per_minute: float
    #: How busy each part was, 0 to 1.
    busy: dict[str, float]

    @property
    def limit(self) -> str:
        """The part that was busiest."""
        return max(self.busy, key=lambda part: self.busy[part])


class Fleet:
    """Workers with what they share, while they build."""

    def __init__(self, workers: int, costs: Costs, place: Place) -> None:
        self._env = simpy.Environment()
        self._costs = costs
        self._place = place
        self._workers = workers
        slots = workers * place.cores_per_worker
        self._cores = simpy.Resource(self._env, slots)
        self._shared = {part: simpy.Resource(self._env, 1) for part in ("broker", "S3", "channel")}
        self._busy: dict[str, float] = dict.fromkeys(["cores", *self._shared], 0.0)

    def build(self, count: int) -> Result:
        """Return what it takes to make ``count`` builds that are all asked for at once."""
        sizes = random.Random(count)
        for _ in range(count):
            self._env.process(self._one(sizes.random()))
        self._env.run()
        slots = {"cores": self._cores.capacity}
        busy = {
            part: seconds / slots.get(part, 1) / self._env.now
            for part, seconds in self._busy.items()
        }
        return Result(count / self._env.now * 60, busy)

    def _one(self, skew: float) -> Generator[Any, Any, None]:
        costs, place = self._costs, self._place
        new = 1 - costs.known
        yield from self._take("broker", 2 * costs.commands / place.commands_per_second)
        yield from self._compute(costs.solve_seconds)
        yield from self._move("channel", new * costs.archive_bytes, place.channel_bytes_per_second)
        yield from self._compute(costs.plan_seconds)
        shares = [1 + skew * number for number in range(costs.layers)]
        yield self._env.all_of(
            [
                self._env.process(self._layer(share / sum(shares) * new))
                for share in shares[: max(1, round(costs.layers * new))]
            ]
        )
        yield from self._take("S3", costs.requests / place.s3_requests_per_second)
        yield from self._compute(costs.finish_seconds)

    def _layer(self, share: float) -> Generator[Any, Any, None]:
        costs, place = self._costs, self._place
        yield from self._take("broker", costs.commands / place.commands_per_second)
        yield from self._compute(costs.layers_seconds * share)
        yield from self._move("S3", costs.layer_bytes * share, place.s3_bytes_per_second)

    def _compute(self, seconds: float) -> Generator[Any, Any, None]:
        with self._cores.request() as core:
            yield core
            yield self._env.timeout(seconds)
            self._busy["cores"] += seconds

    def _move(self, part: str, size: float, per_second: float) -> Generator[Any, Any, None]:
        """Move bytes: the part is taken for its share of the time, the worker's link for all."""
        taken = size / per_second
        yield from self._take(part, taken)
        yield self._env.timeout(max(0.0, size / self._place.link_bytes_per_second - taken))

    def _take(self, part: str, seconds: float) -> Generator[Any, Any, None]:
        with self._shared[part].request() as turn:
            yield turn
            yield self._env.timeout(seconds)
            self._busy[part] += seconds


#: What ``make bench ONLY=throughput`` measured for ``EVERYDAY`` (its note has the stages), and the
#: sizes of what it makes.
MEASURED: Final = Costs(
    solve_seconds=0.2,
    plan_seconds=0.4,
    finish_seconds=0.3,
    layers_seconds=2.9,
    layers=15,
    archive_bytes=120e6,
    layer_bytes=140e6,
    known=0.0,
    commands=30,
    requests=400,
)
_WORKERS: Final = (1, 2, 5, 10, 20, 50, 100)
#: Builds that wait when the fleet begins.
_BUILDS: Final = 1000


def main() -> None:
    """Print how the fleet grows, when nothing is known yet and when most packages are."""
    console = Console(width=110)
    for known in (0.0, 0.8):
        costs = replace(MEASURED, known=known)
        table = Table(
            "workers", "builds a minute", "for each worker", "cores", "broker", "S3", "channel"
        )
        for workers in _WORKERS:
            result = Fleet(workers, costs, Place()).build(_BUILDS)
            table.add_row(
                str(workers),
                f"{result.builds_per_minute:.0f}",
                f"{result.builds_per_minute / workers:.1f}",
                *(f"{busy:.0%}" for busy in result.busy.values()),
            )
        console.print(f"{known:.0%} of the packages are known")
        console.print(table)


if __name__ == "__main__":
    main()
