"""``new-names``: what one client that asks for 1000 new names costs others' pulls of what there is.

The 99th percentile of warm manifests, in milliseconds, while the first of those names are built, as
a multiple of nginx's, which sends the same bytes in the same seconds on the same processors: what
the machine takes for being busy is in both. What each takes at rest stands beside it.
"""

import asyncio
import http.client
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.images import DOCKER, SMALL, get_manifest
from benchmarks.nginx import Nginx
from conformance.clients.images import ACCEPT
from conformance.clients.server import Server

_NAMES: Final = 1000
_CONNECTIONS: Final = 16
_TIMEOUT_SECONDS: Final = 120
_PAUSE_SECONDS: Final = 0.003
#: The bucket of one client is empty after so many; from then on nothing is built for it.
_BUILT: Final = 200
_HEADERS: Final = {"accept": ACCEPT, "user-agent": DOCKER}


def measure(bench: Bench) -> Figure:
    """Return our 99th percentile while names are built, as a multiple of nginx's."""
    seconds = 1 if bench.short else 6
    files = bench.directory("nginx")
    with Nginx(files) as nginx, bench.server() as server:
        (nginx.files / "manifest").write_bytes(get_manifest(server, SMALL).data)
        repository, _, tag = SMALL.partition(":")
        urls = [f"{server.url}/v2/{repository}/manifests/{tag}", f"{nginx.url}/manifest"]
        idle = _percentiles(urls, seconds)
        names = _names(bench)[: 40 if bench.short else _NAMES]
        busy, answers = asyncio.run(_beside(server, names, urls, seconds))
    found = [statistics.median(each) for each in zip(*busy, strict=True)]
    note = (
        f"{found[0]:.1f} ms here ({idle[0]:.1f} at rest), {found[1]:.1f} ms from nginx"
        f" ({idle[1]:.1f} at rest); {dict(sorted(answers.items()))}"
    )
    return Figure(found[0] / found[1], len(busy), note)


def _names(bench: Bench) -> list[str]:
    """Return environments of three packages each that nobody has asked for, mostly solvable."""
    indexes = bench.paths.channel.rglob("repodata.json")
    packages = {
        record["name"]
        for index in indexes
        for record in json.loads(index.read_text())["packages.conda"].values()
    }
    chosen = random.Random(1)
    ordered = sorted(name for name in packages if name[0].isalpha())
    return [".".join(sorted(chosen.sample(ordered, 3))) for _ in range(_NAMES)]


async def _beside(
    server: Server, names: Sequence[str], urls: Sequence[str], seconds: float
) -> tuple[list[list[float]], Counter[int]]:
    """Measure again and again while the names are asked for, as long as they are built."""
    left, answers = iter(names), Counter[int]()

    async def ask(client: httpx.AsyncClient) -> None:
        for name in left:
            reply = await client.get(f"{server.url}/v2/env/{name}/manifests/latest")
            answers[reply.status_code] += 1

    limits = httpx.Limits(max_connections=_CONNECTIONS)
    busy: list[list[float]] = []
    async with httpx.AsyncClient(
        headers=_HEADERS, timeout=_TIMEOUT_SECONDS, limits=limits, follow_redirects=True
    ) as client:
        asking = asyncio.gather(*(ask(client) for _ in range(_CONNECTIONS)))
        while not busy or (not asking.done() and answers[200] < _BUILT):
            busy.append(await asyncio.to_thread(_percentiles, urls, seconds))
        await asking
    return busy, answers


def _percentiles(urls: Sequence[str], seconds: float) -> list[float]:
    """Return the 99th percentile in milliseconds of each address, asked in turn."""
    places = [urlsplit(url) for url in urls]
    connections = [
        http.client.HTTPConnection(place.netloc, timeout=_TIMEOUT_SECONDS) for place in places
    ]
    taken: list[list[float]] = [[] for _ in urls]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for place, connection, times in zip(places, connections, taken, strict=True):
            started = time.perf_counter()
            connection.request("GET", place.path, headers=_HEADERS)
            reply = connection.getresponse()
            reply.read()
            times.append((time.perf_counter() - started) * 1000)
            assert reply.status == http.client.OK, reply.status
            time.sleep(_PAUSE_SECONDS)
    for connection in connections:
        connection.close()
    return [statistics.quantiles(times, n=100)[-1] for times in taken]
