"""Roots on real file systems that have no room, cannot be written, or are several."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from conformance.channel.writer import Entry, Package
from registry.errors import RootUnusable
from registry.prefixes.status import read_status
from tests.builder.install.prefix.loop_disk import loop_disk
from tests.registry.prefixes.shelf import Kept, keep, names_in, tool

pytestmark = pytest.mark.anyio

MIB = 1 << 20


def large(name: str, size_bytes: int) -> Package:
    entry = Entry(f"lib/{name}.so", os.urandom(size_bytes))
    return Package(name, "1.0", subdir="linux-64", noarch=None, entries=[entry])


def many(name: str, number: int) -> Package:
    entries = [Entry(f"share/{name}/{n}", b"x") for n in range(number)]
    return Package(name, "1.0", subdir="linux-64", noarch=None, entries=entries)


async def call(*command: str | Path) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True)


async def require_old_state(kept: Kept, before: set[str]) -> None:
    """Make a pass for which there is no room, and see that all is as it was."""
    for _ in range(2):
        report = await kept.run()
        told = [one for one in report.problems if not one.about]
        assert len(told) == len(report.problems) == 1
        assert f"{kept.path} has no room left for a/b v2 (" in told[0].sentence
        assert "all that was there is as it was" in told[0].sentence
        assert before <= kept.tree()
        assert kept.text("a/envs/b", "share/tool/text").startswith("tool 1.0")


@pytest.mark.parametrize(
    ("options", "packages"),
    [
        ([], [large(f"large{n}", 12 * MIB) for n in range(3)]),
        (["-N", "256"], [many(f"many{n}", 120) for n in range(3)]),
    ],
    ids=["bytes", "inodes"],
)
async def test_without_room_all_stays_as_it_was(
    options: list[str], packages: list[Package]
) -> None:
    with loop_disk("ext4", 32, options) as disk:
        kept = keep(disk / "root")
        kept.shelf.put("a/b", 1, tool())
        await kept.sync()
        before = kept.tree()
        kept.shelf.put("a/b", 2, tool(version="2.0"), *packages)
        await require_old_state(kept, before)
        assert "are free" in read_status(kept.path).problems[0].sentence

        kept.shelf.put("a/b", 3, tool(version="3.0"))
        await kept.sync()
        assert kept.packages() == {"tool 3.0"}, "what was unpacked in vain is gone"


async def test_what_there_is_room_for_is_made(tmp_path: Path) -> None:
    with loop_disk("ext4", 32) as disk:
        kept = keep(disk / "root")
        kept.shelf.put("a/large", 1, large("large", 40 * MIB))
        await kept.run()
        kept.shelf.put("z/z", 1, tool())
        report = await kept.run()
        assert len(report.problems) == 1
        assert f"{kept.path} has no room left for a/large v1 (" in report.problems[0].sentence
        assert kept.text("z/envs/z", "share/tool/text").startswith("tool 1.0")


async def test_a_root_that_cannot_be_written_is_told_of_in_a_sentence() -> None:
    with loop_disk("ext4", 32) as disk:
        kept = keep(disk / "root")
        kept.shelf.put("a/b", 1, tool())
        await kept.sync()
        await call("mount", "-o", "remount,ro", disk)
        kept.shelf.put("a/b", 2, tool(version="2.0"))
        with pytest.raises(RootUnusable, match="Read-only file system; nothing was changed"):
            await kept.run()
        await call("mount", "-o", "remount,rw", disk)
        await kept.sync()


async def test_a_namespace_may_be_a_file_system_of_its_own(tmp_path: Path) -> None:
    with loop_disk("ext4", 32) as disk:
        kept = keep(tmp_path / "root")
        (kept.path / "a").mkdir(parents=True)
        await call("mount", "--bind", disk, kept.path / "a")
        try:
            old = kept.shelf.put("a/b", 1, tool())
            await kept.sync()
            kept.shelf.put("a/b", 2, tool(version="2.0"))
            (disk / "envs/.pullforge-left").symlink_to(f"../../builds/{old.key}")
            await kept.sync()
            assert kept.text("a/envs/b", "share/tool/text").startswith("tool 2.0")
            assert names_in(kept.path / "a/envs") == ["b", "b@v2"]
        finally:
            await call("umount", kept.path / "a")


async def test_packages_may_be_a_file_system_of_their_own(tmp_path: Path) -> None:
    with loop_disk("ext4", 32) as disk:
        kept = keep(tmp_path / "root")
        (kept.path / ".packages").mkdir(parents=True)
        await call("mount", "--bind", disk, kept.path / ".packages")
        try:
            kept.shelf.put("a/b", 1, tool())
            await kept.sync()
            kept.shelf.put("a/b", 2, tool(version="2.0"))
            await kept.sync()
            assert kept.text("a/envs/b", "share/tool/text").startswith("tool 2.0")
            assert kept.packages() == {"tool 2.0"}
        finally:
            await call("umount", kept.path / ".packages")
