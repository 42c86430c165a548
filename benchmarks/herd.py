"""``herd``: 200 clients ask for one new environment at once, against one client.

Measured from the first request until the last client has the manifest; each client follows the
redirects and comes back after a 429, as engines do. Every run has a new server and an empty store.
"""

import asyncio
import time
from typing import Final
from urllib.parse import urljoin

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
    repository, _, tag = name.partition(":")
    path = f"/v2/{repository}/manifests/{tag}"
    started = time.monotonic()
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        await asyncio.gather(*(_get(server, path) for _ in range(clients)))
    return time.monotonic() - started


async def _get(server: Server, path: str) -> None:
    """Ask until there is an answer; by hand, since libraries would keep the processors busy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [f"GET {path} HTTP/1.1", f"Host: {server.host}", f"Accept: {ACCEPT}"]
    lines += [f"User-Agent: {DOCKER}", "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    head = (await reader.read()).partition(b"\r\n\r\n")[0].decode("latin-1")
    writer.close()
    status = head.split()[1]
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    if status == "307":
        await _get(server, urljoin(path, headers["location"]))
    elif status == "429":
        await asyncio.sleep(float(headers["retry-after"]))
        await _get(server, path)
    else:
        assert status == "200", head
