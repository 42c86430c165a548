"""The archive of a package, with its bytecode, as an unpacked package."""

import hashlib
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final

import zstandard

from builder.bytecode.compiler import MAX_MODULE_BYTES, Compilation
from builder.install.archive import PackageFile, reading
from builder.install.assemble import write_package
from builder.install.conda_meta import InstalledPath, prefix_record
from builder.install.hardlinks import Written
from builder.install.layout import ROOT
from builder.install.limits import Limits
from builder.install.package_info import PackagePath, Relocation, dist_name
from builder.install.package_writer import PackageWriter, readable_mode
from builder.install.prefix.rendering import TemplateMarks
from builder.install.prefix.unpacked import UnpackedPackage, write_index
from builder.install.prefix.unpacked_sink import BytecodeSink, UnpackedSink
from builder.install.tar_reader import TarReader
from builder.install.tar_writer import GENERATED_MTIME
from builder.install.wheel.archive import WheelFile
from builder.install.wheel.info import wheel_label
from builder.install.wheel.writer import PYTHON_PLACEHOLDER, WheelWriter, python_line
from builder.layer import PREFIX, LayerPackage, PythonTarget
from builder.records import WheelRecord

#: What bytecode is compressed with here has a smaller window.
_MAX_WINDOW_BYTES: Final = 128 * 1024 * 1024
#: What names it in errors.
_BYTECODE: Final = "bytecode"


def unpack(
    package: LayerPackage,
    python: PythonTarget | None,
    archive: Path,
    bytecode: Path | None,
    out: Path,
    umask: int = 0o022,
    limits: Limits | None = None,
) -> UnpackedPackage:
    """Unpack a package to ``out``, which is whole when this returns, and nothing when it raises.

    It can be called in another process: what it is given and what it returns can be pickled. It
    does not wait until all has reached the disk.

    Args:
        package: What is unpacked, with what the others of the installation change in it.
        python: What ``InstallationPlan.python_of`` says of it.
        archive: The file of the package or wheel, verified.
        bytecode: A directory with the bytecode of the installation's modules, where it is
            installed (see :func:`extract_bytecode`); ``None``: modules get none.
        out: Does not exist; the directory above it does.
        umask: Permissions that no file has.
        limits: What it may unpack to; ``None`` for the usual.

    Raises:
        PackageError: As :func:`builder.install.assemble.assemble`, but for a placeholder that is
            too short: whether it is, depends on the prefix.
        OSError: It cannot be written.
    """
    record = package.record
    label = wheel_label(record) if isinstance(record, WheelRecord) else dist_name(record)
    # What is in the archive cannot hold a hash of the archive.
    marks = TemplateMarks(hashlib.sha256(record.sha256.encode()).hexdigest())
    out.mkdir(mode=0o755)
    try:
        with UnpackedSink(out, marks, bytecode, umask) as sink:
            write_package(
                package,
                archive,
                python,
                sink,
                out,
                None,
                _UnpackedPackageWriter,
                _UnpackedWheelWriter,
                limits=limits,
            )
            unpacked = sink.package(label)
            write_index(out, unpacked)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return unpacked


def extract_bytecode(archive: Path, to: Path) -> None:
    """Unpack an installation's bytecode into ``to``, which is made, and is nothing when it raises.

    Args:
        archive: A tar, compressed with zstd, of files whose paths are relative to the prefix.
        to: Does not exist.

    Raises:
        CorruptPackage: The archive is damaged.
        UnsafePackage: It has something else than modules' bytecode, or unpacks to too much.
        OSError: It cannot be written.
    """
    to.mkdir()
    try:
        with BytecodeSink(to) as sink, archive.open("rb") as file, reading(_BYTECODE):
            decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            stream = decompressor.stream_reader(file, read_across_frames=True)
            for entry in TarReader(stream.read, Limits().unpacked_bytes):
                if entry.kind != "directory":
                    sink.add(entry)
    except BaseException:
        shutil.rmtree(to, ignore_errors=True)
        raise


