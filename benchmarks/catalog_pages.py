"""``catalog-pages``: how long lists, searches and their pages take in a large catalog.

Ten thousand environments with a hundred thousand versions lie in SQLite and in PostgreSQL. One
server is asked over HTTP, one request after the other, by somebody who sees everything and by
somebody who sees a tenth: the first page, and one far behind. The figure is the 95th percentile of
whatever is slowest.
"""

import asyncio
import math
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Final

import httpx

from benchmarks.bench import Bench
from benchmarks.catalog_rows import ADMINISTRATOR, FULL, OLD, SHORT, USER, secret_of, write
from benchmarks.figure import Figure
from conformance.clients.server import Server
from conformance.postgres import PostgresServer

_API: Final = "/api/v1"
_NAMESPACE: Final = f"{_API}/namespaces/{OLD.partition('/')[0]}"
_ENVIRONMENT: Final = f"{_NAMESPACE}/environments/{OLD.partition('/')[2]}"
_ENVIRONMENTS: Final = f"{_API}/environments?limit=100"

#: What both are asked. ``{deep}`` is the cursor of a page near the end of what comes before it.
_EVERYBODY: Final = {
    "namespaces": f"{_API}/namespaces?limit=100",
    "namespaces, deep": f"{_API}/namespaces?limit=10&{{deep}}",
    "namespaces by name": f"{_API}/namespaces?search=am-000",
    "a namespace": _NAMESPACE,
    "all environments": _ENVIRONMENTS,
    "all environments, deep": f"{_ENVIRONMENTS}&{{deep}}",
    "by name": f"{_ENVIRONMENTS}&search=env-0",
    "by name, deep": f"{_ENVIRONMENTS}&search=env-0&{{deep}}",
    "by description": f"{_ENVIRONMENTS}&search=number+177+is",
    "by no name": f"{_ENVIRONMENTS}&search=nothing+like+it",
    "by package": f"{_ENVIRONMENTS}&package=package-14",
    "by package, deep": f"{_ENVIRONMENTS}&package=package-14&{{deep}}",
    "by everybody's package": f"{_ENVIRONMENTS}&package=openssl",
    "by everybody's package, deep": f"{_ENVIRONMENTS}&package=openssl&{{deep}}",
    "by no package": f"{_ENVIRONMENTS}&package=none",
    "by version": f"{_ENVIRONMENTS}&package=openssl&version=3.4.10",
    "by version, deep": f"{_API}/environments?limit=5&package=openssl&version=3.4.10&{{deep}}",
    "by no version": f"{_ENVIRONMENTS}&package=openssl&version=9",
    "environments of a namespace": f"{_NAMESPACE}/environments?limit=100",
    "environments of a namespace, deep": f"{_NAMESPACE}/environments?limit=10&{{deep}}",
    "by name in a namespace": f"{_NAMESPACE}/environments?search=env",
    "by version in a namespace": f"{_NAMESPACE}/environments?package=openssl&version=3.4.10",
    "an environment": _ENVIRONMENT,
    "its versions": f"{_ENVIRONMENT}/versions?limit=100",
    "its versions, deep": f"{_ENVIRONMENT}/versions?limit=100&{{deep}}",
    "a version": f"{_ENVIRONMENT}/versions/3",
    "its packages": f"{_ENVIRONMENT}/versions/10/packages?limit=100",
    "its layers": f"{_ENVIRONMENT}/versions/10/layers",
    "its progress": f"{_ENVIRONMENT}/versions/10/progress",
    "how it differs": f"{_ENVIRONMENT}/diff/9/10?quick=1",
    "an environment and how it is doing": f"{_ENVIRONMENT}?details=1",
    "all environments and how they are doing": f"{_ENVIRONMENTS}&details=1",
    "a namespace's and how they are doing": f"{_NAMESPACE}/environments?limit=100&details=1",
    "who has everybody's package": f"{_API}/packages/openssl/environments?limit=100",
    "who has a package": f"{_API}/packages/package-14/environments?limit=100",
    "who has versions of it": f"{_API}/packages/openssl/environments?version=%3E%3D3.4,%3C3.5",
    "who has none": f"{_API}/packages/openssl/environments?version=%3E9",
    "its active version": f"{_ENVIRONMENT}/active",
    "its access": f"{_ENVIRONMENT}/access",
    "its events": f"{_ENVIRONMENT}/events?limit=100",
    "its events, deep": f"{_ENVIRONMENT}/events?limit=100&{{deep}}",
    "events of a namespace": f"{_NAMESPACE}/events?limit=100",
    "events of a namespace, deep": f"{_NAMESPACE}/events?limit=100&{{deep}}",
    "all events": f"{_API}/events?limit=100",
    "all events, deep": f"{_API}/events?limit=100&after=500",
    "roles in a namespace": f"{_NAMESPACE}/grants?limit=100",
    "tokens": f"{_API}/tokens?limit=100",
    "tokens, deep": f"{_API}/tokens?limit=10&{{deep}}",
    "who I am": f"{_API}/users/me",
    "tags of an image": f"/v2/{OLD}/tags/list?n=100",
}
_ADMINISTRATORS: Final = {
    "all roles": f"{_API}/grants?limit=100",
    "all roles, deep": f"{_API}/grants?limit=100&{{deep}}",
    "tokens of somebody": f"{_API}/tokens?user={USER}&limit=100",
    "catalog of images": "/v2/_catalog?n=100",
    "catalog of images, deep": "/v2/_catalog?n=100&last=team-0007/env-00007",
}


