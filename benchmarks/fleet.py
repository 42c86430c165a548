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


#: One build of ``EVERYDAY`` (docs/performance.md): processor seconds by a profile of each stage,
#: requests counted at the store, commands at Redis, bytes as they are.
MEASURED: Final = Costs(
    solve_seconds=0.17,
    plan_seconds=0.4,
    finish_seconds=0.5,
    layers_seconds=2.76,
    layers=16,
    archive_bytes=120.7e6,
    layer_bytes=123.7e6,
    known=0.0,
    commands=52,
    requests=377,
)
_WORKERS: Final = (1, 2, 5, 10, 20, 50, 100)
#: Builds that wait when the fleet begins.
_BUILDS: Final = 1000


#: A mirror of the channel on the workers' network, and a bucket that S3 has spread by prefix.
_NEAR: Final = Place(
    channel_bytes_per_second=12.5e9, s3_bytes_per_second=50e9, s3_requests_per_second=55_000
)
_CASES: Final = {
    "nothing is known": (MEASURED, Place()),
    "80 % of the packages are known": (replace(MEASURED, known=0.8), Place()),
    "nothing is known, channel and S3 are ten times as fast": (MEASURED, _NEAR),
}


def main() -> None:
    """Print how the fleet grows."""
    console = Console(width=100)
    for words, (costs, place) in _CASES.items():
        table = Table("workers", "builds a minute", "each", "cores", "broker", "S3", "channel")
        for workers in _WORKERS:
            result = Fleet(workers, costs, place).build(_BUILDS)
            table.add_row(
                str(workers),
                f"{result.builds_per_minute:.0f}",
                f"{result.builds_per_minute / workers:.1f}",
                *(f"{busy:.0%}" for busy in result.busy.values()),
            )
        console.print(words)
        console.print(table)


if __name__ == "__main__":
    main()
