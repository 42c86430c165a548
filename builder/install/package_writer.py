"""One package's part of a layer."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from builder.bytecode.compiler import MAX_MODULE_BYTES, Compilation, Compiler
from builder.errors import CorruptPackage
from builder.install.archive import PackageArchive, PackageFile
from builder.install.conda_meta import InstalledPath, prefix_record, record_path
from builder.install.hardlinks import HardLinks, Written
from builder.install.layout import ROOT, Layout
from builder.install.noarch import entry_point_script
from builder.install.package_info import PackageInfo, PackagePath, Relocation, dist_name
from builder.install.relocate import check_relocation, relocate, relocate_target
from builder.install.tar_reader import Buffer
from builder.install.tar_writer import GENERATED_MTIME
from builder.install.tree_sink import TreeSink
from builder.layer import PREFIX, LayerPackage, PythonTarget
from builder.records import PackageRecord

Chunk = TypeVar("Chunk", bytes, Buffer)

_CHUNK: Final = 1024 * 1024
#: What is changed in memory; larger texts go through a file.
_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024


class PackageWriter:
    """Writes one package of a layer into its tar, or another sink; used once."""

    def __init__(
        self,
        package: LayerPackage,
        record: PackageRecord,
        archive: PackageArchive,
        info: PackageInfo,
        python: PythonTarget | None,
        tar: TreeSink,
        scratch: Path,
    ) -> None:
        """Prepare to write.

        Raises:
            UnsupportedPackage: The package needs a Python, and there is none.
        """
        self._record = record
        self._archive = archive
        self._info = info
        self._tar = tar
        self._scratch = scratch
        self._label = dist_name(record)
        self._layout = Layout(package, info, python, self._label)
        self._links = HardLinks(archive, self._label)
        self._installed: list[InstalledPath] = []
        #: Modules handed to the compiler: where their bytecode goes, and their time.
        self._modules: list[tuple[str, int]] = []

    def write(self, compiler: Compiler | None) -> None:
        """Write everything the package installs, and its record, in the order of the archive.

        Raises:
            CorruptPackage: The archive is damaged, or lacks a file that it lists.
            UnsafePackage: A path must not be written.
            UnsupportedPackage: Something in it cannot be put into a layer.
            BytecodeError: The compiler failed.
            PathTaken: Another package of the layer has the path.
        """
        with ExitStack() as stack:
            compilation = None
            if compiler is not None and self._layout.python is not None:
                compilation = stack.enter_context(compiler.start(self._label, self._scratch))
            self._write_files(compilation)
            self._write_directories()
            self._write_entry_points()
            self._write_bytecode(compilation)
        self._write_record(record_path(self._record))

    def _write_files(self, compilation: Compilation | None) -> None:
        missing = {path for path, known in self._info.paths.items() if known.type != "directory"}
        for file in self._archive.files():
            # As conda does: what the package does not list is not installed.
            known = self._info.paths.get(file.path)
            missing.discard(file.path)
            installed = self._layout.installed(file.path)
            destination = self._layout.file_destination(file.path)
            if file.kind == "file":
                if known and destination:
                    self._write_file(file, known, installed, destination, compilation)
            elif file.kind == "symlink":
                self._write_symlink(file, known, installed, destination)
            elif file.kind == "hardlink":
                self._write_hardlink(file, known, installed, destination)
        self._check_missing(missing)

    def _check_missing(self, missing: set[str]) -> None:
        if missing:
            raise CorruptPackage(
                f"package '{self._label}' is damaged: it lists '{min(missing)}' but lacks it"
            )

    def _write_file(
        self,
        file: PackageFile,
        known: PackagePath,
        installed: str,
        destination: str,
        compilation: Compilation | None,
    ) -> None:
        bytecode = self._layout.bytecode(file.path) if compilation else None
        digest = None
        if bytecode and compilation and file.size_bytes <= MAX_MODULE_BYTES:
            if known.relocation:
                check_relocation(self._label, file.path, known.relocation)
            source = b"".join(_relocated(file, known.relocation))
            digest = hashlib.sha256(source).hexdigest()
            compilation.add(f"{PREFIX}/{installed}", source)
            self._modules.append((bytecode, file.mtime))
            self._add(destination, file, len(source), [source])
        else:
            digest = self._write_body(file, file, known, destination)
        written = Written(destination, digest, file.size_bytes)
        self._links.note_file(file.path, known.relocation, written)
        self._note(known, installed, "hardlink", file.size_bytes, digest)

    def _write_body(
        self, file: PackageFile, body: PackageFile, known: PackagePath, destination: str
    ) -> str | None:
        """Write a file; return the sha256 of what was written, where the package does not say."""
        if known.relocation:
            return self._write_relocated(file, body, known.relocation, destination)
        chunks, digest = body.chunks(), None
        if known.sha256 is None:
            digest = hashlib.sha256()
            chunks = _hashed(chunks, digest.update)
        self._add(destination, file, body.size_bytes, chunks)
        return digest.hexdigest() if digest else None

    def _write_relocated(
        self, file: PackageFile, body: PackageFile, relocation: Relocation, destination: str
    ) -> str | None:
        """Write a file with its prefix replaced; return the sha256 of what was written."""
        check_relocation(self._label, file.path, relocation)
        digest = hashlib.sha256()
        if body.size_bytes <= _IN_MEMORY_BYTES:
            content = b"".join(relocate(body.chunks(), relocation))
            digest.update(content)
            self._add(destination, file, len(content), [content])
        elif relocation.mode == "binary":
            chunks = _hashed(relocate(body.chunks(), relocation), digest.update)
            self._add(destination, file, body.size_bytes, chunks)
        else:
            # The header comes first and has the size, which is known when all is replaced.
            with tempfile.TemporaryFile(dir=self._scratch) as spool:
                for chunk in _hashed(relocate(body.chunks(), relocation), digest.update):
                    spool.write(chunk)
                size = spool.tell()
                spool.seek(0)
                self._add(destination, file, size, iter(lambda: spool.read(_CHUNK), b""))
        return digest.hexdigest()

    def _write_symlink(
        self,
        file: PackageFile,
        known: PackagePath | None,
        installed: str,
        destination: str | None,
        target: str | None = None,
    ) -> None:
        target = relocate_target(file.link, self._info) if target is None else target
        self._links.note_symlink(file.path, target)
        if known and destination:
            self._tar.add_symlink(ROOT + destination, target, file.mtime)
            self._note(known, installed, "softlink", len(target.encode()))

    def _write_hardlink(
        self, file: PackageFile, known: PackagePath | None, installed: str, destination: str | None
    ) -> None:
        root = self._links.root(file)
        target = self._links.symlink(root)
        if target is not None:
            self._write_symlink(file, known, installed, destination, target)
            return
        if not known or not destination:
            return
        if (found := self._links.written(root, known.relocation)) is not None:
            written, digest, size_bytes = found
            mode = readable_mode(file.mode)
            self._tar.add_hardlink(ROOT + destination, ROOT + written, mode, file.mtime)
        else:
            body = self._links.read_again(root, file.path)
            size_bytes = body.size_bytes
            digest = self._write_body(file, body, known, destination)
            self._links.note_file(root, known.relocation, Written(destination, digest, size_bytes))
        self._note(known, installed, "hardlink", size_bytes, digest)

    def _write_directories(self) -> None:
        """Write the directories that the package lists, which are those that are empty."""
        for path, known in self._info.paths.items():
            if known.type == "directory":
                installed = self._layout.installed(path)
                destination = self._layout.destinations.of(installed)
                if destination:
                    self._tar.add_directory(ROOT + destination)
                    self._installed.append(InstalledPath(installed, "directory"))

    def _write_entry_points(self) -> None:
        if self._layout.python is None:
            return
        for path, point in self._layout.entry_points.items():
            destination = self._layout.destinations.of(path)
            if destination:
                script = entry_point_script(point, self._layout.python)
                self._write_entry_point(destination, script)
                self._installed.append(InstalledPath(path, "unix_python_entry_point"))

    def _write_entry_point(self, path: str, script: bytes) -> None:
        self._write_generated(path, 0o755, script)

    def _write_bytecode(self, compilation: Compilation | None) -> None:
        results = compilation.results() if compilation else ()
        for (path, mtime), pyc in zip(self._modules, results, strict=True):
            destination = self._layout.destinations.of(path)
            if pyc is not None and destination:
                self._tar.add_file(ROOT + destination, 0o644, mtime, len(pyc), [pyc])
                self._installed.append(InstalledPath(path, "pyc_file"))

    def _write_record(self, path: str) -> None:
        record = prefix_record(self._record, self._info, self._installed)
        self._write_generated(path, 0o644, record)

    def _write_generated(self, path: str, mode: int, content: bytes) -> None:
        self._tar.add_file(ROOT + path, mode, GENERATED_MTIME, len(content), [content])

    def _add(
        self, destination: str, file: PackageFile, size_bytes: int, chunks: Iterable[Buffer]
    ) -> None:
        mode = readable_mode(file.mode)
        self._tar.add_file(ROOT + destination, mode, file.mtime, size_bytes, chunks)

    def _note(
        self,
        known: PackagePath,
        installed: str,
        kind: str,
        size_bytes: int,
        sha256_in_prefix: str | None = None,
    ) -> None:
        relocation = known.relocation
        self._installed.append(
            InstalledPath(
                installed,
                "softlink" if kind == "softlink" else "hardlink",
                known.sha256,
                size_bytes if known.size_bytes is None else known.size_bytes,
                sha256_in_prefix if sha256_in_prefix != known.sha256 else None,
                relocation.placeholder.decode() if relocation else None,
                relocation.mode if relocation else None,
            )
        )


def readable_mode(mode: int) -> int:
    """Return a file's mode for an image, where root owns it and others use it.

    Whoever installs with conda owns the files; what the owner may read or execute, all may.

    >>> oct(readable_mode(0o700)), oct(readable_mode(0o640))
    ('0o755', '0o644')
    """
    return mode | (0o555 if mode & 0o100 else 0o444)


def _relocated(file: PackageFile, relocation: Relocation | None) -> Iterator[Buffer]:
    return relocate(file.chunks(), relocation) if relocation else file.chunks()


def _hashed(chunks: Iterable[Chunk], update: Callable[[Buffer], None]) -> Iterator[Chunk]:
    for chunk in chunks:
        update(chunk)
        yield chunk