def measure(bench: Bench) -> Figure:
    """Return the slowest 95th percentile of all requests, in milliseconds."""
    rounds = 3 if bench.short else 100
    found: dict[str, list[float]] = {}
    with closing(servers(bench, "catalog")) as both:
        for kind, server in both:
            for who in (ADMINISTRATOR, USER):
                asked = _EVERYBODY | (_ADMINISTRATORS if who == ADMINISTRATOR else {})
                with _client(server.url, who) as http:
                    for name, taken in _measured(http, asked, rounds).items():
                        found[f"{name} ({who}, {kind})"] = taken
    return slowest_figure(found, rounds, "requests")


def servers(
    bench: Bench, name: str, **settings: object
) -> Generator[tuple[str, Server], None, None]:
    """Yield a server over each database, in which a large catalog is; it ends with the next.

    Args:
        bench: Has directories.
        name: Of that of the store.
        settings: Of the servers.
    """
    size = SHORT if bench.short else FULL
    store = bench.directory(name) / "store"
    store.mkdir()
    lite = f"sqlite:///{store}/database/pullforge.db"
    with PostgresServer() as postgres:
        for kind, url in (("SQLite", lite), ("PostgreSQL", postgres.database())):
            asyncio.run(write(url, size))
            place = store if kind == "SQLite" else None
            with bench.server(place, database=url, **settings) as server:
                yield kind, server


def slowest_figure(found: Mapping[str, list[float]], rounds: int, what: str) -> Figure:
    """Return the slowest 95th percentile of what was taken each time, by name, in milliseconds."""
    p95 = {name: percentile(taken, 0.95) for name, taken in found.items()}
    slowest = sorted(p95, key=lambda name: -p95[name])
    middle = percentile(list(p95.values()), 0.5)
    note = "; ".join(f"{name} {p95[name]:.0f} ms" for name in slowest[:4])
    return Figure(p95[slowest[0]], rounds, f"of {len(p95)} {what} half ≤ {middle:.1f} ms; {note}")


def _client(url: str, who: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {secret_of(who)}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


def _measured(http: httpx.Client, asked: Mapping[str, str], rounds: int) -> dict[str, list[float]]:
    """Return how long each request took, each time, in milliseconds."""
    paths = {name: _with_cursor(http, path) for name, path in asked.items()}
    found: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(rounds):
        # In turn: what slows the machine down for a while falls on all of them.
        for name, path in paths.items():
            before = time.perf_counter()
            answer = http.get(path)
            found[name].append(1000 * (time.perf_counter() - before))
            assert answer.status_code == httpx.codes.OK, f"{name}: {answer.text}"
    return found


def _with_cursor(http: httpx.Client, path: str) -> str:
    """Return the address of the last page that is followed by another."""
    first, deep, _ = path.partition("{deep}")
    if not deep:
        return path
    first = first.rstrip("&")
    after, found = "", first
    while True:
        more = httpx.QueryParams({"after": after}) if after else ""
        page = f"{first}&{more}" if more else first
        following = http.get(page).raise_for_status().json()["next"]
        if following is None:
            return found
        found, after = page, following


def percentile(values: list[float], share: float) -> float:
    """Return what the share of values does not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * share) - 1]
