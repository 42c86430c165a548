import os
from pathlib import Path

import pytest

from registry.storage.scratch import Scratch
from registry.storage.trees import remove_tree


def make_deep(path: Path, depth: int) -> None:
    """Make directories in one another, deeper than a path can say, the last ones closed."""
    path.mkdir()
    at = os.open(path, os.O_RDONLY)
    for number in range(depth):
        os.mkdir("deeper", dir_fd=at)
        below = os.open("deeper", os.O_RDONLY, dir_fd=at)
        if number > depth - 3:
            os.fchmod(at, 0)
        os.close(at)
        at = below
    os.close(at)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory as a hostile program may leave it."""
    made = tmp_path / "hostile"
    make_deep(made, 1200)
    (made / "away").symlink_to(tmp_path / "kept")
    (made / "file").touch(mode=0)
    return made


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    return kept


def test_a_directory_is_removed_whatever_is_in_it_and_nothing_else(
    hostile: Path, kept: Path
) -> None:
    remove_tree(hostile)
    remove_tree(hostile)
    assert list(hostile.parent.iterdir()) == [kept]
    assert (kept / "file").exists()


def test_what_a_hostile_program_left_in_a_scratch_stops_no_server(
    tmp_path: Path, kept: Path
) -> None:
    """It was killed with its server; the next one sweeps."""
    first = Scratch(tmp_path)
    make_deep(first.path / "test", 1200)
    (first.path / "test" / "away").symlink_to(kept)
    os.close(first._descriptor)  # as when its process is killed
    second = Scratch(tmp_path)
    assert not first.path.exists()
    make_deep(second.path / "test", 1200)
    second.close()
    assert not second.path.exists()
    assert (kept / "file").exists()
