"""A process that is killed anywhere in a pass leaves what the next pass makes equal."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from registry.prefixes import exchange
from registry.prefixes.finding import read_mark
from tests.registry.prefixes.shelf import Kept, Shelf, hello, keep, names_in, tool

#: What changes something on a disk.
EVENTS: Final = frozenset(
    {
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.remove",
        "os.symlink",
        "os.link",
        "os.chmod",
        "rename",
    }
)
WRITES: Final = os.O_WRONLY | os.O_RDWR


class Killer:
    """Kills its own process before the n-th change in a directory."""

    def __init__(self, root: Path, left: int) -> None:
        self._root = str(root)
        self._left = left

    def __call__(self, event: str, arguments: Sequence[object]) -> None:
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if event not in EVENTS and not is_write:
            return
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: int, kept: Kept) -> bool:
    """Make a pass in a child that is killed at a step; tell whether it got that far."""
    child = os.fork()
    if not child:
        try:
            sys.addaudithook(Killer(kept.path, step))
            renameat2 = exchange._renameat2

            def audited(*arguments: object) -> int:
                sys.audit("rename", *arguments)
                return renameat2(*arguments)  # type: ignore[arg-type] # as they came

            exchange._renameat2 = audited  # type: ignore[assignment] # calls the true one
            asyncio.run(kept.sync())
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
    return os.waitstatus_to_exitcode(status) != 0


def later(shelf: Shelf) -> None:
    """Have everything change."""
    shelf.put("a/switched", 2, tool(version="2.0"), hello())
    shelf.remove("a/gone")
    shelf.put("b/new", 1, tool(version="3.0"))


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A directory of a file system in memory, where nothing has to reach a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as path:
        yield Path(path)


@pytest.mark.parametrize("part", range(4))
def test_a_pass_that_was_killed_is_ended_by_the_next_one(quick_path: Path, part: int) -> None:
    shelf, at = Shelf(), quick_path / "root"
    for name in ("same", "harmed", "switched", "gone"):
        shelf.put(f"a/{name}", 1, tool(), tool(name))
    asyncio.run(keep(at, shelf).sync())
    harmed = shelf.versions["a", "harmed", 1].key
    next((at / "builds" / harmed / "conda-meta").glob("*.json")).unlink()
    (at / "a/envs/same").unlink()
    later(shelf)
    before = quick_path / "before"
    at.rename(before)
    shutil.copytree(before, at, symlinks=True)
    asyncio.run(keep(at, shelf).sync())
    equal, packages = keep(at, shelf).tree(), keep(at, shelf).packages()

    step = 2 * part + 1
    while True:
        shutil.rmtree(at)
        shutil.copytree(before, at, symlinks=True)
        kept = keep(at, shelf)
        if not killed_at(step, kept):
            break
        for name in ("switched", "harmed"):
            link = at / "a/envs" / name
            mark = read_mark(link)
            assert mark is not None, f"{name} is broken after step {step}"
            assert mark.prefix == str(link.resolve())
        report = asyncio.run(kept.sync())
        assert kept.tree() == equal, f"after step {step}"
        assert kept.packages() == packages, f"after step {step}"
        assert names_in(at) == [".making", ".packages", ".pullforge", ".trash", "a", "b", "builds"]
        assert not [name for name in names_in(at / ".pullforge") if name.startswith(".new")]
        assert report.prefixes == 4
        step += 8  # all parts together look at every other step
    assert step > 100
