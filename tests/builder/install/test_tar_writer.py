import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.install.paths import PathTaken
from builder.install.tar_writer import TarWriter, header

_NAME = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"),
    min_size=1,
    max_size=80,
).filter(lambda name: name not in {".", ".."})
_PATH = st.lists(_NAME, min_size=1, max_size=6).map("/".join)


def _read(data: bytearray) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as archive:
        return archive.getmembers()


@settings(deadline=None)
@given(_PATH, _PATH, st.integers(0, 0o7777), st.integers(-5, 2**33), st.binary(max_size=1200))
def test_tarfile_reads_what_was_written(
    path: str, target: str, mode: int, mtime: int, data: bytes
) -> None:
    out = bytearray()
    writer = TarWriter(out.extend)
    writer.add_file("f/" + path, mode, mtime, len(data), [data])
    writer.add_symlink("s/" + path, target, mtime)
    writer.add_hardlink("h/" + path, "f/" + path, mode, mtime)
    writer.finish()
    members = {member.name: member for member in _read(out) if not member.isdir()}
    file, symlink, hardlink = (members[f"{kind}/{path}"] for kind in "fsh")
    assert (file.mode, file.size) == (mode & 0o777, len(data))
    assert file.mtime == min(max(mtime, 0), 8**11 - 1)
    assert (symlink.issym(), symlink.linkname) == (True, target)
    assert (hardlink.islnk(), hardlink.linkname) == (True, "f/" + path)
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, "", "")}


def test_a_header_is_that_of_tarfile() -> None:
    info = tarfile.TarInfo("a/b")
    info.size, info.mode, info.mtime = 5, 0o755, 1234567890
    expected = info.tobuf(tarfile.USTAR_FORMAT)
    assert header(b"a/b", b"", b"0", 0o755, 1234567890, 5, b"") == expected


def test_each_directory_is_written_once_and_before_what_lies_in_it() -> None:
    out = bytearray()
    writer = TarWriter(out.extend)
    writer.add_file("a/b/c", 0o644, 0, 0, ())
    writer.add_file("a/b/d/e", 0o644, 0, 0, ())
    writer.add_directory("a/b/d")
    writer.add_directory("a/f")
    writer.finish()
    members = _read(out)
    assert [m.name for m in members] == ["a", "a/b", "a/b/c", "a/b/d", "a/b/d/e", "a/f"]
    assert {m.mode for m in members if m.isdir()} == {0o755}


def test_a_file_of_more_than_8_gib_says_its_size_in_a_pax_header() -> None:
    out = bytearray()
    writer = TarWriter(out.extend)
    with pytest.raises(AssertionError, match="announced"):
        writer.add_file("large", 0o644, 0, 9 * 1024**3, ())
    with tarfile.open(fileobj=io.BytesIO(bytes(out))) as archive:
        info = archive.next()
    assert info is not None
    assert info.size == 9 * 1024**3


def test_nothing_is_written_of_a_path_that_is_taken() -> None:
    out = bytearray()
    writer = TarWriter(out.extend)
    writer.add_file("a", 0o644, 0, 0, ())
    size = len(out)
    for path in ("a", "a/b"):
        with pytest.raises(PathTaken):
            writer.add_symlink(path, "x", 0)
    assert len(out) == size
