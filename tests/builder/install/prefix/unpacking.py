"""Packages that are unpacked, and what they are in a prefix, to be compared with an image."""

import hashlib
import io
import re
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from builder.install.limits import Limits
from builder.install.package_info import Relocation
from builder.install.prefix.rendering import render
from builder.install.prefix.unpack import unpack
from builder.install.prefix.unpacked import PARTS, TREE, read_unpacked
from builder.install.relocate import relocate
from builder.layer import PREFIX, LayerPackage, PythonTarget
from tests.builder.install.layers import PYTHON, Layer

_ROOT = PREFIX.removeprefix("/") + "/"
_RECORD = re.compile(r"conda-meta/.+\.json")
_SOURCE = re.compile(rb'"source":"/opt/conda/pkgs/[^"]+"')


@dataclass(frozen=True, slots=True)
class Node:
    """One path of a prefix."""

    #: Without those to write; of symlinks and directories 0.
    mode: int
    #: Of symlinks and directories 0.
    mtime: int
    #: Of a file.
    content: bytes | None = None
    #: Of a symlink.
    target: str | None = None


_DIRECTORY = Node(0, 0)


def unpacked(
    directory: Path,
    package: LayerPackage,
    data: bytes,
    bytecode: Path | None = None,
    python: PythonTarget | None = PYTHON,
    limits: Limits | None = None,
) -> Path:
    """Unpack a package into a new directory below ``directory``, and return it."""
    directory.mkdir(exist_ok=True)
    archive = directory / hashlib.sha256(data).hexdigest()
    archive.write_bytes(data)
    unpack(package, python, archive, bytecode, directory / "unpacked", limits=limits)
    return directory / "unpacked"


def in_prefix(directory: Path, prefix: str = PREFIX) -> dict[str, Node]:
    """Return what an unpacked package is in a prefix, by path."""
    package = read_unpacked(directory)
    found = dict.fromkeys(package.directories, _DIRECTORY)
    for path in package.shared:
        file = directory / TREE / path
        status = file.lstat()
        assert stat.S_ISREG(status.st_mode), path
        found[path] = Node(stat.S_IMODE(status.st_mode), int(status.st_mtime), file.read_bytes())
    for path, target in package.symlinks:
        is_inside = target == PREFIX or target.startswith(f"{PREFIX}/")
        where = prefix + target.removeprefix(PREFIX) if is_inside else target
        found[path] = Node(0, 0, target=where)
    written: dict[str, tuple[bytes, int]] = {}
    for part in package.prefixed:
        content = (directory / PARTS / str(part.part)).read_bytes()
        if part.placeholder:
            relocation = Relocation(part.placeholder.encode(), part.file_mode)
            content = b"".join(relocate([content], relocation, prefix.encode()))
        else:
            content = render(content, written)
        written[part.path] = hashlib.sha256(content).digest(), len(content)
        found[part.path] = Node(part.mode, part.mtime, content)
    assert len(found) == sum(
        map(len, (package.directories, package.shared, package.symlinks, package.prefixed))
    )
    return found


def in_image(layer: Layer) -> dict[str, Node]:
    """Return what a layer has below the prefix, without what every layer has.

    Its records say that packages were linked from the prefix of images, those of others nothing.
    """
    found: dict[str, Node] = {}
    for name, member in layer.members.items():
        path = name.removeprefix(_ROOT)
        if path in ("opt", "opt/conda", "conda-meta/history"):
            continue
        if member.isdir():
            found[path] = _DIRECTORY
        elif member.issym():
            found[path] = Node(0, 0, target=member.linkname)
        elif member.islnk():
            found[path] = found[member.linkname.removeprefix(_ROOT)]
        else:
            content = layer.content[name]
            if _RECORD.fullmatch(path):
                content = _SOURCE.sub(b'"source":""', content)
            found[path] = Node(member.mode & 0o555, int(member.mtime), content)
    if not any(path.startswith("conda-meta/") for path in found):
        found.pop("conda-meta", None)  # for the sake of the history
    return found


def require_equal(image: dict[str, Node], prefix: dict[str, Node]) -> None:
    """Fail with the paths that differ, as their contents may be long."""
    differing = {
        path: (image.get(path), prefix.get(path))
        for path in sorted(image.keys() | prefix.keys())
        if image.get(path) != prefix.get(path)
    }
    assert not differing, list(differing)


def bytecode_of(layer: Layer) -> dict[str, bytes]:
    """Return the bytecode in a layer, by its path in the prefix."""
    return {
        name.removeprefix(_ROOT): content
        for name, content in layer.content.items()
        if name.endswith(".pyc")
    }


def tar_of(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files to an archive as bytecode comes in."""
    members = []
    for name, content in files.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        members.append((member, content))
    return tar_with(path, members)


def tar_with(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """Write anything to an archive as bytecode comes in."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(zstandard.compress(plain.getvalue()))
    return path
