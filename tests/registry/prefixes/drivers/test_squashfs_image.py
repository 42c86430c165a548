import asyncio
import struct
from pathlib import Path

import pytest

from registry.errors import PrefixUnusable
from registry.prefixes.drivers.squashfs_image import read_mark, write_image

MARK = b'{"format":1}\n'


def image(mark: bytes = MARK, used: int = 5000, magic: bytes = b"hsqs") -> bytes:
    """What mksquashfs begins with, and what we add."""
    squashfs = struct.pack("<4s36xQ", magic, used).ljust(-(-used // 4096) * 4096, b"\0")
    footer = struct.pack("<Q8s", len(mark), b"pullfrg1")
    length = -(-(len(mark) + len(footer)) // 4096) * 4096
    return squashfs + mark.ljust(length - len(footer), b"\0") + footer


@pytest.mark.parametrize("mark", [MARK, b"", b"x" * 4080, b"x" * 4081, b"x" * 100_000])
def test_the_mark_of_an_image_is_read(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "image").write_bytes(image(mark))
    assert read_mark(tmp_path / "image") == mark


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hsqs",
        image()[:-1],
        image()[:-4096],
        image() + bytes(4096),
        image()[4096:],
        image(magic=b"sqsh"),
        image()[:-16] + struct.pack("<Q8s", 2**63, b"pullfrg1"),
        image()[:-16] + struct.pack("<Q8s", len(MARK), b"pullfrg2"),
    ],
    ids=lambda data: f"{len(data)}",
)
def test_what_is_no_whole_image_has_no_mark(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "image").write_bytes(data)
    assert read_mark(tmp_path / "image") is None


def test_what_cannot_be_read_has_no_mark(tmp_path: Path) -> None:
    assert read_mark(tmp_path) is None
    assert read_mark(tmp_path / "missing") is None


def test_a_machine_without_mksquashfs_is_told_which_package_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("registry.prefixes.programs.ADMINISTRATORS", ())
    (tmp_path / "tree/conda-meta").mkdir(parents=True)
    (tmp_path / "tree/conda-meta/pullforge").write_bytes(MARK)
    with pytest.raises(PrefixUnusable, match="install the package squashfs-tools, or choose"):
        asyncio.run(write_image(tmp_path / "tree", tmp_path / "image", "zstd", None, None))
