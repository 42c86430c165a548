"""``watching-start`` and ``watching-idle``: a server that watches ten thousand files.

Each file lies in a folder of its own, and defines an environment that was built long ago. A server
that has them in its catalog and watches nothing stands beside it.
"""

import asyncio
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import insert, update

from benchmarks import catalog_rows
from benchmarks.bench import Bench
from benchmarks.catalog_rows import ADMINISTRATOR, Size, secret_of
from benchmarks.figure import Figure
from benchmarks.processes import cpu_seconds, wait_for_rest
from conformance.clients.server import Server
from registry.database import Database, open_database, tables

_FULL: Final = Size(namespaces=100, environments=10_000, versions=1, people=10)
_SHORT: Final = Size(namespaces=10, environments=300, versions=1, people=10)
_SOURCE: Final = "files"
#: Three looks of a server whose settings say nothing of it.
_IDLE_SECONDS: Final = 90
_MOST_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Watched:
    """A directory and a catalog that has all of it."""

    files: Path
    store: Path
    size: Size

    def settings(self, bench: Bench) -> dict[str, object]:
        """Return what the settings of a server say of the directory."""
        watch = {
            "path": str(self.files),
            "name": _SOURCE,
            "patterns": ["{namespace}/{environment}/environment.yml"],
        }
        return {"watch": [watch], **({"watch_seconds": 2} if bench.short else {})}


def measure_start(bench: Bench) -> Figure:
    """Return the seconds from the start of the process until it has compared every file."""
    watched = _watched(bench)
    assert bench.channel.url
    taken, alone = [], []
    for _ in range(bench.runs(5)):
        started = time.monotonic()
        with _server(bench, watched, **watched.settings(bench)) as server:
            alone.append(time.monotonic() - started)
            _looked_at(server)
            taken.append(time.monotonic() - started)
            _require_nothing_new(server, watched)
    note = (
        f"{watched.size.environments:,} files; from {min(taken):.2f} to {max(taken):.2f} s, and it"
        f" answers requests after {statistics.median(alone):.2f} s"
    )
    return Figure(statistics.median(taken), len(taken), note)


def measure_idle(bench: Bench) -> Figure:
    """Return the share of a core that watching takes while nothing changes, in percent."""
    watched, seconds = _watched(bench), 6 if bench.short else _IDLE_SECONDS
    with ExitStack() as stack:
        watching = stack.enter_context(_server(bench, watched, **watched.settings(bench)))
        beside = stack.enter_context(_server(bench, watched))
        _looked_at(watching)
        pids = [server.pid for server in (watching, beside)]
        for pid in pids:
            wait_for_rest(pid)
        before = [cpu_seconds(pid) for pid in pids]
        time.sleep(seconds)
        there, else_ = (
            (cpu_seconds(pid) - used) / seconds for pid, used in zip(pids, before, strict=True)
        )
        noticed = _noticed_seconds(watching, watched)
    note = (
        f"{watched.size.environments:,} files, {seconds} s; {there * 100:.2f} % of a core, and"
        f" {else_ * 100:.2f} % where nothing is watched; a change is taken after {noticed:.2f} s"
    )
    return Figure((there - else_) * 100, 1, note)


@contextmanager
def _server(bench: Bench, watched: Watched, **settings: object) -> Iterator[Server]:
    """Run a server over a copy of the catalog."""
    store = bench.directory("watching") / "store"
    database = watched.store / "database" / "pullforge.db"
    (store / "database").mkdir(parents=True)
    (store / "database" / database.name).write_bytes(database.read_bytes())
    with bench.new_server(store, **settings) as server:
        yield server


@lru_cache(maxsize=1)
def _watched(bench: Bench) -> Watched:
    size = _SHORT if bench.short else _FULL
    watched = Watched(bench.directory("files"), bench.directory("catalog"), size)
    asyncio.run(_write(watched))
    return watched


async def _write(watched: Watched) -> None:
    """Write the files, and the catalog of a server that has taken all of them."""
    folder = watched.store / "database"
    folder.mkdir()
    url = f"sqlite:///{folder}/pullforge.db"
    await catalog_rows.write(url, watched.size)
    async with open_database(url) as database:
        await _write_files(database, watched)


async def _write_files(database: Database, watched: Watched) -> None:
    rows: list[dict[str, Any]] = []
    now = database.now()
    for number in range(watched.size.environments):
        path = f"team-{number % watched.size.namespaces:04}/env-{number:05}/environment.yml"
        text = _text(number)
        (watched.files / path).parent.mkdir(parents=True)
        (watched.files / path).write_bytes(text)
        sha256 = hashlib.sha256(text).hexdigest()
        more = {"source_id": 1, "environment_id": number + 1, "seen_at": now}
        rows.append({"path": path, "sha256": sha256, "problem": "", **more})
    source = {
        "id": 1,
        "name": _SOURCE,
        "kind": "directory",
        "location": str(watched.files),
        "patterns": ["{namespace}/{environment}/environment.yml"],
        "removed": "keep",
        "edits": "refuse",
        "is_declared": 1,
        "created_at": now,
        "updated_at": now,
    }
    async with database.writing() as connection:
        await connection.execute(insert(tables.source), [source])
        await connection.execute(insert(tables.source_file), rows)
        await connection.execute(update(tables.environment).values(source_id=1))


def _text(number: int, more: str = "") -> bytes:
    return f"dependencies: [python{more}]\nvariables: {{NUMBER: '{number}'}}\n".encode()


def _looked_at(server: Server) -> None:
    """Return when the server has compared every file since it was started."""
    _until(server, lambda: _source(server)["looked_at"] is not None)


def _noticed_seconds(server: Server, watched: Watched) -> float:
    """Return how long it takes until a file that was changed has a version."""
    address = "/namespaces/team-0000/environments/env-00000/versions"
    path = watched.files / "team-0000" / "env-00000" / "environment.yml"
    before = time.monotonic()
    path.write_bytes(_text(0, ", nothing-like-this"))
    try:
        _until(server, lambda: _get(server, address)["items"][0]["number"] > 1)
        return time.monotonic() - before
    finally:
        path.write_bytes(_text(0))


def _require_nothing_new(server: Server, watched: Watched) -> None:
    source = _source(server)
    assert (source["files"], source["problems"]) == (watched.size.environments, 0), source
    assert not _get(server, "/queue")["queued"]


def _source(server: Server) -> Any:
    return _get(server, "/sources/1")


def _get(server: Server, path: str) -> Any:
    headers = {"Authorization": f"Bearer {secret_of(ADMINISTRATOR)}"}
    answer = httpx.get(f"{server.url}/api/v1{path}", headers=headers, timeout=60)
    return answer.raise_for_status().json()


def _until(server: Server, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while not holds():
        assert time.monotonic() < deadline, server.log_end()
        time.sleep(0.05)
