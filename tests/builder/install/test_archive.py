import io
import json
import tarfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import zstandard

from builder.errors import CorruptPackage, PackageError, UnsafePackage, UnsupportedPackage
from builder.install.archive import PackageArchive
from builder.install.limits import Limits
from builder.install.package_info import Relocation, check_identity
from builder.records import NoarchKind
from conformance.channel.writer import (
    PLACEHOLDER,
    Entry,
    Package,
    archive_bytes,
    file_member,
    info_members,
    package_bytes,
    tar_bytes,
)
from tests.builder.install.layers import record_of, store

DEMO = Package(
    "demo",
    "1.0",
    entries=[
        Entry("bin/demo", f"#!{PLACEHOLDER}/bin/sh\n".encode(), mode=0o755),
        Entry("lib/libdemo.so.1", b"\x7fELF\0"),
        Entry("lib/libdemo.so", link="libdemo.so.1"),
        Entry("lib/libdemo-again.so", hardlink="lib/libdemo.so.1"),
        Entry("share/empty", directory=True),
    ],
)


def _archive(directory: Path, data: bytes, limits: Limits | None = None) -> PackageArchive:
    return PackageArchive(store(directory, data), "demo-1.0-0", limits)


def _read_all(archive: PackageArchive) -> None:
    archive.read_info()
    for file in archive.files():
        file.read()


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_both_formats_give_the_same_metadata_and_files(
    tmp_path: Path, extension: Literal[".conda", ".tar.bz2"]
) -> None:
    archive = _archive(tmp_path, package_bytes(replace(DEMO, extension=extension)))
    info = archive.read_info()
    assert (info.name, info.version, info.build, info.noarch) == ("demo", "1.0", "0", "generic")
    assert info.paths["bin/demo"].relocation == Relocation(PLACEHOLDER.encode(), "text")
    assert info.paths["lib/libdemo.so"].type == "softlink"
    assert info.placeholders == (PLACEHOLDER,)
    files = [(file.path, file.kind, file.link, file.read()) for file in archive.files()]
    assert files == [
        ("bin/demo", "file", "", f"#!{PLACEHOLDER}/bin/sh\n".encode()),
        ("lib/libdemo.so", "symlink", "libdemo.so.1", b""),
        ("lib/libdemo.so.1", "file", "", b"\x7fELF\0"),
        ("lib/libdemo-again.so", "hardlink", "lib/libdemo.so.1", b""),
    ]


def test_metadata_may_come_last_in_a_tar_bz2(tmp_path: Path) -> None:
    package = replace(DEMO, extension=".tar.bz2")
    members = info_members(package, [Entry("share/x")])
    data = archive_bytes(package, members, [file_member("share/x", b"x")])
    archive = _archive(tmp_path, data)
    assert list(archive.read_info().paths) == ["share/x"]
    assert [file.path for file in archive.files()] == ["share/x"]


def test_a_package_of_2015_says_its_paths_in_two_lists(tmp_path: Path) -> None:
    package = Package("demo", "1.0", extension=".tar.bz2")
    index = {"name": "demo", "version": "1.0", "build": "0"}
    prefixed = f'"{PLACEHOLDER}" binary "lib/a b.so"\nbin/old\n'
    info = {
        "info/index.json": json.dumps(index).encode(),
        "info/files": b"bin/old\nlib/a b.so\nlib/c\nshare/it's\n",
        "info/has_prefix": prefixed.encode(),
    }
    members = [file_member(name, data) for name, data in info.items()]
    read = _archive(tmp_path, archive_bytes(package, [], members)).read_info()
    assert list(read.paths) == ["bin/old", "lib/a b.so", "lib/c", "share/it's"]
    assert read.paths["lib/a b.so"].relocation == Relocation(PLACEHOLDER.encode(), "binary")
    assert read.paths["bin/old"].relocation == Relocation(
        b"/opt/anaconda1anaconda2anaconda3", "text"
    )
    assert not read.has_path_types


