"""Prefixes on real file systems: what they share, and what they say when they refuse."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.install.prefix.errors import DirectoryUnusable
from builder.install.prefix.link import LinkOptions, link
from builder.install.prefix.sharing import Share, Sharing
from conformance.channel.writer import PLACEHOLDER, Entry, Package
from tests.builder.install.prefix.loop_disk import FileSystem, loop_disk
from tests.builder.install.prefix.prefixes import Linked, Root

SIZE = 20 << 20
LARGE = Package(
    "large",
    "1.0",
    subdir="linux-64",
    noarch=None,
    entries=[
        Entry("bin/run", b"#!/bin/sh\n", mode=0o755),
        Entry("bin/run-too", hardlink="bin/run"),
        Entry("etc/conf", PLACEHOLDER.encode()),
        Entry("lib/large.so", os.urandom(SIZE)),
        Entry("lib/link.so", link="large.so"),
    ],
)
MANY = Package(
    "many", "1.0", entries=[Entry(f"share/{n}", PLACEHOLDER.encode()) for n in range(300)]
)


def blocks_used(directory: Path) -> int:
    os.sync()
    room = os.statvfs(directory)
    return (room.f_blocks - room.f_bfree) * room.f_frsize


def inode(made: Linked, path: str) -> int:
    return (made.path / path).stat().st_ino


@pytest.mark.parametrize(
    ("kind", "how"), [("ext4", "hardlink"), ("xfs", "reflink"), ("btrfs", "reflink")]
)
def test_the_second_prefix_takes_hardly_any_room(kind: FileSystem, how: Share) -> None:
    with loop_disk(kind) as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        (package,) = root.unpacked(plan)
        first = root.link(plan, "first")
        before = blocks_used(disk)
        second = root.link(plan, "second")
        assert blocks_used(disk) - before < SIZE / 10
        assert (first.report.how, second.report.how) == (how, how)
        assert second.report.bytes_written < 10_000
        assert inode(second, "bin/run") == inode(second, "bin/run-too")
        is_same = (second.path / "lib/large.so").samefile(package / "tree/lib/large.so")
        assert is_same == (how == "hardlink")
        for path in ("bin/run", "lib/large.so"):
            theirs, ours = package / "tree" / path, second.path / path
            assert ours.read_bytes() == theirs.read_bytes()
            assert ours.stat().st_mode == theirs.stat().st_mode
            assert ours.stat().st_mtime_ns == theirs.stat().st_mtime_ns


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_what_is_changed_in_a_reflink_is_changed_there_alone(kind: FileSystem) -> None:
    with loop_disk(kind) as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        made = root.link(plan)
        (made.path / "bin/run").write_text("changed")  # as root, who may
        assert root.link(plan, "other").text("bin/run") == "#!/bin/sh\n"


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_binary_with_the_prefix_shares_what_the_prefix_does_not_change(kind: FileSystem) -> None:
    noise = os.urandom(8 << 20)
    holder = PLACEHOLDER.encode()
    content = b"\0" + holder + b"/lib\0" + noise + holder + b"\0" + noise[:4099] + holder
    binary = Package(
        "binary",
        "1.0",
        subdir="linux-64",
        noarch=None,
        entries=[
            Entry("bin/run", b"#!/bin/sh\n"),
            Entry("lib/x.so", content, mode=0o755, prefix_mode="binary"),
        ],
    )
    with loop_disk(kind) as disk:
        root = Root(disk)
        plan = root.plan(binary)
        before = blocks_used(disk)
        made = root.link(plan)
        assert blocks_used(disk) - before < len(noise) / 4
        assert made.report.bytes_written < 200_000
        out = disk / "whole"
        link(plan, root.packages, out, str(made.path), LinkOptions(share="copy"))
        assert (made.path / "lib/x.so").read_bytes() == (out / "lib/x.so").read_bytes()
        assert (
            made.record(binary)["paths_data"]
            == json.loads((out / f"conda-meta/{binary.stem}.json").read_text())["paths_data"]
        )
        assert made.mode("lib/x.so") == "0o555"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("share", ["hardlink", "copy"])
def test_every_file_system_can_what_is_no_reflink(kind: FileSystem, share: Sharing) -> None:
    with loop_disk(kind) as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        made = root.link(plan, options=LinkOptions(share=share))
        assert made.report.how == share
        assert inode(made, "bin/run") == inode(made, "bin/run-too")
        (package,) = root.unpacked(plan)
        is_same = (made.path / "bin/run").samefile(package / "tree/bin/run")
        assert is_same == (share == "hardlink")


def test_xfs_of_former_times_has_hard_links() -> None:
    with loop_disk("xfs", options=["-m", "reflink=0"]) as disk:
        root = Root(disk)
        assert root.link(root.plan(LARGE)).report.how == "hardlink"


def test_from_one_disk_to_another_files_are_copied() -> None:
    with loop_disk("ext4") as one, loop_disk("xfs") as other:
        root = Root(one)
        plan = root.plan(LARGE)
        (one / "out").symlink_to(other)
        made = root.link(plan, "out/made")
        assert made.report.how == "copy"
        assert inode(made, "bin/run") == inode(made, "bin/run-too")
        assert made.report.bytes_written > SIZE
        with pytest.raises(DirectoryUnusable, match="cannot share files by hardlink"):
            root.link(plan, "out/other", LinkOptions(share="hardlink"))


def test_a_file_with_as_many_names_as_it_may_have_is_copied() -> None:
    with loop_disk("ext4") as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        (package,) = root.unpacked(plan)
        file = package / "tree/bin/run"
        names = disk / "names"
        names.mkdir()
        for number in range(65_000 - file.stat().st_nlink):
            os.link(file, names / str(number))
        made = root.link(plan)
        assert made.report.how == "hardlink"
        assert not (made.path / "bin/run").samefile(file)
        assert inode(made, "bin/run") == inode(made, "bin/run-too")
        assert (made.path / "lib/large.so").samefile(package / "tree/lib/large.so")
        assert made.text("bin/run") == "#!/bin/sh\n"
        assert made.mode("bin/run") == "0o555"


def test_a_full_disk_is_named() -> None:
    with loop_disk("ext4", 64) as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        with pytest.raises(DirectoryUnusable) as refused:
            root.link(plan, options=LinkOptions(share="copy"))
        assert refused.value.message == (
            f"the file system of {disk}/made has no room left: make room there, and try again"
        )


def test_a_disk_without_inodes_is_named() -> None:
    with loop_disk("ext4", 64, ["-N", "512"]) as disk:
        root = Root(disk)
        plan = root.plan(MANY)
        with pytest.raises(DirectoryUnusable) as refused:
            root.link(plan)
        assert refused.value.message == (
            f"the file system of {disk}/made can hold no more files, however small (no inodes):"
            " remove some, and try again"
        )


def test_a_disk_that_is_mounted_read_only_is_named() -> None:
    with loop_disk("ext4") as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(DirectoryUnusable) as refused:
            root.link(plan)
        assert refused.value.message == (
            f"the file system of {disk}/made is mounted read-only: mount it so that it can be"
            " written"
        )


def test_all_has_reached_the_disk() -> None:
    with loop_disk("ext4") as disk:
        root = Root(disk)
        root.link(root.plan(LARGE))
        image = disk.parent / "image"
        # What is in the file now is all that there would be after a loss of power.
        shutil.copyfile(image, image.with_name("copy"))
        again = disk.parent / "again"
        again.mkdir()
        subprocess.run(["mount", "-o", "loop", image.with_name("copy"), again], check=True)
        try:
            assert (again / "made/lib/large.so").stat().st_size == SIZE
            assert (again / "made/etc/conf").read_text() == f"{disk}/made"
            assert (again / "made/conda-meta/pullforge").exists()
        finally:
            subprocess.run(["umount", "--lazy", again], check=True)


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_what_is_made_belongs_to_who_is_named(kind: FileSystem) -> None:
    with loop_disk(kind) as disk:
        root = Root(disk)
        made = root.link(root.plan(LARGE), options=LinkOptions(uid=1234, gid=5678))
        shared = {"bin/run", "bin/run-too", "lib/large.so"} if kind == "ext4" else set()
        for path in (made.path, *made.path.rglob("*")):
            if str(path.relative_to(made.path)) not in shared:
                assert (path.lstat().st_uid, path.lstat().st_gid) == (1234, 5678), path


def test_files_of_somebody_else_are_copied_where_nobody_may_link_them() -> None:
    with loop_disk("ext4") as disk:
        root = Root(disk)
        plan = root.plan(LARGE)
        (disk / "mine").mkdir()
        os.chown(disk / "mine", 1234, 1234)
        disk.parent.chmod(0o755)
        child = os.fork()
        if child == 0:
            how = "none"
            try:
                os.setgid(1234)
                os.setuid(1234)
                how = root.link(plan, "mine/made").report.how
            finally:
                (disk / "mine/how").write_text(how)
                os._exit(0)
        os.waitpid(child, 0)
        protected = Path("/proc/sys/fs/protected_hardlinks").read_text().strip()
        expected = "copy" if protected == "1" else "hardlink"
        assert (disk / "mine/how").read_text() == expected
        assert (disk / "mine/made/bin/run").stat().st_uid == (1234 if expected == "copy" else 0)
