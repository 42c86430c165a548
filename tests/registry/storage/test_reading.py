import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from registry.storage import reading
from registry.storage.reading import CHUNK_BYTES, open_reader


def test_what_was_just_written_is_read_without_a_thread(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(CHUNK_BYTES + 1))
    with open_reader(path, 0, None) as reader:
        assert len(reader.read_cached()) == CHUNK_BYTES
        assert len(reader.read_cached()) == 1
        assert reader.done


def test_what_is_not_in_memory_is_left_to_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_cached(*_: object) -> int:
        raise BlockingIOError

    path = tmp_path / "file"
    path.write_bytes(b"data")
    monkeypatch.setattr(os, "preadv", not_cached)
    with open_reader(path, 1, None) as reader:
        assert reader.read_cached() == b""
        assert reader.read() == b"ata"


def test_a_file_system_that_cannot_tell_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def unsupported(*_: object) -> int:
        nonlocal asked
        asked += 1
        raise OSError("operation not supported")

    path = tmp_path / "file"
    path.write_bytes(b"data")
    monkeypatch.setattr(os, "preadv", unsupported)
    with open_reader(path, 0, None) as reader:
        assert reader.read_cached() == reader.read_cached() == b""
        assert reader.read() == b"data"
    assert asked == 1


def test_a_kernel_without_the_flag_reads_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    monkeypatch.setattr(reading, "_NOWAIT", 0)
    with open_reader(path, 0, None) as reader:
        assert reader.read_cached() == b""


def test_a_file_that_has_become_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    with open_reader(path, 0, None) as reader:
        os.truncate(path, 0)
        with pytest.raises(EOFError):
            reader.read()


def test_all_that_is_read_holds_a_bounded_amount(tmp_path: Path) -> None:
    """Clients that do not read on hold the piece they got, be it from a thousand addresses."""
    path = tmp_path / "file"
    path.write_bytes(bytes(CHUNK_BYTES))
    with ExitStack() as stack:
        readers = [stack.enter_context(open_reader(path, 0, None)) for _ in range(200)]
        held = sum(len(reader.read()) for reader in readers)
    assert held <= 32 * 1024 * 1024
    with open_reader(path, 0, None) as alone:
        assert len(alone.read()) == CHUNK_BYTES
