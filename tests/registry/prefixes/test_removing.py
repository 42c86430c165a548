"""What goes is gone, and nothing else is."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from registry.prefixes.removing import Trash, remove_at, unneeded_packages
from tests.registry.prefixes.shelf import names_in

pytestmark = pytest.mark.anyio


def removed(path: Path) -> int:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        return remove_at(directory, path.name)
    finally:
        os.close(directory)


def test_a_link_in_a_tree_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "file").write_text("mine")
    tree = tmp_path / "tree"
    (tree / "in").mkdir(parents=True)
    (tree / "in/link").symlink_to(outside)
    (tree / "in/file").symlink_to(tmp_path / "file")
    (tree / "link").symlink_to("/etc")
    removed(tree)
    assert names_in(tmp_path) == ["file", "outside"]
    assert outside.stat().st_mode & 0o777 == 0o500


def test_an_entry_that_is_a_link_or_a_file_goes_itself(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to("outside")
    (tmp_path / "file").write_bytes(bytes(10_000))
    removed(tmp_path / "link")
    assert removed(tmp_path / "file") >= 10_000
    assert removed(tmp_path / "file") == 0, "it is gone"
    assert names_in(tmp_path) == ["outside"]


def test_only_what_nothing_else_has_is_freed(tmp_path: Path) -> None:
    (tmp_path / "shared").write_bytes(bytes(1_000_000))
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "shared").hardlink_to(tmp_path / "shared")
    (tree / "own").write_bytes(bytes(2_000_000))
    assert 2_000_000 <= removed(tree) < 2_100_000


def test_closed_and_deep_directories_go(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for depth in range(1200):
        os.mkdir("deeper", dir_fd=here)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=here)
        if depth % 100 == 0:
            os.fchmod(here, 0)
        os.close(here)
        here = inner
    os.close(here)
    removed(tree)
    assert names_in(tmp_path) == []


async def test_the_trash_is_emptied_beside_and_says_what_that_freed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(1_000_000))
    trash = Trash(tmp_path)
    trash.sweep()
    trash.sweep()
    await trash.settle()
    assert names_in(tmp_path) == []
    assert trash.take_freed_bytes() >= 2_000_000
    assert trash.take_freed_bytes() == 0
    Trash(tmp_path / "none").sweep()


async def test_what_another_process_is_removing_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "a/in").mkdir(parents=True)
    held = os.open(tmp_path / "a", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert removed(tmp_path / "a") == 0
    assert names_in(tmp_path) == ["a"]
    os.close(held)
    removed(tmp_path / "a")
    assert names_in(tmp_path) == []


def test_packages_are_known_by_their_names(tmp_path: Path) -> None:
    for name in ("a" * 64, "b" * 64, "mine", ".lock"):
        (tmp_path / name).mkdir()
    assert unneeded_packages(tmp_path, {"a" * 64}) == ["b" * 64]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("place", ["at", "in/at"])
def test_what_is_mounted_in_a_tree_is_not_looked_into(tmp_path: Path, place: str) -> None:
    (tmp_path / "theirs/deep").mkdir(parents=True)
    (tmp_path / "theirs/deep/precious").touch()
    at = tmp_path / "tree" / place
    at.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "--bind", tmp_path / "theirs", at], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(OSError, match="busy"):
            removed(tmp_path / "tree")
    finally:
        for found in [at, *(tmp_path / "tree").glob("*/at")]:
            subprocess.run(["umount", found], check=False, capture_output=True)
    assert (tmp_path / "theirs/deep/precious").exists()
    removed(tmp_path / "tree")
    assert names_in(tmp_path) == ["theirs"]
