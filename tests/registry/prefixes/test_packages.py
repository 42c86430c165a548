"""Packages are unpacked once, whoever wants them."""

import asyncio
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from builder.ports import Workers
from registry.errors import PrefixSourceUnavailable
from registry.images.processes import LocalProcesses
from registry.prefixes.packages import PackageDirectory
from registry.prefixes.passing import VersionFiles
from registry.prefixes.root import Root
from tests.registry.prefixes.shelf import (
    OPTIONS,
    Shelf,
    Threads,
    hello,
    keep,
    names_in,
    tool,
    until,
)

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
Result = TypeVar("Result")


def directory(path: Path) -> PackageDirectory:
    root = Root(path, OPTIONS)
    root.open()
    return PackageDirectory(root, Threads())


async def ensure(packages: PackageDirectory, shelf: Shelf, name: str) -> int:
    version = shelf.versions["a", name, 1]
    plan = await shelf.installation(version, "linux-64")
    return await packages.ensure(plan, VersionFiles(shelf, version))


class OneFails:
    """Fails for the first; the others go on when they may, and write then."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._have_begun = threading.Barrier(2, timeout=60)
        self._begun = itertools.count()
        self.may_go_on = threading.Event()
        self.ended = 0

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        is_first = next(self._begun) == 0

        def run() -> Result:
            self._have_begun.wait()
            if is_first:
                raise OSError("no room")
            assert self.may_go_on.wait(60)
            result = function(*args, **kwargs)
            self.ended += 1
            return result

        return await self._workers.run(run)


def fetched(shelf: Shelf) -> list[int]:
    return [count for what, count in shelf.asked.items() if what.startswith("package")]


async def test_whoever_wants_the_same_waits_for_it(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a/one", 1, tool(), hello())
    shelf.put("a/two", 1, tool(), hello(), tool("third"))
    mine, others = directory(tmp_path / "root"), directory(tmp_path / "root")
    sizes = await asyncio.gather(
        ensure(mine, shelf, "one"), ensure(mine, shelf, "two"), ensure(others, shelf, "two")
    )
    assert fetched(shelf) == [1, 1, 1]
    assert sum(sizes) > 0
    assert await ensure(mine, shelf, "two") == 0
    assert names_in(tmp_path / "root/.packages/.making") == []


async def test_who_waited_goes_on_when_the_other_is_cancelled(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a/one", 1, tool())
    gate = asyncio.Event()
    shelf.before_package = gate.wait
    packages = directory(tmp_path / "root")
    first = asyncio.create_task(ensure(packages, shelf, "one"))
    await until(lambda: fetched(shelf))
    second = asyncio.create_task(ensure(packages, shelf, "one"))
    await until(lambda: shelf.asked["installation"] == 2)
    first.cancel()
    gate.set()
    assert await second > 0
    with pytest.raises(asyncio.CancelledError):
        await first
    assert fetched(shelf) == [2]


async def test_another_process_is_waited_for(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a/one", 1, tool())
    packages = directory(tmp_path / "root")
    began, go_on = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:

            async def tell() -> None:
                os.write(began[1], b"x")
                os.read(go_on[0], 1)

            shelf.before_package = tell
            asyncio.set_event_loop(None)
            asyncio.new_event_loop().run_until_complete(ensure(packages, shelf, "one"))
            os._exit(0)
        finally:
            os._exit(1)
    await asyncio.to_thread(os.read, began[0], 1)
    waiting = asyncio.create_task(ensure(packages, shelf, "one"))
    await until(lambda: shelf.asked["installation"])
    os.write(go_on[1], b"x")
    assert await waiting == 0
    assert not fetched(shelf), "the child has done it"
    assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0


async def test_bytecode_is_fetched_only_for_what_needs_it(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a/one", 1, tool(), tool("other"))
    shelf.put("a/two", 1, tool(), hello())
    packages = directory(tmp_path / "root")
    await ensure(packages, shelf, "one")
    assert shelf.asked["bytecode"] == 0
    await ensure(packages, shelf, "two")
    assert shelf.asked["bytecode"] == 1
    code = next(packages.path.glob("*/tree/lib/python3.11/site-packages/__pycache__/*.pyc"))
    assert code.read_bytes() == b"code"


async def test_what_is_whole_stays_when_the_rest_fails(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a/one", 1, tool(), tool("other"), tool("third"))
    numbers = iter(range(100))

    async def fail_the_third() -> None:
        if next(numbers) == 2:
            await until(lambda: len(names_in(packages.path)) == 2 + 2)  # and .making, .trash
            raise PrefixSourceUnavailable("the server has gone")

    shelf.before_package = fail_the_third
    packages = directory(tmp_path / "root")
    with pytest.raises(PrefixSourceUnavailable):
        await ensure(packages, shelf, "one")
    assert names_in(tmp_path / "root/.packages/.making") == []
    await ensure(packages, shelf, "one")
    assert sorted(fetched(shelf)) == [1, 1, 2]


async def test_whoever_fails_waits_until_nothing_more_is_written(tmp_path: Path) -> None:
    """A process goes on when the next package cannot be unpacked; nothing of it is left."""
    shelf = Shelf()
    shelf.put("a/one", 1, tool(), tool("other"))
    packages = directory(tmp_path / "root")
    workers = OneFails(packages.workers)
    packages.workers = workers
    task = asyncio.create_task(ensure(packages, shelf, "one"))
    assert not (await asyncio.wait({task}, timeout=0.3))[0], "one has failed, and one still writes"
    workers.may_go_on.set()
    with pytest.raises(OSError, match="no room"):
        await task
    assert workers.ended == 1
    assert names_in(tmp_path / "root/.packages/.making") == []


async def test_what_is_left_of_a_package_is_replaced(tmp_path: Path) -> None:
    shelf = Shelf()
    version = shelf.put("a/one", 1, tool())
    packages = directory(tmp_path / "root")
    plan = await shelf.installation(version, "linux-64")
    left = packages.path / plan.name_of(plan.packages[0])
    (left / "tree").mkdir(parents=True)
    await ensure(packages, shelf, "one")
    assert (left / "package.json").is_file()


async def test_processes_unpack(tmp_path: Path) -> None:
    workers = LocalProcesses(1)
    try:
        kept = keep(tmp_path / "root", workers=workers)
        kept.shelf.put("a/b", 1, tool(), hello())
        await kept.sync()
        assert kept.text("a/envs/b", "share/tool/text").startswith("tool 1.0")
    finally:
        workers.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_files_of_packages_and_prefixes_belong_to_the_owner_of_the_options(
    tmp_path: Path,
) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, owner=4321, group=4322))
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    prefix = (kept.path / "a/envs/b").resolve()
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in (prefix, *prefix.rglob("*"))}
    assert owners == {(4321, 4322)}
    assert (kept.path / "builds").stat().st_uid == 0, "others cannot exchange what is there"
    kept.shelf.remove("a/b")
    await kept.sync()
    assert kept.tree() == set()
