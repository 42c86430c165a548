"""How a root stands is read by whoever may, and says what is wrong in sentences."""

import asyncio
import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from builder.install.prefix.errors import DirectoryUnusable
from registry.errors import RootUnusable
from registry.prefixes.finding import FOLDER, find_prefix, parse_mark
from registry.prefixes.room import is_full, no_room, told
from registry.prefixes.status import FILE, read_status, write_away
from registry.prefixes.threads import in_thread
from registry.prefixes.whole_files import write_whole
from tests.registry.prefixes.shelf import keep, names_in, tool, until

pytestmark = pytest.mark.anyio


async def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root")
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    status = read_status(kept.path)
    assert (status.environments, status.versions, status.links, status.prefixes) == (1, 1, 2, 1)
    assert (status.packages, status.problems, status.away_since) == (1, (), None)
    write_away(kept.path, "it is away", 5.0)
    write_away(kept.path, "it is still away", 9.0)
    away = read_status(kept.path)
    assert (away.away_since, away.away, away.links) == (5.0, "it is still away", 2)
    assert away.lag_seconds(15.0) == 10, "something else may be wanted since then"
    await kept.sync()
    assert read_status(kept.path) == replace(status, bytes_written=0)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', '{"problems": [{}]}'])
def test_what_is_no_status_is_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(RootUnusable, match="is no root, or no pass has ended there yet"):
        read_status(tmp_path)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_text(text)
    with pytest.raises(RootUnusable, match="begin with 'pullforge prefixes sync --root"):
        write_away(tmp_path, "away", 1.0)


async def test_a_program_finds_a_whole_prefix_by_its_key_alone(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root")
    one = kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    at = kept.path / "builds" / one.key
    assert find_prefix(kept.path, one.key, "linux-64") == str(at)
    assert find_prefix(kept.path, one.key, "linux-aarch64") is None
    assert find_prefix(kept.path, "0" * 32, "linux-64") is None
    assert find_prefix(tmp_path, one.key, "linux-64") is None
    next((at / "conda-meta").glob("*.json")).unlink()
    assert find_prefix(kept.path, one.key, "linux-64") is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"key": 5},
        {"packages": [1]},
        {"packages": 5},
        {"packages": {"a": 1}, "prefix": None},
        {"records": "x"},
        {"platform": ["linux-64"]},
    ],
)
def test_a_mark_that_is_none_says_nothing(change: dict[str, object]) -> None:
    mark = {
        "format": 1,
        "key": "k",
        "platform": "linux-64",
        "prefix": "/p",
        "packages": [],
        "records": 3,
    }
    assert parse_mark(json.dumps(mark).encode()) is not None
    assert parse_mark(json.dumps(mark | change).encode()) is None
    for data in (b"", b"[]", b"5", b"[" * 100_000, b"\xff"):
        assert parse_mark(data) is None


def test_no_room_is_known_in_whatever_it_was_wrapped(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        wrapped, outer = DirectoryUnusable("no room"), ValueError("outer")
        wrapped.__cause__ = OSError(number, "full")
        outer.__context__ = wrapped
        assert is_full(outer)
    assert not is_full(OSError(errno.EACCES, "denied"))
    assert "has no room left for a/b v1 (" in no_room(tmp_path, ["a/b v1"])
    away = no_room(tmp_path / "away", ["1", "2", "3", "4", "5"])
    assert "away has no room left for 1, 2, 3 and 2 more: all that was" in away


def test_errors_are_told_as_sentences() -> None:
    missing = FileNotFoundError(2, "No such file or directory", "/x/y")
    assert told(missing) == "/x/y cannot be made, read or moved: No such file or directory"
    assert told(OSError("odd")) == "a file cannot be made, read or moved: odd"
    assert told(TimeoutError()) == "it has not ended in time"
    assert told(RootUnusable("one\n  sentence")) == "one sentence"
    assert told(ValueError("what\nelse")) == "ValueError: what else"


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_whole(file, b"before", durable=True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="full"):
        write_whole(file, b"after")
    assert names_in(tmp_path) == ["file"]
    assert file.read_bytes() == b"before"


async def test_a_thread_is_waited_for_when_nobody_wants_its_result() -> None:
    began, go_on, steps = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        began.set()
        go_on.wait(10)
        steps.append("done")

    task = asyncio.create_task(in_thread(work))
    await until(began.is_set)
    task.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["done"]


async def test_a_thread_that_does_not_end_is_told_of() -> None:
    go_on = threading.Event()
    with pytest.raises(RootUnusable, match="has not answered for 0 s"):
        await in_thread(lambda: go_on.wait(10), 0.01)
    go_on.set()
