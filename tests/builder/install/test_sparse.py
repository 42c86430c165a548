"""Sparse files, written by GNU tar in each of its ways."""

import hashlib
import io
import subprocess
from pathlib import Path

import pytest

from builder.install.archive import PackageArchive
from builder.install.sparse import SparseMap
from builder.install.tar_header import TarError, byte_sum
from builder.install.tar_reader import TarLimitExceeded, TarReader
from tests.made_by_others import made_by_others

_WAYS = [
    ["--format=gnu"],
    ["--format=posix", "--sparse-version=0.0"],
    ["--format=posix", "--sparse-version=0.1"],
    ["--format=posix", "--sparse-version=1.0"],
]
_BLOCK = 64 * 1024


def _write(path: Path, pieces: int, size: int) -> bytes:
    with path.open("wb") as file:
        for piece in range(pieces):
            file.seek((2 * piece + 1) * _BLOCK)
            file.write(b"%d" % piece * 100)
        file.truncate(size)
    return path.read_bytes()


def _tar(directory: Path, way: list[str]) -> bytes:
    command = ["tar", "-c", "--sparse", *way, "-C", str(directory), "."]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("pieces", [0, 1, 4, 5, 30, 60])
def test_holes_are_filled_in_every_way_that_gnu_tar_writes(
    tmp_path: Path, way: list[str], pieces: int
) -> None:
    size = 130 * _BLOCK + 77
    expected = {"holes": _write(tmp_path / "holes", pieces, size), "plain": b"plain"}
    (tmp_path / "plain").write_bytes(b"plain")
    tar = _tar(tmp_path, way)
    assert len(tar) < size
    entries = TarReader(io.BytesIO(tar).read, 1 << 30)
    found = {e.name: (e.size, e.read()) for e in entries if e.kind == "file"}
    assert found == {name: (len(data), data) for name, data in expected.items()}
    # Bodies that nobody reads are passed over.
    names = [e.name for e in TarReader(io.BytesIO(tar).read, 1 << 30) if e.kind == "file"]
    assert sorted(names) == ["holes", "plain"]


@pytest.mark.parametrize("way", _WAYS)
def test_holes_count_as_what_is_unpacked(tmp_path: Path, way: list[str]) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.write(b"data")
        file.truncate(1 << 40)
    tar = _tar(tmp_path, way)
    with pytest.raises(TarLimitExceeded):
        list(TarReader(io.BytesIO(tar).read, 1 << 30))


@pytest.mark.parametrize("way", _WAYS)
def test_a_map_with_a_wrong_byte_is_refused_or_read(tmp_path: Path, way: list[str]) -> None:
    _write(tmp_path / "holes", 6, 20 * _BLOCK)
    tar = bytearray(_tar(tmp_path, way))
    refused = 0
    for position in range(512, 4096, 3):
        changed = bytearray(tar)
        changed[position] ^= 0x05
        for start in range(0, 4096, 512):
            _mend(changed, start)
        try:
            for entry in TarReader(io.BytesIO(bytes(changed)).read, 1 << 24):
                assert len(entry.read()) == entry.size
        except (TarError, TarLimitExceeded):
            refused += 1
    assert refused > 10


def _mend(tar: bytearray, start: int) -> None:
    """Give a header a right checksum."""
    if tar[start + 257 : start + 262] == b"ustar":
        tar[start + 148 : start + 156] = b" " * 8
        total = byte_sum(bytes(tar[start : start + 512]))
        tar[start + 148 : start + 156] = b"%06o\0 " % total


def test_data_may_come_in_any_pieces() -> None:
    found = SparseMap(10, ((2, 3), (7, 1)))
    for cut in range(5):
        pieces = [b"abcd"[:cut], b"abcd"[cut:]]
        assert b"".join(found.fill(pieces)) == b"\0\0abc\0\0d\0\0"


def test_a_sparse_file_of_others_is_read(tmp_path: Path) -> None:
    channel = made_by_others("cases/report-19/channel")
    archive = PackageArchive(channel / "linux-64/sparsefile-1.0-h0_0.conda", "sparsefile-1.0-h0_0")
    info = archive.read_info()
    for file in archive.files():
        if file.kind == "file":
            assert hashlib.sha256(file.read()).hexdigest() == info.paths[file.path].sha256
            assert file.size_bytes == info.paths[file.path].size_bytes
