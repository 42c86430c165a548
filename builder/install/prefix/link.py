"""Unpacked packages → a prefix.

::

    directories   each once, of all packages
    tree          shared: nothing of a file is looked at (see :mod:`builder.install.prefix.sharing`)
    parts         the prefix put in, and written (see :mod:`builder.install.prefix.writing`)
    conda-meta    what conda and we ourselves know the prefix by
    syncfs        one for all

An everyday environment has 11 000 files, and all but a few hundred of them are shared, so that what
counts is how little is done for each of these.
"""

import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import UnsafePackage
from builder.install.conda_meta import STATE, environment_state
from builder.install.prefix.errors import PrefixTooLong, told_of
from builder.install.prefix.installation import InstallationPlan, UnpackedName
from builder.install.prefix.sharing import Share, Sharer, Sharing, opened
from builder.install.prefix.syncing import sync_file_system
from builder.install.prefix.unpacked import PARTS, TREE, UnpackedPackage, read_unpacked
from builder.install.prefix.writing import PrefixWriter
from builder.install.tar_writer import GENERATED_MTIME
from builder.layer import PREFIX
from builder.records import canonical_json

#: Raised when the meaning of a mark changes.
FORMAT: Final = 1
#: A directory with this file is a whole prefix of ours, if it is not where prefixes are made.
MARK: Final = "conda-meta/pullforge"
#: Names of the interpreter.
_PYTHON: Final = re.compile(rb"bin/python[0-9.]*t?")
#: By it conda refuses to change the prefix (CEP 22), and says why.
_FROZEN: Final = {
    "message": "pullforge keeps this environment: change it there, and its next version comes here"
    " by itself."
}
_META: Final = "conda-meta"
_DIRECTORY_MODE: Final = 0o755
_FILE_MODE: Final = 0o444
#: Whoever makes a directory has to write into it.
_OWNER: Final = 0o700
_PERMISSIONS: Final = 0o777


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """How files get into a prefix, and whose they are there."""

    #: ``auto``: the best that the file system can.
    share: Sharing = "auto"
    #: Permissions that no directory has, and no file that is written.
    umask: int = 0o022
    #: Owner and group of everything that is no hard link; ``None``: those of the process.
    uid: int | None = None
    gid: int | None = None

    @property
    def ids(self) -> tuple[int, int]:
        """Owner and group as ``chown`` takes them: -1 for what stays as it is."""
        return -1 if self.uid is None else self.uid, -1 if self.gid is None else self.gid


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What making a prefix took."""

    #: Of files whose content is this prefix's own, and of copies.
    bytes_written: int
    #: Files whose blocks are those of the unpacked package: hard links and reflinks.
    files_shared: int
    #: Files that were written or copied.
    files_written: int
    #: How files were shared; a few may have been copied nevertheless.
    how: Share


def link(
    plan: InstallationPlan, packages: Path, out: Path, prefix: str, options: LinkOptions
) -> LinkReport:
    """Make the directory ``out`` a whole prefix whose files say that they are at ``prefix``.

    All of it has reached the disk when it returns. When it raises, what was made so far is left at
    ``out``: the caller removes it.

    Args:
        plan: What is installed; its mark, history, frozen and state are written.
        packages: The directory of unpacked packages, each whole at its name.
        out: Does not exist; its parent does, on any file system.
        prefix: Absolute path, at which ``out`` will be.
        options: How files are shared, their owner and the modes of directories.

    Raises:
        PrefixTooLong: A package has no room for ``prefix``; nothing was made.
        UnsafePackage: Two packages have the same path.
        DirectoryUnusable: The file system refused.
        ValueError: An unpacked package is not whole; its name is in the text.
    """
    names = [plan.name_of(package) for package in plan.packages]
    with told_of(packages):
        unpacked = [(name, read_unpacked(packages / name)) for name in names]
    for _, package in unpacked:
        _check_room(package, prefix)
    with told_of(out):
        out.mkdir(_DIRECTORY_MODE)
        with opened(out) as target:
            linker = _Linker(target, prefix, options)
            linker.make_directories(package for _, package in unpacked)
            for name, package in unpacked:
                linker.link_package(packages / name, package)
            linker.write_marks(plan, names)
            sync_file_system(target)
            return linker.report()


def _check_room(package: UnpackedPackage, prefix: str) -> None:
    size = len(prefix.encode())
    for file in package.prefixed:
        if file.file_mode == "binary" and file.placeholder and len(file.placeholder) < size:
            raise PrefixTooLong(package.label, file.path, len(file.placeholder), prefix)


class _Linker:
    """Makes one prefix in an empty directory, which is open."""

    def __init__(self, target: int, prefix: str, options: LinkOptions) -> None:
        self._target = target
        self._prefix = prefix
        self._directory_mode = _DIRECTORY_MODE & ~options.umask | _OWNER
        self._file_mode = _FILE_MODE & ~options.umask
        self._uid, self._gid = options.ids
        self._has_owner = (self._uid, self._gid) != (-1, -1)
        self._sharer = Sharer(options.share, target, self._uid, self._gid)
        self._writer = PrefixWriter(target, prefix, self._uid, self._gid)

    def report(self) -> LinkReport:
        sharer, writer = self._sharer, self._writer
        return LinkReport(
            writer.bytes_written + sharer.bytes_copied,
            sharer.files - sharer.files_copied,
            writer.files + sharer.files_copied,
            sharer.how or "copy",
        )

    def make_directories(self, packages: Iterable[UnpackedPackage]) -> None:
        """Make the directories of all packages, each once, and give them mode and owner."""
        of_packages = itertools.chain.from_iterable(package.directories for package in packages)
        paths = [path.encode() for path in dict.fromkeys((_META, *of_packages))]
        target, mode, mkdir = self._target, self._directory_mode, os.mkdir
        for path in paths:
            mkdir(path, mode, dir_fd=target)
        # What a directory is made with, the process' umask and the directory above may change.
        if os.stat(paths[0], dir_fd=target).st_mode & _PERMISSIONS != mode:
            for path in paths:
                os.chmod(path, mode, dir_fd=target)
        if os.fstat(target).st_mode & _PERMISSIONS != mode:
            os.fchmod(target, mode)
        if self._has_owner:
            os.fchown(target, self._uid, self._gid)
            for path in paths:
                os.chown(path, self._uid, self._gid, dir_fd=target)

    def link_package(self, directory: Path, package: UnpackedPackage) -> None:
        """Put one package into the prefix.

        Raises:
            UnsafePackage: Another package has one of its paths.
            ValueError: Something of it is not there, or is no template.
        """
        try:
            if package.shared:
                with opened(directory / TREE) as tree:
                    self._sharer.share(tree, [path.encode() for path in package.shared])
            for path, target in package.symlinks:
                self._link_symlink(path.encode(), target)
            if package.prefixed:
                with opened(directory / PARTS) as parts:
                    self._writer.write_prefixed(
                        parts, package.prefixed, by_reflink=self._sharer.how == "reflink"
                    )
        except FileExistsError as exc:
            taken = os.fsdecode(exc.filename2 or exc.filename)
            raise UnsafePackage(
                f"path '{taken}' of package '{package.label}' is that of another package, too"
            ) from exc
        except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
            raise ValueError(f"{directory} is no whole unpacked package: {exc}") from exc

    def write_marks(self, plan: InstallationPlan, names: Sequence[UnpackedName]) -> None:
        """Write what conda knows a prefix by, and at last what we do.

        Raises:
            UnsafePackage: A package has one of them.
        """
        with opened(_META, self._target) as meta, os.scandir(meta) as entries:
            records = sum(entry.name.endswith(".json") for entry in entries)
        mark = {
            "format": FORMAT,
            "key": plan.key,
            "packages": names,
            "platform": plan.subdir,
            "prefix": self._prefix,
            # Who looks at the prefix sees by it that none was removed.
            "records": records,
        }
        marks = {f"{_META}/history": b"", f"{_META}/frozen": _json(_FROZEN)}
        if plan.variables:
            marks[STATE] = environment_state(plan.variables)
        for path, content in {**marks, MARK: _json(mark)}.items():
            try:
                self._writer.write(path, [content], self._file_mode, GENERATED_MTIME)
            except FileExistsError as exc:
                raise UnsafePackage(
                    f"a package of this environment has '{path}', which pullforge writes"
                ) from exc

    def _link_symlink(self, path: bytes, target: str) -> None:
        if _PYTHON.fullmatch(path) and "/" not in target:
            # Python looks for its modules beside what its name leads to. One that is started by the
            # link of an environment stays in its prefix when the link is switched.
            target = f"{self._prefix}/bin/{target}"
        elif target == PREFIX or target.startswith(PREFIX + "/"):
            target = self._prefix + target.removeprefix(PREFIX)
        os.symlink(target.encode(), path, dir_fd=self._target)
        if self._has_owner:
            os.chown(path, self._uid, self._gid, dir_fd=self._target, follow_symlinks=False)


def _json(content: Mapping[str, object]) -> bytes:
    return canonical_json(content).encode() + b"\n"
