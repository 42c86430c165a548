"""``herd``: 200 clients ask for one new environment at once, against one client.

Measured from the first request until the last client has the manifest; each client follows the
redirects and comes back after a 429, as engines do. Every run has a new server and an empty store.
"""

import asyncio
import time
from typing import Final

import httpx

from benchmarks.bench import Bench
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.images import DOCKER, environment_of
from conformance.clients.images import ACCEPT
from conformance.clients.server import Server

_CLIENTS: Final = 200
_TIMEOUT_SECONDS: Final = 300


def measure(bench: Bench) -> Figure:
    """Return how many times as long the last of many waits as one alone."""
    name = environment_of(bench.short)
    solves: list[float] = []

    def seconds(clients: int) -> float:
        with bench.server() as server:
            taken = asyncio.run(_ask(server, name, clients))
            solves.append(server.metric("pullforge_solve_seconds_count"))
        return taken

    runs = bench.runs(3)
    found = medians(
        interleaved(runs, {"one": lambda: seconds(1), "all": lambda: seconds(_CLIENTS)})
    )
    note = (
        f"{found['one']:.2f} s for one client, {found['all']:.2f} s for {_CLIENTS};"
        f" at most {max(solves):.0f} solve each time"
    )
    return Figure(found["all"] / found["one"], runs, note)


async def _ask(server: Server, name: str, clients: int) -> float:
    limits = httpx.Limits(max_connections=clients)
    headers = {"Accept": ACCEPT, "User-Agent": DOCKER}
    async with httpx.AsyncClient(
        limits=limits, headers=headers, timeout=_TIMEOUT_SECONDS, follow_redirects=True
    ) as http:
        repository, _, tag = name.partition(":")
        url = f"{server.url}/v2/{repository}/manifests/{tag}"
        started = time.monotonic()
        await asyncio.gather(*(_get(http, url) for _ in range(clients)))
        return time.monotonic() - started


async def _get(http: httpx.AsyncClient, url: str) -> None:
    answer = await http.get(url)
    if answer.status_code == 429:
        await asyncio.sleep(float(answer.headers["Retry-After"]))
        await _get(http, url)
        return
    answer.raise_for_status()
