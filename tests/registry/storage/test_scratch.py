import fcntl
import shutil
from pathlib import Path

import pytest

from registry.storage.scratch import Scratch

REAL_FLOCK = fcntl.flock


def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".tmp" / "dead"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    (tmp_path / ".tmp" / "stray").write_bytes(b"not a directory")
    scratch = Scratch(tmp_path)
    assert not left.exists()
    scratch.new_path().write_bytes(b"x")
    scratch.close()
    assert [path.name for path in (tmp_path / ".tmp").iterdir()] == ["stray"]


def test_a_directory_removed_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another store opens at that moment and takes the directory for a dead one's."""
    removed: list[Path] = []

    def flock(descriptor: int, operation: int) -> None:
        if not removed:
            removed.extend((tmp_path / ".tmp").iterdir())
            shutil.rmtree(removed[0])
        REAL_FLOCK(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    scratch = Scratch(tmp_path)
    path = scratch.new_path()
    assert path.parent.is_dir()
    assert path.parent not in removed
    scratch.close()
