"""The bytecode of an environment, out of the layers of its image."""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builder.bytecode.compiler import Compiler
from builder.exports.bytecode import write_bytecode
from builder.install.prefix.unpack import extract_bytecode
from builder.install.tar_header import TarError
from builder.layer import PythonTarget
from builder.oci.digest import digest_of
from builder.sandbox.sandbox import Sandbox
from conformance.channel.writer import Entry, Package
from tests.builder.install.layers import (
    Layer,
    assemble_packages,
    assemble_wheels,
    decompress,
)
from tests.tiny_wheels import TinyWheel

SITE = "lib/python3.11/site-packages"
MODULES = [Entry(f"site-packages/demo/{name}.py", b"x = 1\n") for name in ("a", "b")]
PACKAGE = Package(
    "demo",
    "1.0",
    noarch="python",
    entries=[*MODULES, Entry("site-packages/own.pyc", b"its own"), Entry("site-packages/t", b"t")],
)
WHEEL = TinyWheel("wheel", files={"a_wheel.py": b"x = 2\n"})
COMPILED = {
    f"{SITE}/demo/__pycache__/a.cpython-311.pyc",
    f"{SITE}/demo/__pycache__/b.cpython-311.pyc",
    f"{SITE}/__pycache__/a_wheel.cpython-311.pyc",
}


@pytest.fixture
def layers(tmp_path: Path, python_prefix: Path, host_python: PythonTarget) -> list[Layer]:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    return [
        assemble_packages(tmp_path / "conda", PACKAGE, compiler=compiler),
        assemble_wheels(tmp_path / "pypi", WHEEL, compiler=compiler),
    ]


def written(tmp_path: Path, layers: list[Layer], compiled: set[str]) -> Path:
    out = tmp_path / "bytecode.tar.zst"
    out.unlink(missing_ok=True)
    files = [tmp_path / place / "layer" for place in ("conda", "pypi")]
    blobs = [layer.blob for layer in layers]
    digest = write_bytecode(list(zip(blobs, files, strict=True)), compiled, out, tmp_path)
    assert digest == digest_of(out.read_bytes())
    return out


def test_it_is_the_bytecode_of_all_layers_and_nothing_else(
    tmp_path: Path, layers: list[Layer]
) -> None:
    out = written(tmp_path, layers, COMPILED | {f"{SITE}/__pycache__/did-not-compile.pyc"})
    extract_bytecode(out, tmp_path / "out")
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    wanted = {
        name.removeprefix("opt/conda/"): content
        for layer in layers
        for name, content in layer.content.items()
    }
    assert found == {path: wanted[path] for path in COMPILED}


def test_it_is_sorted_and_the_same_in_whatever_order_layers_come(
    tmp_path: Path, layers: list[Layer]
) -> None:
    first = written(tmp_path, layers, COMPILED).read_bytes()
    (tmp_path / "tar").write_bytes(decompress(first, "zstd"))
    with tarfile.open(tmp_path / "tar") as tar:
        members = tar.getmembers()
    names = [member.name for member in members if member.isreg()]
    assert names == sorted(COMPILED)
    sources = {name: member for one in layers for name, member in one.members.items()}
    for member in members:
        if member.isreg():
            source = sources[f"opt/conda/{member.name}"]
            assert (member.mode, member.mtime) == (source.mode, source.mtime)
    out = tmp_path / "again"
    pairs = [
        (layer.blob, tmp_path / place / "layer")
        for layer, place in zip(layers, ("conda", "pypi"), strict=True)
    ]
    write_bytecode(pairs[::-1], sorted(COMPILED), out, tmp_path)
    assert out.read_bytes() == first


def test_an_environment_without_modules_has_an_empty_one(tmp_path: Path) -> None:
    out = tmp_path / "out.tar.zst"
    write_bytecode([], (), out, tmp_path)
    extract_bytecode(out, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_left_if_a_layer_is_gone_or_cut(tmp_path: Path, layers: list[Layer]) -> None:
    out, file = tmp_path / "out.tar.zst", tmp_path / "conda" / "layer"
    with pytest.raises(FileNotFoundError):
        write_bytecode([(layers[0].blob, tmp_path / "gone")], COMPILED, out, tmp_path)
    assert not out.exists()
    short = replace(layers[0].blob, tar_size_bytes=0)
    file.write_bytes(layers[0].compressed[: len(layers[0].compressed) // 2])
    with pytest.raises(TarError):
        write_bytecode([(short, file)], COMPILED, out, tmp_path)
    assert not out.exists()
