"""``catalog-build``: from the request for a version until its image can be pulled.

The server has seen every package in other environments, and none of these together. Each file goes
to an environment of its own, with a personal token; the same token then gets the manifest.
"""

import asyncio
import itertools
import statistics
import time
from pathlib import Path
from typing import Final

import httpx

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.images import DOCKER, get_manifest
from conformance.clients.images import ACCEPT
from registry.catalog.principals import Principals
from registry.catalog.records import Actor
from registry.catalog.tokens import TokenStore
from registry.database import open_database

_USER: Final = "ada"
#: None of them needs another: each choice of some is another list of packages.
_LEAVES: Final = ("pandas", "matplotlib", "scikit-learn", "click", "rich")
_SHORT_LEAVES: Final = ("six", "click")


def measure(bench: Bench) -> Figure:
    """Return the seconds that it takes, the median over all files."""
    leaves = _SHORT_LEAVES if bench.short else _LEAVES
    store = bench.directory("catalog-build") / "store"
    store.mkdir()
    secret = asyncio.run(_token(store))
    with bench.server(store) as server:
        for leaf in leaves:
            get_manifest(server, f"env/{leaf}:latest")
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
            _post(http, "/namespaces", {"name": _USER})
            taken, built, digests = [], [], set()
            for names in _choices(leaves):
                before = time.monotonic()
                digest, version_seconds = _pullable(http, names)
                taken.append(time.monotonic() - before)
                built.append(version_seconds)
                digests.add(digest)
    assert len(digests) == len(taken), "each file has an image of its own"
    note = (
        f"{min(taken):.2f} to {max(taken):.2f} s, over {len(taken)} files;"
        f" the version is built after {statistics.median(built):.2f} s"
    )
    return Figure(statistics.median(taken), len(taken), note)


async def _token(store: Path) -> str:
    """Return a personal token of somebody, made before the server runs."""
    async with open_database(f"sqlite:///{store}/database/pullforge.db") as database:
        await Principals(database).create(Actor(None), _USER)
        _, secret = await TokenStore(database).create(Actor(None), _USER, "laptop")
    return secret


def _choices(leaves: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return all choices of at least two.

    >>> _choices(("six", "click"))
    [('six', 'click')]
    """
    sizes = range(2, len(leaves) + 1)
    return [one for size in sizes for one in itertools.combinations(leaves, size)]


def _pullable(http: httpx.Client, names: tuple[str, ...]) -> tuple[str, float]:
    """Return the digest of the image of a new version, and seconds until the version was built."""
    environment = "-".join(names)
    file = f"name: {environment}\ndependencies: [{', '.join(names)}]\n"
    before = time.monotonic()
    _post(http, f"/namespaces/{_USER}/environments", {"name": environment})
    version = http.post(
        f"/api/v1/namespaces/{_USER}/environments/{environment}/versions",
        content=file.encode(),
        headers={"Prefer": "wait=25"},
    ).raise_for_status()
    assert version.json()["state"] == "built", version.text
    seconds = time.monotonic() - before
    image = http.get(
        f"/v2/{_USER}/{environment}/manifests/latest",
        headers={"Accept": ACCEPT, "User-Agent": DOCKER},
        follow_redirects=True,
    ).raise_for_status()
    return image.headers["Docker-Content-Digest"], seconds


def _post(http: httpx.Client, path: str, document: dict[str, str]) -> None:
    http.post(f"/api/v1{path}", json=document).raise_for_status()
