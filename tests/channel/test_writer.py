import io
import json
import tarfile
import zipfile
from dataclasses import replace
from typing import Any

import pytest
import zstandard

from conformance.channel.build_string import with_build
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes

PACKAGE = Package(
    "tiny",
    "1.0",
    subdir="linux-64",
    noarch=None,
    depends=("python",),
    entries=[
        Entry("share/b", b"b"),
        Entry("bin/run", f"#!{PLACEHOLDER}/bin/python\n".encode(), mode=0o755),
        Entry("lib/binary", b"\0" + PLACEHOLDER.encode() + b"\0"),
        Entry("share/a-hardlink", hardlink="share/b"),
        Entry("share/link", link="b"),
        Entry("share/empty", directory=True),
    ],
    timestamp_ms=1_700_000_000_000,
)


def open_conda(data: bytes, part: str) -> tarfile.TarFile:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(n for n in archive.namelist() if n.startswith(part))
        content = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read(name))
    return tarfile.open(fileobj=io.BytesIO(content))


def read_info(data: bytes, name: str) -> Any:
    with open_conda(data, "info-") as archive:
        file = archive.extractfile(f"info/{name}")
        assert file is not None
        return json.load(file)


def test_the_same_package_gives_the_same_bytes_whatever_the_order_of_its_entries() -> None:
    shuffled = replace(PACKAGE, entries=list(reversed(PACKAGE.entries)))
    assert package_bytes(PACKAGE) == package_bytes(shuffled)


def test_members_have_the_time_of_the_package_and_belong_to_nobody() -> None:
    with open_conda(package_bytes(PACKAGE), "pkg-") as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(1_700_000_000, 0, 0, "")}


def test_a_hard_link_follows_the_file_that_it_names() -> None:
    with open_conda(package_bytes(PACKAGE), "pkg-") as archive:
        members = archive.getmembers()
    assert members[-1].islnk()
    assert members[-1].linkname == "share/b"


def test_placeholders_are_found_and_called_text_or_binary() -> None:
    paths = {p["_path"]: p for p in read_info(package_bytes(PACKAGE), "paths.json")["paths"]}
    assert paths["bin/run"]["file_mode"] == "text"
    assert paths["lib/binary"]["file_mode"] == "binary"
    assert "file_mode" not in paths["share/b"]
    assert len(paths["bin/run"]["prefix_placeholder"]) == 255


def test_links_have_the_hash_of_what_they_lead_to() -> None:
    paths = {p["_path"]: p for p in read_info(package_bytes(PACKAGE), "paths.json")["paths"]}
    assert paths["share/link"]["path_type"] == "softlink"
    assert paths["share/a-hardlink"]["path_type"] == "hardlink"
    assert paths["share/empty"] == {"_path": "share/empty", "path_type": "directory"}
    assert len({paths[f"share/{n}"]["sha256"] for n in ("b", "link", "a-hardlink")}) == 1


def test_an_old_package_is_one_tar() -> None:
    old = replace(PACKAGE, extension=".tar.bz2")
    with tarfile.open(fileobj=io.BytesIO(package_bytes(old)), mode="r:bz2") as archive:
        assert {"info/index.json", "share/b"} <= set(archive.getnames())
    assert old.filename == "tiny-1.0-0.tar.bz2"


def test_noarch_python_has_its_entry_points() -> None:
    package = Package("n", "1", noarch="python", entry_points=("n = n:main",))
    link = read_info(package_bytes(package), "link.json")
    assert link["noarch"] == {"type": "python", "entry_points": ["n = n:main"]}


def test_a_path_given_twice_is_refused() -> None:
    package = replace(PACKAGE, entries=[Entry("a", b"1"), Entry("a", b"2")])
    with pytest.raises(ValueError, match="path given twice: a"):
        package_bytes(package)


def test_a_placeholder_in_compiled_python_is_refused() -> None:
    package = replace(PACKAGE, entries=[Entry("a.pyc", PLACEHOLDER.encode())])
    with pytest.raises(ValueError, match=r"compiled Python: a\.pyc"):
        package_bytes(package)


def test_the_build_string_follows_the_content() -> None:
    one = with_build(replace(PACKAGE, entries=[Entry("a", b"1")]), "h{hash}_0")
    two = with_build(replace(PACKAGE, entries=[Entry("a", b"2")]), "h{hash}_0")
    assert one.build != two.build
    assert one == with_build(replace(one, build=""), "h{hash}_0")
