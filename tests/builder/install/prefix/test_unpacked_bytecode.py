"""Bytecode of modules comes from the image: nothing is compiled where prefixes are made."""

import tarfile
from pathlib import Path

import pytest

from builder.bytecode.compiler import Compiler
from builder.errors import CorruptPackage, PackageError, UnsafePackage
from builder.install.prefix.unpack import extract_bytecode
from builder.install.prefix.unpacked import read_unpacked
from builder.layer import LayerPackage, PythonTarget
from builder.sandbox.sandbox import Sandbox
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from tests.builder.install.layers import assemble_bytes, record_of
from tests.builder.install.prefix.unpacking import (
    bytecode_of,
    in_image,
    in_prefix,
    require_equal,
    tar_of,
    tar_with,
    unpacked,
)
from tests.builder.install.test_bytecode_in_layers import PACKAGE, SITE
from tests.tiny_wheels import EVERYTHING, wheel_bytes, wheel_record

Planned = tuple[LayerPackage, bytes]


def _conda(package: Package, omit: tuple[str, ...] = ()) -> Planned:
    data = package_bytes(package)
    return LayerPackage(record_of(package, data), omit), data


_WHEEL: Planned = LayerPackage(wheel_record(EVERYTHING)), wheel_bytes(EVERYTHING)
_CACHE = f"{SITE}/demo/__pycache__"


@pytest.mark.parametrize(
    "planned",
    [
        _conda(PACKAGE),
        _conda(PACKAGE, omit=(f"{_CACHE}/b.cpython-311.pyc", f"{SITE}/demo/a.py")),
        _WHEEL,
    ],
    ids=["package", "left-out", "wheel"],
)
def test_with_bytecode_of_the_image_it_is_what_is_in_the_image(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget, planned: Planned
) -> None:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    layer = assemble_bytes(tmp_path / "in", [planned], compiler=compiler, python=host_python)
    extract_bytecode(tar_of(tmp_path / "tar", bytecode_of(layer)), tmp_path / "bytecode")
    directory = unpacked(tmp_path / "out", *planned, tmp_path / "bytecode", host_python)
    require_equal(in_image(layer), in_prefix(directory))


def test_modules_that_hold_the_prefix_get_none(tmp_path: Path) -> None:
    package = Package(
        "demo",
        "1.0",
        noarch="python",
        entries=[
            Entry("site-packages/a.py", f"x = {PLACEHOLDER!r}\n".encode()),
            Entry("site-packages/b.py", b"x = 1\n", prefix_mode="text"),
            Entry("site-packages/c.py", b"x = 1\n"),
        ],
    )
    names = {f"{SITE}/__pycache__/{name}.cpython-311.pyc": b"pyc" for name in "abc"}
    extract_bytecode(tar_of(tmp_path / "tar", names), tmp_path / "bytecode")
    directory = unpacked(tmp_path / "out", *_conda(package), tmp_path / "bytecode")
    found = [path for path in read_unpacked(directory).shared if path.endswith(".pyc")]
    assert found == [f"{SITE}/__pycache__/{name}.cpython-311.pyc" for name in "bc"]


def test_bytecode_that_belongs_to_no_module_is_left_alone(tmp_path: Path) -> None:
    names = [f"{_CACHE}/a.cpython-311.pyc", f"{_CACHE}/z.cpython-311.pyc", "bin/x.pyc"]
    archive = tar_of(tmp_path / "tar", dict.fromkeys(names, b"pyc"))
    extract_bytecode(archive, tmp_path / "bytecode")
    directory = unpacked(tmp_path / "out", *_conda(PACKAGE), tmp_path / "bytecode")
    found = [path for path in read_unpacked(directory).shared if path.endswith(".pyc")]
    assert found == names[:1]


def test_a_symlink_among_the_bytecode_is_not_followed(tmp_path: Path) -> None:
    cache = tmp_path / "bytecode" / _CACHE
    cache.mkdir(parents=True)
    (cache / "a.cpython-311.pyc").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        unpacked(tmp_path / "out", *_conda(PACKAGE), tmp_path / "bytecode")
    assert not (tmp_path / "out/unpacked").exists()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


_HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "parent": [_member("../out.pyc")],
    "absolute": [_member("/tmp/out.pyc")],
    "inner-parent": [_member("a/../../out.pyc")],
    "twice": [_member("a.pyc"), _member("a.pyc")],
    "below-a-file": [_member("a.pyc"), _member("a.pyc/b.pyc")],
    "symlink": [_member("a.pyc", tarfile.SYMTYPE, "/etc/passwd")],
    "hard-link": [_member("a.pyc", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [_member("a.pyc", tarfile.CHRTYPE)],
    "pipe": [_member("a.pyc", tarfile.FIFOTYPE)],
    "program": [_member("bin/python")],
    "control-characters": [_member("a\nb.pyc")],
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_an_archive_of_anything_else_is_refused(tmp_path: Path, name: str) -> None:
    archive = tar_with(tmp_path / "tar", [(member, b"") for member in _HOSTILE[name]])
    with pytest.raises(UnsafePackage):
        extract_bytecode(archive, tmp_path / "bytecode")
    assert [path.name for path in tmp_path.iterdir()] == ["tar"]


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    archive = tar_of(tmp_path / "tar", {"a.pyc": b"x" * 100, "b/c.pyc": b"y" * 100})
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(CorruptPackage):
        extract_bytecode(archive, tmp_path / "bytecode")
    assert [path.name for path in tmp_path.iterdir()] == ["tar"]


def test_too_many_modules_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.install.prefix.unpacked_sink._MAX_MODULES", 2)
    archive = tar_of(tmp_path / "tar", {f"{name}.pyc": b"" for name in "abc"})
    with pytest.raises(PackageError, match="more than is allowed"):
        extract_bytecode(archive, tmp_path / "bytecode")
