import io
from pathlib import Path

import pytest

from builder.bytecode.cache import DiskCache

_KEY = bytes(range(32))


def _read(directory: Path, key: bytes = _KEY) -> bytes | None:
    with DiskCache(directory, key).open() as file:
        return None if file is None else file.read()


def _keep(directory: Path, answer: bytes, key: bytes = _KEY) -> None:
    DiskCache(directory, key).keep(io.BytesIO(answer))


def test_what_was_kept_is_found_and_nothing_else(tmp_path: Path) -> None:
    _keep(tmp_path / "kept", b"answer")
    assert _read(tmp_path / "kept") == b"answer"
    assert _read(tmp_path / "kept", bytes(32)) is None
    assert _read(tmp_path / "none") is None


def test_a_later_answer_takes_the_place_of_one_whose_key_begins_alike(tmp_path: Path) -> None:
    other = _KEY[:2] + bytes(30)
    _keep(tmp_path, b"first")
    _keep(tmp_path, b"second", other)
    assert _read(tmp_path) is None
    assert _read(tmp_path, other) == b"second"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("size", [0, 31, 64, 68])
def test_a_file_that_was_cut_off_does_not_count(tmp_path: Path, size: int) -> None:
    _keep(tmp_path, b"answer")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:size])
    assert _read(tmp_path) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    answer = io.BytesIO(b"_answer")
    answer.seek(1)
    DiskCache(tmp_path / "file", _KEY).keep(answer)
    assert answer.read() == b"answer"


def test_a_place_that_cannot_be_taken_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / _KEY.hex()[:3] / "directory").mkdir(parents=True)
    _keep(tmp_path, b"answer")
    assert [path.name for path in tmp_path.iterdir()] == [_KEY.hex()[:3]]
