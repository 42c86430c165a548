"""Where the tree of one package goes when it is unpacked: a directory.

Nothing is written outside of it, whatever a package brings: every path is checked once more and
opened below a descriptor of ``tree``, every directory there has been made here, and symlinks are
noted, not made.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from builder.install.layout import ROOT
from builder.install.package_info import FileMode, Relocation
from builder.install.paths import PathTaken, PathTree, path_fault
from builder.install.prefix.rendering import TemplateMarks
from builder.install.prefix.sharing import write_all
from builder.install.prefix.syncing import begin_sync
from builder.install.prefix.unpacked import PARTS, TREE, PrefixedFile, UnpackedPackage
from builder.install.relocate import PlaceholderSearch
from builder.install.tar_reader import Buffer, TarEntry, TarLimitExceeded
from builder.install.tar_writer import GENERATED_MTIME, MAX_NUMBER

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT_CHARACTERS: Final = len(ROOT)
#: Nobody writes what is shared by many prefixes.
_READ_ONLY: Final = 0o555
#: The largest environments have some 100,000.
_MAX_MODULES: Final = 1_000_000
#: Of file systems that have no hard links, or no more of one file.
_NO_LINK: Final = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})
#: A file whose way to the disk is begun at once: of most packages these few are most of the bytes.
_LARGE_BYTES: Final = 1024 * 1024


class UnpackedSink:
    """Writes the files of one package, and knows what else it has; closed by its context."""

    def __init__(self, out: Path, marks: TemplateMarks, bytecode: Path | None, umask: int) -> None:
        """Begin with an empty directory.

        Args:
            out: It; nobody else writes there.
            marks: Stand for hashes of prefixed files until it is known what those are.
            bytecode: Where the bytecode of modules lies, at its installed paths.
            umask: Permissions that files do not have.
        """
        #: Stand for hashes and sizes of prefixed files.
        self.marks = marks
        self._bytecode = None if bytecode is None else os.open(bytecode, _DIRECTORY)
        self._mask = _READ_ONLY & ~umask
        self._paths = PathTree()
        self._directories: list[str] = []
        self._shared: list[str] = []
        self._symlinks: list[tuple[str, str]] = []
        self._prefixed: dict[str, PrefixedFile] = {}
        self._templates: list[PrefixedFile] = []
        self._parts = 0
        self._size_bytes = 0
        for directory in (out / TREE, out / PARTS):
            directory.mkdir(mode=0o755)
        self._tree = os.open(out / TREE, _DIRECTORY)
        #: Whether files are made with less than they should have, by the umask of the process.
        self._lacks_modes = os.fstat(self._tree).st_mode & _READ_ONLY != _READ_ONLY
        self._contents = os.open(out / PARTS, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._tree)
        os.close(self._contents)
        if self._bytecode is not None:
            os.close(self._bytecode)

    def add_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        self._make(self._paths.add_directory(_checked(path)))

    def add_file(
        self, path: str, mode: int, mtime: int, size_bytes: int, chunks: Iterable[Buffer]
    ) -> None:
        """Write a file that is the same in every prefix."""
        path = self._enter(path)
        written = self._write(self._tree, path, mode, mtime, chunks)
        assert written == size_bytes, f"{path}: {written} bytes, announced {size_bytes}"
        self._shared.append(path)
        self._size_bytes += size_bytes

    def add_symlink(self, path: str, target: str, mtime: int) -> None:
        """Note a symlink."""
        self._symlinks.append((self._enter(path), target))

    def add_hardlink(self, path: str, target: str, mode: int, mtime: int) -> None:
        """Link to a file; to one with a prefix, have another file with that content."""
        path, target = self._enter(path), target[_ROOT_CHARACTERS:]
        known = self._prefixed.get(target)
        if known is not None:
            self._prefixed[path] = replace(known, path=path)
            return
        try:
            os.link(
                target.encode(),
                path.encode(),
                src_dir_fd=self._tree,
                dst_dir_fd=self._tree,
                follow_symlinks=False,
            )
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
            chunks = self._read(target)
            self._size_bytes += self._write(self._tree, path, mode, mtime, chunks)
        self._shared.append(path)

    def add_relocated(
        self, path: str, mode: int, mtime: int, relocation: Relocation, chunks: Iterable[Buffer]
    ) -> str | None:
        """Write a file in which the package says that there is a prefix.

        Returns:
            The sha256 of one that has none: it is like any other file. ``None`` if it has one.
        """
        path = self._enter(path)
        search = PlaceholderSearch(relocation.placeholder)
        part = str(self._parts)
        size = self._write(self._contents, part, mode, mtime, _seen(chunks, search))
        if search.found:
            placeholder = relocation.placeholder.decode()
            self._prefixed[path] = self._part(path, mode, mtime, placeholder, relocation.mode)
            return None
        os.rename(part, path.encode(), src_dir_fd=self._contents, dst_dir_fd=self._tree)
        self._shared.append(path)
        self._size_bytes += size
        digest = hashlib.sha256()
        for chunk in self._read(path):
            digest.update(chunk)
        return digest.hexdigest()

    def add_script(self, path: str, mtime: int, placeholder: str, chunks: Iterable[Buffer]) -> None:
        """Write a command that has the placeholder where the prefix is to be."""
        path = self._enter(path)
        self._write(self._contents, str(self._parts), 0o755, mtime, chunks)
        self._prefixed[path] = self._part(path, 0o755, mtime, placeholder, "text")

    def add_template(self, path: str, content: bytes) -> None:
        """Write a file in which marks stand for what the prefix decides."""
        template = self.marks.template(content)
        if template == content:
            self.add_file(path, 0o644, GENERATED_MTIME, len(content), [content])
            return
        path = self._enter(path)
        self._write(self._contents, str(self._parts), 0o644, GENERATED_MTIME, [template])
        self._templates.append(self._part(path, 0o644, GENERATED_MTIME, "", "text"))

    def is_prefixed(self, path: str) -> bool:
        """Tell whether there is a file with a prefix at that path, relative to the prefix."""
        return path in self._prefixed

    def add_bytecode(self, path: str, mtime: int) -> bool:
        """Write the bytecode that is to be at ``path``, if there is any, and tell whether."""
        if self._bytecode is None:
            return False
        source = path[_ROOT_CHARACTERS:].encode()
        try:
            found = os.open(
                source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._bytecode
            )
        except (FileNotFoundError, NotADirectoryError):
            return False
        with os.fdopen(found, "rb") as file:
            content = file.read()
        self.add_file(path, 0o644, mtime, len(content), [content])
        return True

    def package(self, label: str) -> UnpackedPackage:
        """Return what was written."""
        by_path = sorted(self._prefixed.values(), key=lambda file: file.path)
        return UnpackedPackage(
            label=label,
            directories=tuple(sorted(self._directories)),
            shared=tuple(sorted(self._shared)),
            symlinks=tuple(sorted(self._symlinks)),
            prefixed=(*by_path, *self._templates),
            size_bytes=self._size_bytes,
        )

    def _enter(self, path: str) -> str:
        """Return where a file or symlink is below the tree, whose directories are made."""
        path = _checked(path)
        if new := self._paths.add_leaf(path):
            self._make(new)
        return path

    def _make(self, directories: list[str]) -> None:
        for path in directories:
            os.mkdir(path.encode(), 0o755, dir_fd=self._tree)
        self._directories += directories

    def _write(
        self, directory: int, path: str, mode: int, mtime: int, chunks: Iterable[Buffer]
    ) -> int:
        mode &= self._mask
        descriptor = os.open(path.encode(), _CREATE, mode, dir_fd=directory)
        try:
            size = _write_all(descriptor, chunks)
            if self._lacks_modes:
                os.fchmod(descriptor, mode)
            mtime = _time(mtime)
            os.utime(descriptor, (mtime, mtime))
            if size >= _LARGE_BYTES:
                begin_sync(descriptor)
        finally:
            os.close(descriptor)
        return size

    def _read(self, path: str) -> Iterator[bytes]:
        descriptor = os.open(path.encode(), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._tree)
        with os.fdopen(descriptor, "rb") as file:
            while chunk := file.read(1024 * 1024):
                yield chunk

    def _part(
        self, path: str, mode: int, mtime: int, placeholder: str, file_mode: FileMode
    ) -> PrefixedFile:
        """Return the file whose content was written last."""
        self._parts += 1
        mode &= self._mask
        return PrefixedFile(path, self._parts - 1, mode, _time(mtime), placeholder, file_mode)


class BytecodeSink:
    """Writes the bytecode of an environment, at the paths where it is installed."""

    def __init__(self, to: Path) -> None:
        """Begin with an empty directory."""
        self._count = 0
        self._to = os.open(to, _DIRECTORY)
        self._paths = PathTree()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)

    def add(self, entry: TarEntry) -> None:
        """Write the bytecode of a module.

        Raises:
            PathTaken: It is none, would not lie in the directory, or is there already.
            TarLimitExceeded: There are too many.
        """
        self._count += 1
        if self._count > _MAX_MODULES:
            raise TarLimitExceeded
        path = entry.name
        is_bytecode = entry.kind == "file" and path.endswith(".pyc")
        if fault := path_fault(path) or (not is_bytecode and "is no bytecode"):
            raise PathTaken(path[:200], fault)
        for directory in self._paths.add_leaf(path):
            os.mkdir(directory.encode(), dir_fd=self._to)
        descriptor = os.open(path.encode(), _CREATE, 0o600, dir_fd=self._to)
        try:
            _write_all(descriptor, entry.chunks())
        finally:
            os.close(descriptor)


def _checked(path: str) -> str:
    """Return a path relative to the prefix.

    Raises:
        PathTaken: It leads out of it.
    """
    path = path[_ROOT_CHARACTERS:]
    if fault := path_fault(path):
        raise PathTaken(path[:200], fault)
    return path


def _write_all(descriptor: int, chunks: Iterable[Buffer]) -> int:
    size = 0
    for chunk in chunks:
        write_all(descriptor, chunk)
        size += len(chunk)
    return size


def _time(mtime: int) -> int:
    return min(max(mtime, 0), MAX_NUMBER)


def _seen(chunks: Iterable[Buffer], search: PlaceholderSearch) -> Iterator[Buffer]:
    for chunk in chunks:
        search.feed(chunk)
        yield chunk