@pytest.mark.parametrize(
    ("said", "kind"), [(True, "generic"), (False, None), ("", None), ("python", "python")]
)
def test_old_ways_to_say_noarch_are_understood(
    tmp_path: Path, said: object, kind: NoarchKind | None
) -> None:
    index = {"name": "demo", "version": "1.0", "build": "0", "noarch": said}
    package = replace(DEMO, extra_info={"info/index.json": json.dumps(index).encode()})
    assert _archive(tmp_path, package_bytes(package)).read_info().noarch == kind


def _with_paths(*paths: dict[str, str], index: dict[str, str] | None = None) -> bytes:
    said = {"name": "demo", "version": "1.0", "build": "0", **(index or {})}
    info = {
        "info/index.json": json.dumps(said).encode(),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": paths}).encode(),
    }
    members = [file_member(name, data) for name, data in info.items()]
    return archive_bytes(DEMO, [file_member("./lib/.//x", b"x")], members)


def test_a_path_may_be_listed_twice_and_with_segments_that_mean_nothing(tmp_path: Path) -> None:
    twice = [{"_path": "lib/x", "path_type": "hardlink"}, {"_path": "./lib/./x"}]
    archive = _archive(tmp_path, _with_paths(*twice))
    assert list(archive.read_info().paths) == ["lib/x"]
    assert [file.path for file in archive.files()] == ["lib/x"]


@pytest.mark.parametrize("mode", [{}, {"file_mode": "both"}])
def test_a_prefix_without_a_known_mode_stays_as_with_rattler(
    tmp_path: Path, mode: dict[str, str]
) -> None:
    path = {"_path": "lib/x", "path_type": "hardlink", "prefix_placeholder": "/build", **mode}
    assert _archive(tmp_path, _with_paths(path)).read_info().paths["lib/x"].relocation is None


@pytest.mark.parametrize("placeholder", ["/a\ud800", "/a\0", "/" + "a" * 5000, 5])
def test_a_placeholder_that_is_no_path_is_refused(tmp_path: Path, placeholder: object) -> None:
    path = {"_path": "x", "prefix_placeholder": placeholder, "file_mode": "text"}
    listed = json.dumps({"paths_version": 1, "paths": [path]}).encode()
    info = info_members(replace(DEMO, extra_info={"info/paths.json": listed}), [])
    with pytest.raises(CorruptPackage, match="malformed placeholder"):
        PackageArchive(store(tmp_path, archive_bytes(DEMO, [], info)), "demo").read_info()


def test_a_name_in_capitals_is_that_of_the_channel_in_small_letters(tmp_path: Path) -> None:
    data = _with_paths(index={"name": "Demo"})
    info = _archive(tmp_path, data).read_info()
    check_identity(record_of(DEMO, data), info)


def _without(member: str) -> bytes:
    return _rezipped(
        {name: data for name, data in _zipped().items() if not name.startswith(member)}
    )