class _UnpackedPackageWriter(PackageWriter):
    """Writes one package, and leaves what the prefix decides."""

    @property
    def _sink(self) -> UnpackedSink:
        assert isinstance(self._tar, UnpackedSink)
        return self._tar

    def _write_file(
        self,
        file: PackageFile,
        known: PackagePath,
        installed: str,
        destination: str,
        compilation: Compilation | None,
    ) -> None:
        bytecode = self._layout.bytecode(file.path)
        if bytecode is None or file.size_bytes > MAX_MODULE_BYTES:
            super()._write_file(file, known, installed, destination, None)
            return
        # The record in an image has the real hash of what was compiled there.
        real = known if known.relocation else replace(known, sha256=None)
        digest = self._write_body(file, file, real, destination)
        written = Written(destination, digest, file.size_bytes)
        self._links.note_file(file.path, known.relocation, written)
        self._note(known, installed, "hardlink", file.size_bytes, digest)
        if not self._sink.is_prefixed(destination):
            self._modules.append((bytecode, file.mtime))

    def _write_relocated(
        self, file: PackageFile, body: PackageFile, relocation: Relocation, destination: str
    ) -> str | None:
        digest = self._sink.add_relocated(
            ROOT + destination, readable_mode(file.mode), file.mtime, relocation, body.chunks()
        )
        return self._sink.marks.sha256(destination) if digest is None else digest

    def _write_entry_point(self, path: str, script: bytes) -> None:
        self._sink.add_script(ROOT + path, GENERATED_MTIME, PREFIX, [script])

    def _write_bytecode(self, compilation: Compilation | None) -> None:
        for path, mtime in self._modules:
            destination = self._layout.destinations.of(path)
            if destination and self._sink.add_bytecode(ROOT + destination, mtime):
                self._installed.append(InstalledPath(path, "pyc_file"))

    def _write_record(self, path: str) -> None:
        # Without a source most records are the same in every prefix, and shared.
        record = prefix_record(self._record, self._info, self._installed, source="")
        self._sink.add_template(ROOT + path, record)


class _UnpackedWheelWriter(WheelWriter):
    """Writes one wheel, and leaves what the prefix decides."""

    @property
    def _sink(self) -> UnpackedSink:
        assert isinstance(self._tar, UnpackedSink)
        return self._tar

    def _write_file(self, file: WheelFile, compilation: Compilation | None) -> None:
        super()._write_file(file, None)
        installed = self._installed(file.path)
        bytecode = self._bytecode(installed)
        if bytecode and file.size_bytes <= MAX_MODULE_BYTES and self._destinations.of(installed):
            self._modules.append((bytecode, file.mtime))

    def _write_script(self, file: WheelFile, installed: str, destination: str | None) -> None:
        chunks = file.chunks()
        first = next(chunks, b"")
        if destination is None or not first.startswith(PYTHON_PLACEHOLDER):
            super()._write_script(file, installed, destination)
            return
        # Nothing else in the script is replaced, though it may name the directory of an image.
        placeholder = f"/{self._sink.marks.seed}"
        _, newline, rest = first.partition(b"\n")
        line = python_line(placeholder, self._python)
        body = chain([line + newline + rest], chunks)
        self._sink.add_script(ROOT + destination, file.mtime, placeholder, body)
        self._note_script(installed, destination)

    def _write_entry_point(self, installed: str, script: bytes) -> None:
        destination = self._destinations.of(installed)
        if destination is None:
            super()._write_entry_point(installed, script)
            return
        self._sink.add_script(ROOT + destination, GENERATED_MTIME, PREFIX, [script])
        self._note_script(installed, destination)

    def _note_script(self, installed: str, destination: str) -> None:
        marks = self._sink.marks
        self._note(installed, f"sha256={marks.record(destination)}", marks.size(destination))

    def _write_bytecode(self, compilation: Compilation | None) -> None:
        for path, mtime in self._modules:
            destination = self._destinations.of(path)
            if destination and self._sink.add_bytecode(ROOT + destination, mtime):
                self._note(path)

    def _write_record(self, installed: str) -> None:
        destination = self._destinations.of(installed)
        if destination is not None:
            self._sink.add_template(ROOT + destination, self._record())
