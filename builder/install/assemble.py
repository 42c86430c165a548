"""A layer from package archives or wheels, in one stream.

::

    archive ─→ decompress ─→ tar reader ─→ map, replace prefixes ─→ tar writer ─→ 4 MiB pieces
                                                 │      ↑                              │
                                              sources  bytecode              hash, compress, hash
                                                 ↓      │                              ↓
                                              the target's Python                  the layer

Nothing is unpacked to disk, and memory does not grow with the package. The layer is a pure function
of its plan and encoding: no clock, locale, umask, number of cores or order of a set has a say.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from builder.bytecode.compiler import Compiler
from builder.errors import UnsafePackage
from builder.install.archive import PackageArchive
from builder.install.layer_sink import LayerSink
from builder.install.layout import ROOT
from builder.install.limits import Limits
from builder.install.noarch import need_python
from builder.install.package_info import check_identity, dist_name
from builder.install.package_writer import PackageWriter
from builder.install.paths import PathTaken
from builder.install.tar_writer import GENERATED_MTIME, TarWriter
from builder.install.tree_sink import TreeSink
from builder.install.wheel.archive import WheelArchive
from builder.install.wheel.info import wheel_label
from builder.install.wheel.writer import WheelWriter
from builder.layer import Encoding, LayerBlob, LayerPackage, LayerPlan, PythonTarget
from builder.records import WheelRecord

#: Makes conda see a prefix. Every layer has it, empty, so that no layer is special.
HISTORY: Final = ROOT + "conda-meta/history"


def assemble(
    plan: LayerPlan,
    archives: Mapping[str, Path],
    encoding: Encoding,
    out: Path,
    scratch: Path,
    compiler: Compiler | None,
    *,
    threads: int = 2,
    limits: Limits | None = None,
) -> LayerBlob:
    """Write the layer of ``plan`` to ``out`` and return what it is; both encodings share a tar.

    When it raises, there is nothing at ``out``.

    Args:
        plan: The packages, in the order in which they are written.
        archives: The file of each package or wheel, verified, by the sha256 of its record.
        encoding: How the layer is compressed.
        out: Does not exist.
        scratch: A directory for temporary files; needs room for the largest text with a prefix
            in it and for the modules of one package with their bytecode.
        compiler: Makes bytecode for ``noarch: python`` packages and wheels; ``None`` leaves it
            out.
        threads: How many pieces are compressed side by side. The layer does not depend on it.
        limits: What each package may unpack to; ``None`` for the usual.

    Raises:
        CorruptPackage: An archive is damaged, or is another package than its record says.
        UnsafePackage: A package would write where it must not, or unpacks to too much.
        UnsupportedPackage: A package has something that cannot be put into a layer.
        BytecodeError: The modules of a package could not be compiled.
    """
    with out.open("xb") as file:
        try:
            return _assemble(
                plan, archives, LayerSink(file, encoding, threads), scratch, compiler, limits
            )
        except BaseException:
            out.unlink()
            raise


def _assemble(
    plan: LayerPlan,
    archives: Mapping[str, Path],
    sink: LayerSink,
    scratch: Path,
    compiler: Compiler | None,
    limits: Limits | None,
) -> LayerBlob:
    try:
        tar = TarWriter(sink.write)
        tar.add_file(HISTORY, 0o644, GENERATED_MTIME, 0, ())
        for package in plan.packages:
            path = archives[package.record.sha256]
            write_package(package, path, plan.python, tar, scratch, compiler, limits=limits)
        tar.finish()
        return sink.finish()
    finally:
        sink.abort()


def write_package(
    package: LayerPackage,
    path: Path,
    python: PythonTarget | None,
    tar: TreeSink,
    scratch: Path,
    compiler: Compiler | None,
    conda_writer: type[PackageWriter] = PackageWriter,
    wheel_writer: type[WheelWriter] = WheelWriter,
    *,
    limits: Limits | None = None,
) -> None:
    """Write the package or wheel at ``path`` to ``tar``; arguments are as in :func:`assemble`."""
    try:
        if isinstance(package.record, WheelRecord):
            wheel = WheelArchive(path, package.record, limits)
            target = need_python(wheel_label(package.record), python)
            wheel_writer(
                package, package.record, wheel, wheel.read_info(), target, tar, scratch
            ).write(compiler)
        else:
            archive = PackageArchive(path, dist_name(package.record), limits)
            info = archive.read_info()
            check_identity(package.record, info)
            conda_writer(package, package.record, archive, info, python, tar, scratch).write(
                compiler
            )
    except PathTaken as exc:
        taken = exc.path.removeprefix(ROOT)
        name = f"{package.record.name}-{package.record.version}"
        raise UnsafePackage(f"path '{taken}' of package '{name}' {exc.fault}") from exc
