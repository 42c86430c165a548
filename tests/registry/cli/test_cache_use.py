import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.cli.cache_use import hold, remove_unused
from registry.cli.env_run import KEEP_DAYS
from registry.settings import Settings

DAY = 86_400
KEY = "ab" * 16

#: Becomes another program that waits for its input.
HOLDER = """
import os, pathlib, sys
from registry.cli.cache_use import hold
hold(pathlib.Path(sys.argv[1]))
os.execv("/bin/sh", ["/bin/sh", "-c", "echo ready; read x"])
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment that was used 40 days ago."""
    prefix = tmp_path / "builds" / KEY
    (prefix / "bin").mkdir(parents=True)
    (prefix.parent / f"{KEY}.lock").touch()
    (prefix.parent / f"{KEY}.used").touch()
    age(prefix, 40)
    return prefix


def age(prefix: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(prefix.parent / f"{KEY}.used", (then, then))


def remove(prefix: Path, days: float = 30) -> None:
    remove_unused([prefix.parent], days, lambda _: None)


def test_what_was_not_used_for_so_long_is_removed(prefix: Path) -> None:
    remove(prefix, days=41)
    assert prefix.is_dir()
    remove(prefix)
    assert sorted(one.name for one in prefix.parent.iterdir()) == [f"{KEY}.lock", f"{KEY}.used"]
    remove(prefix)
    assert not prefix.exists()


def test_what_another_program_became_is_in_use_until_it_ends(prefix: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(prefix)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        age(prefix, 40)
        remove(prefix)
        assert prefix.is_dir()
        program.communicate("\n")
    remove(prefix)
    assert not prefix.exists()


def test_what_is_being_made_is_left_alone(prefix: Path) -> None:
    with (prefix.parent / f"{KEY}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove(prefix)
        assert prefix.is_dir()
    remove(prefix)
    assert not prefix.exists()


def test_what_was_made_before_uses_were_noted_counts_from_then(prefix: Path) -> None:
    (prefix.parent / f"{KEY}.used").unlink()
    remove(prefix)
    assert prefix.is_dir()
    then = time.time() - 40 * DAY
    os.utime(prefix, (then, then))
    remove(prefix)
    assert not prefix.exists()


def test_what_cannot_be_written_is_used_without_a_note(tmp_path: Path) -> None:
    hold(tmp_path / "absent" / "linux-64")
    (tmp_path / "file").touch()
    remove_unused([tmp_path, tmp_path / "file"], 30, print)
    remove_unused([tmp_path / "absent"], 30, print)


def test_the_default_is_that_of_the_setting() -> None:
    assert Settings.model_fields["run_cache_days"].default == KEEP_DAYS
