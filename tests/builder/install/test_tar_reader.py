import io
import tarfile
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.install.tar_header import TarError
from builder.install.tar_reader import TarLimitExceeded, TarReader

_NAME = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"),
    min_size=1,
    max_size=60,
).filter(lambda name: name not in {".", ".."})
_PATH = st.lists(_NAME, min_size=1, max_size=6).map("/".join)
_KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])


@dataclass(frozen=True)
class Member:
    path: str
    kind: bytes
    mode: int
    mtime: int
    data: bytes
    link: str


_MEMBERS = st.lists(
    st.builds(
        Member,
        path=_PATH,
        kind=_KINDS,
        mode=st.integers(0, 0o7777),
        mtime=st.integers(0, 2**34),
        data=st.binary(max_size=1500),
        link=_PATH,
    ),
    max_size=6,
)


def _tar(members: list[Member], tar_format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for member in members:
            info = tarfile.TarInfo(member.path)
            info.type, info.mode, info.mtime = member.kind, member.mode, member.mtime
            if member.kind == tarfile.REGTYPE:
                info.size = len(member.data)
            elif member.kind != tarfile.DIRTYPE:
                info.linkname = member.link
            archive.addfile(info, io.BytesIO(member.data))
    return out.getvalue()


def _reader(data: bytes, limit_bytes: int = 1 << 30) -> TarReader:
    return TarReader(io.BytesIO(data).read, limit_bytes)


@settings(deadline=None)
@given(_MEMBERS, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(1, 4000))
def test_every_member_is_read_as_tarfile_reads_it(
    members: list[Member], tar_format: int, chunk: int
) -> None:
    data = _tar(members, tar_format)
    kinds = {
        tarfile.REGTYPE: "file",
        tarfile.SYMTYPE: "symlink",
        tarfile.LNKTYPE: "hardlink",
        tarfile.DIRTYPE: "directory",
    }
    stream = io.BytesIO(data)
    reader = TarReader(lambda size: stream.read(min(size, chunk)), 1 << 30)
    with tarfile.open(fileobj=io.BytesIO(data)) as expected:
        for entry in reader:
            info = expected.next()
            assert info is not None
            assert entry.name == info.name
            assert entry.kind == kinds[info.type]
            assert (entry.mode, entry.mtime) == (info.mode, info.mtime)
            if info.isreg():
                body = expected.extractfile(info)
                assert body is not None
                whole = entry.whole()
                assert (entry.read() if whole is None else bytes(whole)) == body.read()
                assert entry.read() == b""
            elif not info.isdir():
                assert entry.link == info.linkname
        assert expected.next() is None


def test_a_body_that_nobody_reads_is_passed_over() -> None:
    members = [
        Member(name, tarfile.REGTYPE, 0o644, 0, name.encode() * 3000, "") for name in ("a", "b")
    ]
    assert [entry.name for entry in _reader(_tar(members, tarfile.PAX_FORMAT))] == ["a", "b"]


def test_sizes_in_base_256_and_pax_are_understood() -> None:
    info = tarfile.TarInfo("large")
    info.size = 9 * 1024**3
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        entry = next(iter(_reader(info.tobuf(tar_format))))
        assert entry.size == 9 * 1024**3


def test_a_changed_header_is_noticed() -> None:
    data = bytearray(_tar([Member("a", tarfile.REGTYPE, 0o644, 0, b"", "")], tarfile.USTAR_FORMAT))
    data[0] ^= 1
    with pytest.raises(TarError, match="checksum"):
        list(_reader(bytes(data)))


@pytest.mark.parametrize("length", [0, 100, 512, 700, 1024, 1500])
def test_a_tar_that_is_cut_anywhere_is_noticed(length: int) -> None:
    members = [Member("a", tarfile.REGTYPE, 0o644, 0, b"x" * 600, "")] * 2
    data = _tar(members, tarfile.USTAR_FORMAT)[:length]
    with pytest.raises(TarError, match="it ends"):
        list(_reader(data))


def test_a_tar_longer_than_allowed_is_not_read_to_its_end() -> None:
    data = _tar([Member("a", tarfile.REGTYPE, 0o644, 0, bytes(5000), "")], tarfile.USTAR_FORMAT)
    with pytest.raises(TarLimitExceeded):
        list(_reader(data, limit_bytes=4000))


@pytest.mark.parametrize(
    "records",
    [b"12 path=a", b"99 path=a\n", b"path=a\n", b"8 path=a\n", b"0 \n", b"8 =abc\n", b"6 abc\n"],
)
def test_malformed_extended_headers_are_refused(records: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(TarError, match="extended header"):
        list(_reader(header + records.ljust(512, b"\0") + bytes(1024)))


def test_an_endless_extended_header_is_refused() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    with pytest.raises(TarError, match="too long"):
        list(_reader(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)))


@given(st.binary(max_size=2048))
def test_noise_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises((TarError, UnicodeDecodeError)):
        list(_reader(b"\1" + data))
