"""A Python unpacked on this machine, for nothing but compiling."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from builder.errors import UnsafePackage
from builder.install.archive import PackageArchive, PackageFile
from builder.install.limits import Limits
from builder.install.package_info import PackageInfo, Relocation
from builder.install.paths import PathTaken, PathTree
from builder.install.relocate import check_relocation, relocate, relocate_target

_DIRECTORY_MODE: Final = 0o755


def unpack_python(archives: Sequence[Path], dest: Path, limits: Limits | None = None) -> None:
    """Unpack Python and what it needs into the directory ``dest``; it appears whole or not at all.

    Build prefixes are replaced by ``/opt/conda``, where the sandbox mounts the directory; Python
    finds its own modules wherever it lies. What a later archive has too, an earlier one keeps.
    Harmless when ``dest`` is there already, or appears meanwhile.

    Args:
        archives: The packages, in the order in which they are linked; no ``noarch: python``.
        dest: Its parent exists.
        limits: What each may unpack to; ``None`` for the usual.

    Raises:
        CorruptPackage: An archive is damaged.
        UnsafePackage: A path leaves the directory, or lies below a symlink or a file.
        UnsupportedPackage: A package is of a kind that is not known.
    """
    if dest.exists():
        return
    staging = Path(tempfile.mkdtemp(dir=dest.parent, prefix=f"{dest.name}."))
    try:
        tree = PathTree()
        for path in archives:
            _unpack(PackageArchive(path, path.name, limits), path.name, staging, tree)
        staging.chmod(_DIRECTORY_MODE)
        try:
            staging.rename(dest)
        except OSError:
            # Another process was faster; what it made is the same.
            if not dest.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack(archive: PackageArchive, label: str, staging: Path, tree: PathTree) -> None:
    info = archive.read_info()
    for file in archive.files():
        if file.path not in info.paths or file.kind == "special" or tree.has_leaf(file.path):
            continue
        try:
            # Across packages as well: what is written here is on the disk of the server.
            directories = tree.add_leaf(file.path)
        except PathTaken as exc:
            raise UnsafePackage(f"path '{exc.path}' of package '{label}' {exc.fault}") from exc
        for directory in directories:
            (staging / directory).mkdir(mode=_DIRECTORY_MODE)
        _write(file, info, label, staging, tree)


def _write(file: PackageFile, info: PackageInfo, label: str, staging: Path, tree: PathTree) -> None:
    path = staging / file.path
    if file.kind == "symlink":
        path.symlink_to(relocate_target(file.link, info))
        return
    if file.kind == "hardlink":
        if not tree.has_leaf(file.link):
            raise UnsafePackage(
                f"path '{file.path}' of package '{label}' is a hard link to '{file.link}', which is"
                " not there"
            )
        os.link(staging / file.link, path, follow_symlinks=False)
        return
    relocation: Relocation | None = info.paths[file.path].relocation
    if relocation:
        check_relocation(label, file.path, relocation)
    with path.open("xb") as out:
        for chunk in relocate(file.chunks(), relocation) if relocation else file.chunks():
            out.write(chunk)
    path.chmod(0o755 if file.mode & 0o100 else 0o644)
