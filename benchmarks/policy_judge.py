"""``policy-judge``: how long until a new policy and an advisory have judged ten thousand locks.

Each is the lock of an environment of its own, with a hundred of twenty thousand exact packages. A
policy with denied packages, licences, an age, limits, a required package and two thousand
advisories is set; then an advisory comes whose package three hundred locks have. What is measured
is from when the server knows of it until all findings and events are written, over SQLite and over
PostgreSQL; the longest counts.
"""

import asyncio
import hashlib
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from time import perf_counter
from typing import Any, Final

from sqlalchemy import Table, func, insert, select, update

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from builder.rules.model import Advisory, Affected, AffectedRange
from conformance.postgres import PostgresServer
from registry.catalog.assessing import Assessor
from registry.catalog.judging import Judging
from registry.database import Database, open_database, tables
from registry.database.export import continue_sequences
from registry.images.processes import LocalProcesses
from registry.policy.book import PolicyBook
from registry.policy.policy import read_policy
from tests.registry.catalog.many import fill

_LOCKS: Final = 10_000
_NAMES: Final = 4000
_VERSIONS: Final = 5
_OF_EACH: Final = 100
#: So many locks have the package that the advisory is about.
_HIT: Final = 300
_ADVISORIES: Final = 2000
_BATCH: Final = 5000
_LICENCES: Final = ("MIT", "BSD-3-Clause", "Apache-2.0", "LGPL-2.1-or-later", "", "PSF-2.0")
_POLICY: Final = """
[packages]
denied = ["package-7 1.0.0", "evil", "left-pad <2"]
required = ["package-0"]
[licences]
denied = ["GPL-3.0-*", "AGPL-*"]
[age]
minimum = "7 days"
[advisories]
minimum_severity = "high"
[limits]
packages = 500
size = "5 GB"
[platforms]
allowed = ["linux-64"]
"""


def measure(bench: Bench) -> Figure:
    """Return the seconds until all is judged."""
    locks = 500 if bench.short else _LOCKS
    runs = bench.runs(3)
    sqlite = f"sqlite:///{bench.directory('judge') / 'pullforge.db'}"
    seconds = {"SQLite": asyncio.run(_measured(sqlite, locks, runs))}
    with PostgresServer() as postgres:
        seconds["PostgreSQL"] = asyncio.run(_measured(postgres.database(), locks, runs))
    note = f"{locks} locks with {locks * _OF_EACH} packages; " + "; ".join(
        f"{name}: a policy {first:.2f} s, an advisory {second:.2f} s"
        for name, (first, second) in seconds.items()
    )
    return Figure(max(max(each) for each in seconds.values()), runs, note)


async def _measured(url: str, locks: int, runs: int) -> tuple[float, float]:
    """Return the medians of seconds for a policy, and for an advisory."""
    async with open_database(url) as database:
        await database.upgrade()
        await _write(database, locks)
        with closing(LocalProcesses(2)) as workers:
            await workers.start()
            policies, advisories = [], []
            for _ in range(runs):
                book = PolicyBook()
                judging = Judging(database, book, Assessor(database, workers), "bench")
                await judging.look()
                book.put_advisories(_known())
                policies.append(await _until(judging, book, database, hits=False))
                book.put_advisories((*_known(), _new()))
                advisories.append(await _until(judging, book, database, hits=True))
    return sorted(policies)[runs // 2], sorted(advisories)[runs // 2]


async def _until(judging: Judging, book: PolicyBook, database: Database, *, hits: bool) -> float:
    if not hits:
        policy = await asyncio.to_thread(
            read_policy, "company", _POLICY, version=1, source="database"
        )
    started = perf_counter()
    if not hits:
        book.put_policy(policy)
    assert await judging.look()
    seconds = perf_counter() - started
    async with database.reading() as connection:
        table = tables.finding
        found = (
            await connection.execute(
                select(func.count()).where(table.c.advisory == "GHSA-new", table.c.key != "")
            )
        ).scalar_one()
    assert (found > 0) == hits, found
    return seconds


def _known() -> tuple[Advisory, ...]:
    return tuple(
        Advisory(
            f"GHSA-{number:04}",
            (Affected("conda", f"other-{number}", (AffectedRange("0", fixed="1.0"),)),),
            severity="high",
        )
        for number in range(_ADVISORIES)
    )


def _new() -> Advisory:
    affected = Affected("conda", "vulnerable", (AffectedRange("0", fixed="3.0.8"),))
    return Advisory("GHSA-new", (affected,), severity="critical")


async def _write(database: Database, locks: int) -> None:
    """Write environments with one version each, whose locks have rows as built ones have."""
    chosen = random.Random(1)
    await fill(database, namespaces=100, environments=locks, versions=1, packages=0)
    exact = [
        ("package-" + str(one // _VERSIONS), f"1.{one % _VERSIONS}.0")
        for one in range(_NAMES * _VERSIONS)
    ]
    exact.append(("vulnerable", "3.0.1"))
    published = int((database.now() - timedelta(days=100)).timestamp() * 1000)
    keys = [hashlib.sha256(str(one).encode()).hexdigest()[:32] for one in range(locks)]

    def packages() -> Iterator[dict[str, Any]]:
        for number, (name, version) in enumerate(exact, 1):
            yield {
                "id": number,
                "facts": f"{number:032}",
                "manager": "conda",
                "name": name,
                "version": version,
                "build": "h0_0",
                "channel": "https://conda.example/main",
                "licence": _LICENCES[number % len(_LICENCES)],
                "published_ms": published,
                "project": "",
                "size_bytes": 1_000_000,
            }

    def having() -> Iterator[dict[str, Any]]:
        for lock, key in enumerate(keys):
            names = [0, *chosen.sample(range(8, _NAMES), _OF_EACH - 2)]
            numbers = [name * _VERSIONS + chosen.randrange(_VERSIONS) for name in names]
            if lock < _HIT:
                numbers.append(len(exact) - 1)
            for number in numbers:
                yield {
                    "key": key,
                    "platform": "linux-64",
                    "manager": "conda",
                    "name": exact[number][0],
                    "version": exact[number][1],
                    "build": "h0_0",
                    "channel": "https://conda.example/main",
                    "package_id": number + 1,
                }

    def sums() -> Iterator[dict[str, Any]]:
        for key in keys:
            yield {
                "key": key,
                "platform": "linux-64",
                "base": "docker.io/library/debian:12",
                "packages": _OF_EACH,
                "size_bytes": _OF_EACH * 1_000_000,
            }

    rows: list[tuple[Table, Iterator[dict[str, Any]]]] = [
        (tables.package, packages()),
        (tables.lock_platform, sums()),
        (tables.lock_package, having()),
    ]
    for table, some in rows:
        await _insert(database, table, some)
    version, environment = tables.version, tables.environment
    async with database.writing() as connection:
        for number, key in enumerate(keys, 1):
            one = version.c.environment_id == number
            await connection.execute(update(version).where(one).values(key=key))
            one = environment.c.id == number
            await connection.execute(update(environment).where(one).values(active_key=key))
        if database.is_shared:
            await continue_sequences(connection)


async def _insert(database: Database, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            async with database.writing() as connection:
                await connection.execute(insert(table), batch)
            batch = []
    if batch:
        async with database.writing() as connection:
            await connection.execute(insert(table), batch)
