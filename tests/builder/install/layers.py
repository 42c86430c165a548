"""Tiny packages, assembled and taken apart again."""

import hashlib
import io
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from isal import isal_zlib

from builder.bytecode.compiler import Compiler
from builder.install.assemble import assemble
from builder.install.limits import Limits
from builder.layer import Encoding, LayerBlob, LayerPackage, LayerPlan, PythonTarget
from builder.records import PackageRecord
from conformance.channel.writer import Package, package_bytes
from tests.tiny_wheels import TinyWheel, wheel_bytes, wheel_record

PYTHON = PythonTarget("3.11.7", "lib/python3.11/site-packages")
_GOLDEN = Path(__file__).parents[2] / "golden"
#: 2020-01-01, which the writer gives to every member.
WRITTEN = 1_577_836_800


@dataclass(frozen=True, slots=True)
class Changed:
    """A package with what the rest of the image changes in it."""

    package: Package
    omit: tuple[str, ...] = ()
    redirects: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    blob: LayerBlob
    compressed: bytes
    tar: bytes
    members: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)

    def names(self) -> list[str]:
        return list(self.members)

    def below_prefix(self) -> list[str]:
        """Paths of files and links in the order of the tar, without what every layer has."""
        skipped = ("opt/conda/conda-meta/",)
        return [
            name.removeprefix("opt/conda/")
            for name, member in self.members.items()
            if not member.isdir() and not name.startswith(skipped)
        ]

    def text(self, path: str) -> str:
        return self.content[f"opt/conda/{path}"].decode()


def record_of(package: Package, data: bytes, subdir: str | None = None) -> PackageRecord:
    subdir = subdir or package.subdir
    return PackageRecord(
        name=package.name,
        version=package.version,
        build=package.build,
        build_number=package.build_number,
        subdir=subdir,
        url=f"https://channel.test/main/{subdir}/{package.filename}",
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data).hexdigest(),
        size_bytes=len(data),
        depends=package.depends,
        noarch=package.noarch,
    )


def store(directory: Path, data: bytes) -> Path:
    """Write an archive as the package cache does: under its hash, without an extension."""
    path = directory / hashlib.sha256(data).hexdigest()
    path.write_bytes(data)
    return path


def assemble_bytes(
    directory: Path,
    packages: Sequence[tuple[LayerPackage, bytes]],
    encoding: Encoding = "zstd",
    compiler: Compiler | None = None,
    python: PythonTarget | None = PYTHON,
    threads: int = 2,
    limits: Limits | None = None,
) -> Layer:
    directory.mkdir(exist_ok=True)
    paths = {package.record.sha256: store(directory, data) for package, data in packages}
    plan = LayerPlan(tuple(package for package, _ in packages), python)
    out = directory / "layer"
    out.unlink(missing_ok=True)
    blob = assemble(plan, paths, encoding, out, directory, compiler, threads=threads, limits=limits)
    return _take_apart(blob, out.read_bytes())


def assemble_packages(
    directory: Path,
    *packages: Package | Changed,
    encoding: Encoding = "zstd",
    compiler: Compiler | None = None,
    threads: int = 2,
) -> Layer:
    planned = []
    for given in packages:
        changed = given if isinstance(given, Changed) else Changed(given)
        data = package_bytes(changed.package)
        record = record_of(changed.package, data)
        planned.append((LayerPackage(record, changed.omit, changed.redirects), data))
    return assemble_bytes(directory, planned, encoding, compiler, threads=threads)


def decompress(data: bytes, encoding: Encoding) -> bytes:
    if encoding == "zstd":
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        return reader.read()
    parts: list[bytes] = []
    while data:
        member = isal_zlib.decompressobj(31)
        parts.append(member.decompress(data))
        data = member.unused_data
    return b"".join(parts)


def _take_apart(blob: LayerBlob, compressed: bytes) -> Layer:
    tar = decompress(compressed, blob.encoding)
    layer = Layer(blob, compressed, tar)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            assert member.name not in layer.members, f"{member.name} is there twice"
            layer.members[member.name] = member
            if member.isreg():
                body = archive.extractfile(member)
                assert body is not None
                layer.content[member.name] = body.read()
    return layer


def assemble_wheels(
    directory: Path,
    *wheels: TinyWheel,
    encoding: Encoding = "zstd",
    compiler: Compiler | None = None,
    threads: int = 2,
) -> Layer:
    planned = [(LayerPackage(wheel_record(wheel)), wheel_bytes(wheel)) for wheel in wheels]
    return assemble_bytes(directory, planned, encoding, compiler, threads=threads)


def listing(layer: Layer) -> str:
    """Every entry of a layer in a line, as golden files have it."""
    lines = []
    for name, member in layer.members.items():
        digest = hashlib.sha256(layer.content.get(name, b"")).hexdigest()[:12]
        what = f"-> {member.linkname}" if member.linkname else digest if member.isreg() else ""
        kind = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}.get(
            member.type, "-"
        )
        mode = stat.filemode(member.mode)[1:]
        lines.append(f"{kind}{mode} {member.size:>5} {member.mtime:>10} {name} {what}".rstrip())
    return "\n".join([f"diff_id {layer.blob.diff_id}", *lines, ""])


def compare_golden(name: str, actual: str) -> None:
    """Compare with ``tests/golden/<name>``; what has changed on purpose is copied there by hand."""
    assert actual == (_GOLDEN / name).read_text(encoding="utf-8")
