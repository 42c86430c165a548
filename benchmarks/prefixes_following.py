"""``prefixes-idle`` and ``prefixes-follow``: a root of a server that runs beside it.

The idle one has a thousand environments, each with a prefix of its own, and nothing is to be done.
The following one has every package, and none of the prefixes that it is to make.
"""

import asyncio
import dataclasses
import hashlib
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import bindparam, update

from benchmarks import catalog_rows
from benchmarks.bench import Bench
from benchmarks.catalog_rows import ADMINISTRATOR, Size, secret_of
from benchmarks.figure import Figure
from benchmarks.prefixes_stock import Build, Stock, keeper, room
from benchmarks.processes import wait_for_rest
from conformance.accounts import ADMIN, Accounts
from conformance.catalog.person import Person
from conformance.clients.engines.program import Daemon
from conformance.clients.server import Server, command
from registry.database import open_database, tables
from registry.prefixes.server import Wanted, WantedVersion

_FULL: Final = Size(namespaces=20, environments=1000, versions=1, people=10)
_SHORT: Final = Size(namespaces=2, environments=30, versions=1, people=10)
#: What every environment of the idle root has; a few files.
_TINY: Final = "env/bzip2-tools:latest"
_PACKAGES: Final = ("matplotlib", "pandas", "scikit-learn")
_SHORT_PACKAGES: Final = ("python",)
_SPACE, _ENVIRONMENT = "team", "forecast"
_VERSIONS: Final = 12
_POLL_SECONDS: Final = 0.005
_MOST_SECONDS: Final = 120


def measure_idle(bench: Bench) -> Figure:
    """Return the seconds of ``pullforge prefixes sync`` where nothing is to be done."""
    size = _SHORT if bench.short else _FULL
    store = bench.directory("prefixes-idle") / "store"
    (store / "database").mkdir(parents=True)
    asyncio.run(_write(f"sqlite:///{store}/database/pullforge.db", size))
    with room(bench) as disk, bench.server(store) as server:
        root = disk / "root"
        asked = _fill(bench, server, disk, root)
        argv = _command(root, server, disk, secret_of(ADMINISTRATOR))
        seconds = []
        for _ in range(bench.runs(7) + 1):
            began = time.monotonic()
            done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=disk)
            seconds.append(time.monotonic() - began)
            assert done.returncode == 0, done.stdout + done.stderr
    # The first compiles what it imports.
    taken = seconds[1:]
    note = (
        f"{size.environments:,} environments; {min(taken):.2f} to {max(taken):.2f} s, of which the"
        f" server's answer takes {asked:.3f} s"
    )
    return Figure(statistics.median(taken), len(taken), note)


def measure_follow(bench: Bench) -> Figure:
    """Return the seconds from an activation until the link of a following root leads there."""
    packages = _SHORT_PACKAGES if bench.short else _PACKAGES
    count = 3 if bench.short else _VERSIONS
    accounts = Accounts(bench.directory("accounts") / "auth.toml")
    admin, path = Person(ADMIN), f"{_SPACE}/{_ENVIRONMENT}"
    with room(bench) as disk, bench.server(auth_file=accounts.path) as server:
        admin.must(server, "POST", "/namespaces", {"name": _SPACE})
        keys = {}
        for number in range(1, count + 1):
            text = f"dependencies: [{', '.join(packages)}]\nvariables: {{NUMBER: '{number}'}}\n"
            keys[number] = admin.build(server, path, text.encode())["key"]
        admin.activate(server, path, count)
        token = admin.must(server, "POST", "/tokens", {"name": "bench"})["secret"]
        link = disk / "root" / _SPACE / "envs" / _ENVIRONMENT
        with _following(_command(disk / "root", server, disk, token, "--follow"), disk):
            _until(link, keys[count])
            wait_for_rest(server.pid)
            made = [_activate(admin, server, link, number, keys) for number in range(1, count)]
            there = [_activate(admin, server, link, number, keys) for number in range(1, count)]
    note = (
        f"{min(made):.2f} to {max(made):.2f} s, over {len(made)} activations of prefixes that are"
        f" to be made; {statistics.median(there):.2f} s where the prefix is there"
    )
    return Figure(statistics.median(made), len(made), note)


async def _write(url: str, size: Size) -> None:
    """Write a catalog in which each environment has a build of its own."""
    await catalog_rows.write(url, size)
    rows = [
        {"one": number + 1, "its": hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()}
        for number in range(size.environments)
    ]
    of_version = update(tables.version).where(tables.version.c.environment_id == bindparam("one"))
    of_environment = update(tables.environment).where(tables.environment.c.id == bindparam("one"))
    async with open_database(url) as database, database.writing() as connection:
        await connection.execute(of_version.values(key=bindparam("its")), rows)
        await connection.execute(of_environment.values(active_key=bindparam("its")), rows)


def _fill(bench: Bench, server: Server, disk: Path, root: Path) -> float:
    """Make every prefix that the server tells of; return the seconds until it tells."""
    headers = {"Authorization": f"Bearer {secret_of(ADMINISTRATOR)}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
        began = time.monotonic()
        items = http.get("/api/v1/active-versions").raise_for_status().json()["items"]
        seconds = time.monotonic() - began
    (disk / "stock").mkdir()
    stock = Stock(bench.paths.channel, disk / "stock")
    tiny = stock.fetch(server, _TINY)
    versions = []
    for item in items:
        key = item["key"]
        stock.add(Build(dataclasses.replace(tiny.plan, key=key), tiny.bytecode))
        name = (item["namespace"], item["environment"], item["number"])
        versions.append(WantedVersion(*name, key, True, 1_700_000_000.0))
    asyncio.run(_keep(stock, root, versions))
    return seconds


async def _keep(stock: Stock, root: Path, versions: Sequence[WantedVersion]) -> None:
    async with keeper(stock) as keeping:
        await keeping.keep_wanted(root, Wanted(tuple(versions), "filled"))


def _command(root: Path, server: Server, disk: Path, secret: str, *more: str) -> list[str]:
    token = disk / "token"
    token.write_text(secret)
    token.chmod(0o600)
    options = ("--root", str(root), "--server", server.url, "--token-file", str(token))
    return command("prefixes", "sync", *options, *more)


@contextmanager
def _following(argv: list[str], disk: Path) -> Iterator[None]:
    log = disk / "follow.log"
    log.touch()
    daemon = Daemon(["env", "--default-signal=INT", *argv], log, dict(os.environ))
    daemon.start(lambda: True)
    try:
        yield
    finally:
        daemon.stop()


def _activate(
    admin: Person, server: Server, link: Path, number: int, keys: dict[int, str]
) -> float:
    began = time.monotonic()
    admin.activate(server, f"{_SPACE}/{_ENVIRONMENT}", number)
    _until(link, keys[number])
    return time.monotonic() - began


def _until(link: Path, key: str) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while not link.is_symlink() or link.readlink().name != key:
        assert time.monotonic() < deadline, f"{link} does not lead to {key}"
        time.sleep(_POLL_SECONDS)
