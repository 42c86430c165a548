"""``throughput``: builds a minute of many new environments with two workers, against one.

All are asked for at once; generated, of the same size, with packages in common, as the environments
of a company are. A worker is held to one processor, and so is what it starts. The server, Redis and
the channel are on the same machine: with two processors they take from the second worker.
"""

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from benchmarks.bench import Bench
from benchmarks.figure import Figure, interleaved, medians
from conformance.channel.server import ChannelServer
from conformance.clients.images import HEADERS
from conformance.clients.server import Server
from conformance.workers.brokers import RedisServer
from conformance.workers.stacks import stack, write_stacks
from conformance.workers.worker import Worker

_STACKS: Final = 100
_SHORT_STACKS: Final = 10
#: 10 MB in each, in a few large layers' worth of small packages.
_PACKAGES_OF_EACH: Final = 20
_PACKAGES: Final = 200
_PACKAGE_BYTES: Final = 500_000
_TIMEOUT_SECONDS: Final = 1800
#: What the stages of a build are, by kind of task: its own time, and until it was begun.
_KINDS: Final = ("solve", "build", "layer")


def measure(bench: Bench) -> Figure:
    """Return how many times as many builds two workers do as one."""
    stacks = _SHORT_STACKS if bench.short else _STACKS
    directory = bench.directory("channel")
    write_stacks(
        directory,
        # One more, which workers see before: what they do once is not measured.
        stacks=stacks + 1,
        of=_PACKAGES_OF_EACH,
        packages=_PACKAGES,
        package_bytes_each=_PACKAGE_BYTES,
    )
    notes: dict[int, str] = {}
    with ChannelServer(directory) as channel:

        def builds_a_minute(workers: int) -> float:
            seconds, notes[workers] = _build_all(bench, channel.url, stacks, workers)
            return 60 * stacks / seconds

        runs = bench.runs(3)
        found = medians(interleaved(runs, {str(n): partial(builds_a_minute, n) for n in (1, 2)}))
    note = (
        f"{found['1']:.0f} builds a minute with one worker, {found['2']:.0f} with two;"
        + "".join(f" a build of {workers}: {text};" for workers, text in notes.items())
    )
    return Figure(found["2"] / found["1"], runs, note.rstrip(";"))


def _build_all(bench: Bench, channel_url: str, stacks: int, count: int) -> tuple[float, str]:
    """Return how long ``count`` workers take for all of it, and on what."""
    with ExitStack() as services:
        redis = services.enter_context(RedisServer())
        settings: dict[str, object] = {
            **redis.settings,
            "channels": {"conda-forge": channel_url},
            "workers": 1,
        }
        server = services.enter_context(bench.server(None, **settings))
        home = bench.directory("workers")
        workers = [
            services.enter_context(_worker(home / str(number), server, number))
            for number in range(count)
        ]
        asyncio.run(_pull(server, range(stacks, stacks + 1)))
        before = _stages(workers)
        started = time.monotonic()
        asyncio.run(_pull(server, range(stacks)))
        seconds = time.monotonic() - started
        after = _stages(workers)
        each = {name: (after[name] - before[name]) / stacks for name in after}
    return seconds, ", ".join(f"{name} {value:.2f} s" for name, value in each.items())


def _worker(home: Path, server: Server, processor: int) -> Worker:
    return Worker(home, server.settings, processor=processor)


def _stages(workers: list[Worker]) -> dict[str, float]:
    """Return seconds by stage, summed over all builds and workers."""

    def total(name: str, **labels: str) -> float:
        return sum(worker.metric(name, **labels) for worker in workers)

    stages = {}
    for kind in _KINDS:
        stages[kind] = total("pullforge_task_seconds_sum", kind=kind)
        stages[f"{kind} waits"] = total("pullforge_task_wait_seconds_sum", kind=kind)
    stages["assembly"] = total("pullforge_layer_assembly_seconds_sum")
    return stages


async def _pull(server: Server, numbers: range) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_SECONDS),
        httpx.AsyncClient(
            headers=HEADERS,
            follow_redirects=True,
            timeout=60,
            limits=httpx.Limits(max_connections=len(numbers)),
        ) as http,
    ):
        await asyncio.gather(*(_get(http, server, stack(number)) for number in numbers))


async def _get(http: httpx.AsyncClient, server: Server, name: str) -> None:
    """Ask until there is an answer."""
    repository, _, tag = name.partition(":")
    while True:
        answer = await http.get(f"{server.url}/v2/{repository}/manifests/{tag}")
        if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
            answer.raise_for_status()
            return
        await asyncio.sleep(float(answer.headers["Retry-After"]))
