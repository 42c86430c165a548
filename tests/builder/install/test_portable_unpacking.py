import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from builder.errors import CorruptPackage, UnsafePackage
from builder.install.portable_unpacking import unpack


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.mode = kind, 0o755
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def packed(path: Path, *members: tarfile.TarInfo) -> Path:
    """Write an archive in which files have four bytes, in several frames."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for one in members:
            one.size = 4 if one.isfile() else 0
            tar.addfile(one, io.BytesIO(b"data"))
    content = data.getvalue()
    half = len(content) // 2
    compress = zstandard.ZstdCompressor().compress
    path.write_bytes(compress(content[:half]) + compress(content[half:]))
    return path


def test_files_links_and_modes_are_as_they_were_packed(tmp_path: Path) -> None:
    archive = packed(
        tmp_path / "archive",
        member("./", tarfile.DIRTYPE),
        member("bin/tool", mode=0o4755, uid=1234, gid=1234, uname="nobody"),
        member("bin/same", tarfile.LNKTYPE, linkname="bin/tool"),
        member("lib", tarfile.DIRTYPE),
        member("lib/up", tarfile.SYMTYPE, linkname="../bin/tool"),
        member("lib/absolute", tarfile.SYMTYPE, linkname="/etc/hostname"),
    )
    unpack(archive, tmp_path / "out")
    tool = tmp_path / "out/bin/tool"
    assert tool.read_bytes() == b"data"
    assert tool.stat().st_mode & 0o7777 == 0o755
    assert (tool.stat().st_uid, tool.stat().st_nlink) == (os.getuid(), 2)
    assert (tmp_path / "out/lib/up").resolve() == tool
    assert (tmp_path / "out/lib/absolute").readlink() == Path("/etc/hostname")


@pytest.mark.parametrize(
    "members",
    [
        [member("/etc/motd")],
        [member("../outside")],
        [member("a/../../outside")],
        [member("out", tarfile.SYMTYPE, linkname=".."), member("out/outside")],
        [member("out", tarfile.SYMTYPE, linkname="/tmp"), member("out/a/b")],
        [member("x", tarfile.LNKTYPE, linkname="../outside")],
        [member("x", tarfile.LNKTYPE, linkname="/etc/passwd")],
        [
            member("up", tarfile.SYMTYPE, linkname=".."),
            member("x", tarfile.LNKTYPE, linkname="up/a"),
        ],
        [member("device", tarfile.CHRTYPE)],
        [member("pipe", tarfile.FIFOTYPE)],
    ],
)
def test_nothing_is_written_elsewhere(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    archive = packed(tmp_path / "archive", *members)
    with pytest.raises(UnsafePackage, match="which is refused"):
        unpack(archive, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"archive", "out"}


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    whole = packed(tmp_path / "archive", member("a"), member("b")).read_bytes()
    for number, data in enumerate((b"", b"what", whole[:-20], zstandard.compress(b"x" * 2000))):
        (tmp_path / "archive").write_bytes(data)
        with pytest.raises(CorruptPackage, match="damaged"):
            unpack(tmp_path / "archive", tmp_path / str(number))
