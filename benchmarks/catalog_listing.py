"""``catalog-listing`` and ``conda-store-list``: a hundred environments listed, against conda-store.

conda-store-server of PyPI and our server list the first hundred of the same ten thousand, for
somebody who has logged in and sees everything, over PostgreSQL. Each has one half of the
processors, with the database, and wrk the other. conda-store has two addresses for it; the faster
one is compared: with the list of our API, or with the slower of ours for clients of conda-store.
"""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

import httpx

from benchmarks.bench import Bench
from benchmarks.catalog_rows import ADMINISTRATOR, FULL, SHORT, secret_of, write
from benchmarks.conda_store import CondaStore
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.processes import halves, on_processors
from benchmarks.wrk import Wrk
from conformance.conda_store.homes import server_home
from conformance.postgres import PostgresServer

_CONNECTIONS: Final = 4


def measure(bench: Bench) -> Figure:
    """Return our lists a second as a multiple of conda-store's."""
    return _measure(bench, {"ours": "/api/v1/environments?limit=100"})


def measure_wire(bench: Bench) -> Figure:
    """Return the same of lists that clients of conda-store ask for, with counts."""
    ours = {
        "ours v1": "/conda-store/api/v1/environment/?size=100",
        "ours v2": "/conda-store/api/v2/environment/?limit=100&sort_by=namespace,name",
    }
    return _measure(bench, ours)


def _measure(bench: Bench, addresses: Mapping[str, str]) -> Figure:
    """Return the lists a second of the slowest of our addresses as a multiple of conda-store's."""
    size = SHORT if bench.short else FULL
    servers, clients = halves()
    assert bench.channel.url  # which runs anywhere
    server_home()
    with ExitStack() as stack:
        with on_processors(servers):
            postgres = stack.enter_context(PostgresServer())
            database = postgres.database()
            asyncio.run(write(database, size))
            ours = stack.enter_context(bench.server(database=database))
            home = bench.directory("conda-store")
            theirs = stack.enter_context(CondaStore(home, postgres.database()))
        theirs.write(size)
        token, cookie = f"Authorization: Bearer {secret_of(ADMINISTRATOR)}", theirs.log_in()
        asked = {name: (f"{ours.url}{address}", token) for name, address in addresses.items()}
        asked["conda-store v1"] = (f"{theirs.url}/api/v1/environment/?size=100", cookie)
        asked["conda-store v2"] = (f"{theirs.url}/api/v2/environment/?limit=100", cookie)
        listed = {name: _listed(*one) for name, one in asked.items()}
        first = next(iter(listed.values()))
        assert len(first) == 100
        assert all(one == first for one in listed.values()), listed
        seconds = 3 if bench.short else 10
        asks = {
            name: Wrk(url, seconds, [header], _CONNECTIONS) for name, (url, header) in asked.items()
        }
        runs = bench.runs(3)
        with on_processors(clients):
            found = medians(interleaved(runs, {name: wrk.rate for name, wrk in asks.items()}))
    rate = min(found[name] for name in addresses)
    theirs_rate = max(one for name, one in found.items() if name not in addresses)
    note = "lists a second: " + "; ".join(
        f"{name} {one:.3g}, p99 {asks[name].p99_ms:.0f} ms" for name, one in found.items()
    )
    # Not one in all the time that there was is less than one.
    return Figure(rate / max(theirs_rate, 1 / seconds), runs, note)


def _listed(url: str, header: str) -> list[str]:
    """Return the paths of the environments that an answer has, in order."""
    name, _, value = header.partition(": ")
    answer: dict[str, Any] = httpx.get(url, headers={name: value}, timeout=60).json()
    if "items" in answer:
        return [one["path"] for one in answer["items"]]
    return [f"{one['namespace']['name']}/{one['name']}" for one in answer["data"]]