def _zipped() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package_bytes(DEMO))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _rezipped(members: dict[str, bytes], more: list[tuple[str, bytes]] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in [*members.items(), *(more or [])]:
            archive.writestr(name, data)
    return out.getvalue()


def _renamed_inside_only() -> bytes:
    """The zip's directory and the header at the member disagree on its name."""
    data = package_bytes(DEMO)
    return data.replace(b"pkg-demo-1.0-0", b"pkg-evil-1.0-0", 1)


def _metadata_in_payload() -> bytes:
    content = [file_member("info/index.json", b"{}"), file_member("share/x", b"")]
    return archive_bytes(DEMO, content, info_members(DEMO, [Entry("share/x")]))


def _payload_in_metadata() -> bytes:
    info = [*info_members(DEMO, []), file_member("share/x", b"")]
    return archive_bytes(DEMO, [], info)


def _twice_in_metadata() -> bytes:
    info = info_members(DEMO, [])
    return archive_bytes(DEMO, [], [*info, *info])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"BZh9" + bytes(100),
        package_bytes(DEMO)[:-30],
        package_bytes(DEMO)[:500],
        package_bytes(replace(DEMO, extension=".tar.bz2"))[:-20],
        _without("pkg-"),
        _without("info-"),
        _rezipped(_zipped(), [("pkg-other.tar.zst", b"")]),
        _rezipped({name.replace("info-demo", "info-d"): d for name, d in _zipped().items()}),
        _rezipped(_zipped() | {"pkg-demo-1.0-0.tar.zst": b"not zstd"}),
        _rezipped(_zipped() | {"pkg-demo-1.0-0.tar.zst": zstandard.compress(b"not a tar" * 99)}),
        _renamed_inside_only(),
        _metadata_in_payload(),
        _payload_in_metadata(),
        _twice_in_metadata(),
        package_bytes(replace(DEMO, extra_info={"info/index.json": b"[" * 100_000})),
        package_bytes(replace(DEMO, extra_info={"info/index.json": b"\xff"})),
        package_bytes(replace(DEMO, extra_info={"info/index.json": b"[]"})),
    ],
)
def test_whatever_is_damaged_is_said_to_be(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorruptPackage, match="package 'demo") as caught:
        _read_all(_archive(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_two_zip_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = _rezipped(_zipped(), [("pkg-demo-1.0-0.tar.zst", b"")])
    with pytest.raises(CorruptPackage):
        _read_all(_archive(tmp_path, data))


def test_a_format_of_the_future_is_not_guessed_at(tmp_path: Path) -> None:
    data = _rezipped(_zipped() | {"metadata.json": b'{"conda_pkg_format_version": 3}'})
    with pytest.raises(UnsupportedPackage):
        _read_all(_archive(tmp_path, data))


@pytest.mark.parametrize("said", [b"", b"[", b"[]", b"{}"])
def test_a_zip_that_says_nothing_of_its_format_is_read(tmp_path: Path, said: bytes) -> None:
    archive = _archive(tmp_path, _rezipped(_zipped() | {"metadata.json": said}))
    assert archive.read_info().name == "demo"
    assert next(archive.files()).path == "bin/demo"


def test_licences_in_the_payload_are_passed_over(tmp_path: Path) -> None:
    names = ["info/licenses/LICENSE", "info/test/run_test.sh", "share/x"]
    content = [file_member(name, b"") for name in names]
    data = archive_bytes(DEMO, content, info_members(DEMO, [Entry("share/x")]))
    archive = _archive(tmp_path, data)
    assert list(archive.read_info().paths) == ["share/x"]
    assert [file.path for file in archive.files()] == ["share/x"]


def test_every_single_wrong_byte_gives_a_package_error_or_none(tmp_path: Path) -> None:
    data = package_bytes(DEMO)
    path = tmp_path / "archive"
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        with suppress(PackageError):
            _read_all(PackageArchive(path, "demo-1.0-0"))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(unpacked_bytes=1500),
        Limits(entries=2),
        Limits(path_bytes=5),
        Limits(info_bytes=100),
    ],
)
@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_what_is_larger_than_allowed_is_refused(
    tmp_path: Path, limits: Limits, extension: Literal[".conda", ".tar.bz2"]
) -> None:
    data = package_bytes(replace(DEMO, extension=extension))
    with pytest.raises(UnsafePackage, match="package 'demo"):
        _read_all(_archive(tmp_path, data, limits))


@pytest.mark.parametrize("target", ["", "a\nb", "x" * 5000])
def test_a_symlink_to_no_path_is_refused(tmp_path: Path, target: str) -> None:
    link, _ = file_member("share/link", b"")
    link.type, link.linkname = tarfile.SYMTYPE, target
    info = info_members(DEMO, [Entry("share/link", link="x")])
    with pytest.raises(UnsafePackage, match="share/link"):
        _read_all(_archive(tmp_path, archive_bytes(DEMO, [(link, b"")], info)))


def test_a_frame_that_asks_for_a_huge_window_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(
        window_log=29, compression_level=1, write_content_size=False
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = compressor.compress(tar_bytes([])) + compressor.flush()
    data = _rezipped(_zipped() | {"pkg-demo-1.0-0.tar.zst": content})
    with pytest.raises(CorruptPackage):
        _read_all(_archive(tmp_path, data))


def test_an_archive_that_is_not_there_is_no_damaged_package(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PackageArchive(tmp_path / "missing", "demo-1.0-0").read_info()
