"""One wheel's part of a layer.

What pip would leave in the prefix, in another order: the files, the scripts of entry points, the
bytecode, INSTALLER, and last RECORD, which lists them all. There is no REQUESTED, since a lock does
not say which wheels were asked for, and no ``direct_url.json``, which wheels of an index never get.

Source: PyPA's "Binary distribution format" and "Recording installed projects".
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from posixpath import relpath
from typing import Final

from builder.bytecode.compiler import MAX_MODULE_BYTES, Compilation, Compiler
from builder.install.layout import ROOT, Destinations
from builder.install.noarch import bytecode_path, entry_point_script
from builder.install.tar_writer import GENERATED_MTIME
from builder.install.tree_sink import TreeSink
from builder.install.wheel.archive import (
    WheelArchive,
    WheelFile,
    installed_members,
    record_digest,
)
from builder.install.wheel.contents import written_members
from builder.install.wheel.info import WheelInfo, wheel_label
from builder.install.wheel.scheme import (
    command_paths,
    installed_member,
    is_module,
    is_script,
)
from builder.layer import PREFIX, LayerPackage, PythonTarget
from builder.records import WheelRecord

_INSTALLER: Final = b"pullforge\n"
#: What the first line of a script starts with that is to be run by the environment's Python.
PYTHON_PLACEHOLDER: Final = b"#!python"


class WheelWriter:
    """Writes one wheel of a layer into its tar, or another sink; used once."""

    def __init__(
        self,
        package: LayerPackage,
        record: WheelRecord,
        archive: WheelArchive,
        info: WheelInfo,
        python: PythonTarget,
        tar: TreeSink,
        scratch: Path,
    ) -> None:
        self._label = wheel_label(record)
        self._destinations = Destinations(package, self._label)
        self._archive = archive
        self._info = info
        self._python = python
        self._tar = tar
        self._scratch = scratch
        points = info.entry_points
        #: By the path of the script.
        self._commands = {
            path: points[named] for path, named in command_paths(points, info.stem, python).items()
        }
        #: Of RECORD: path, hash, size.
        self._rows: list[tuple[str, str, str]] = []
        #: Modules handed to the compiler: where their bytecode goes, and their time.
        self._modules: list[tuple[str, int]] = []

    def write(self, compiler: Compiler | None) -> None:
        """Write everything the wheel installs.

        Raises:
            CorruptPackage: The wheel is damaged.
            UnsafePackage: A path must not be written.
            BytecodeError: The compiler failed.
            PathTaken: Two files have one path, or another wheel of the layer has it.
        """
        installer, record = (self._installed(path) for path in written_members(self._info.stem))
        with ExitStack() as stack:
            compilation = None
            if compiler is not None:
                compilation = stack.enter_context(compiler.start(self._label, self._scratch))
            # A file below .data takes the place of another, as pip and uv write it later.
            written = {self._installed(path): path for path in self._in_order_of_writing()}
            for file in self._archive.files(self._info):
                if written[self._installed(file.path)] == file.path:
                    self._write_file(file, compilation)
            for path, point in self._commands.items():
                self._write_entry_point(path, entry_point_script(point, self._python))
            self._write_bytecode(compilation)
        self._write_generated(installer, 0o644, _INSTALLER)
        self._note(record)
        self._write_record(record)

    def _write_file(self, file: WheelFile, compilation: Compilation | None) -> None:
        installed = self._installed(file.path)
        if installed in self._commands:
            return  # pip writes entry points last, over a script of that name
        destination = self._destinations.of(installed)
        if is_script(file.path, self._info.stem):
            self._write_script(file, installed, destination)
            return
        body = file.chunks()
        if destination is None:
            _read(body)
        else:
            bytecode = self._bytecode(installed) if compilation else None
            if bytecode and compilation and file.size_bytes <= MAX_MODULE_BYTES:
                source = b"".join(body)
                compilation.add(f"{PREFIX}/{installed}", source)
                self._modules.append((bytecode, file.mtime))
                body = iter([source])
            mode = 0o755 if file.is_executable else 0o644
            self._tar.add_file(ROOT + destination, mode, file.mtime, file.size_bytes, body)
        self._note(installed, file.hashed, file.size_bytes)

    def _write_script(self, file: WheelFile, installed: str, destination: str | None) -> None:
        """Write a command in a stream, executable even if Windows made the wheel."""
        chunks = file.chunks()
        first, size_bytes = next(chunks, b""), file.size_bytes
        if first.startswith(PYTHON_PLACEHOLDER):
            line, newline, rest = first.partition(b"\n")
            changed = python_line(PREFIX, self._python)
            first = changed + newline + rest
            size_bytes += len(changed) - len(line)
        digest = hashlib.sha256()
        body = _hashed(chain([first], chunks), digest)
        if destination is None:
            _read(body)
        else:
            self._tar.add_file(ROOT + destination, 0o755, file.mtime, size_bytes, body)
        self._note(installed, f"sha256={record_digest(digest.digest())}", size_bytes)

    def _write_entry_point(self, installed: str, script: bytes) -> None:
        self._write_generated(installed, 0o755, script)

    def _write_bytecode(self, compilation: Compilation | None) -> None:
        results = compilation.results() if compilation else ()
        for (path, mtime), pyc in zip(self._modules, results, strict=True):
            if pyc is not None:
                self._note(path)
                self._write(path, 0o644, mtime, pyc)

    def _write_generated(self, installed: str, mode: int, content: bytes) -> None:
        digest = record_digest(hashlib.sha256(content).digest())
        self._note(installed, f"sha256={digest}", len(content))
        self._write(installed, mode, GENERATED_MTIME, content)

    def _write_record(self, installed: str) -> None:
        self._write(installed, 0o644, GENERATED_MTIME, self._record())

    def _write(self, installed: str, mode: int, mtime: int, content: bytes) -> None:
        destination = self._destinations.of(installed)
        if destination is not None:
            self._tar.add_file(ROOT + destination, mode, mtime, len(content), [content])

    def _in_order_of_writing(self) -> list[str]:
        data = f"{self._info.stem}.data/"
        return sorted(installed_members(self._info), key=lambda path: path.startswith(data))

    def _installed(self, path: str) -> str:
        return installed_member(path, self._info.stem, self._python)

    def _bytecode(self, installed: str) -> str | None:
        """Return where a module's bytecode goes; ``None`` if it is in the wheel or a later one."""
        if not is_module(installed, self._python):
            return None
        path = bytecode_path(installed, self._python)
        brought = path.removeprefix(f"{self._python.site_packages}/") in self._info.algorithms
        return None if brought or self._destinations.leaves_out(path) else path

    def _note(self, installed: str, hashed: str = "", size_bytes: int | str = "") -> None:
        path = relpath(installed, self._python.site_packages)
        self._rows.append((path, hashed, str(size_bytes)))

    def _record(self) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(sorted(self._rows))
        return text.getvalue().encode()


def python_line(prefix: str, python: PythonTarget) -> bytes:
    """Return the first line of a script that is run by the Python of ``prefix``."""
    return f"#!{prefix}/bin/python{python.short}".encode()


def _read(body: Iterable[bytes]) -> None:
    """Read to the end what is installed by another package, for the hash of RECORD."""
    for _ in body:
        pass


def _hashed(chunks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
