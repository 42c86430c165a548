"""Unpacking the archive of an environment, which others have made."""

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

import zstandard

from builder.errors import CorruptPackage, UnsafePackage

#: No program of an environment becomes that of somebody else.
_MODE: Final = 0o777


def unpack(archive: Path, directory: Path) -> None:
    """Unpack a tar that zstd has compressed into a directory, which is made.

    Raises:
        CorruptPackage: It is none.
        UnsafePackage: It has anything that would not lie in the directory.
        OSError: It cannot be written.
    """
    directory.mkdir()
    try:
        with archive.open("rb") as file:
            plain = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            with plain, tarfile.open(fileobj=plain, mode="r|") as tar:
                # What is checked here is all that is checked, whatever Python does by itself.
                tar.extraction_filter = lambda member, _path: member
                _Unpacking(tar, directory).run()
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as exc:
        raise CorruptPackage(f"the archive of the environment is damaged: {exc}") from exc


class _Unpacking:
    """Writes the members of one archive."""

    def __init__(self, tar: tarfile.TarFile, directory: Path) -> None:
        self._tar = tar
        self._root = os.path.realpath(directory)
        #: Directories that lie in the root, and lead nowhere else.
        self._known = {self._root}
        self._owner = os.getuid(), os.getgid()

    def run(self) -> None:
        for member in self._tar:
            if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
                raise _hostile(member.name)
            path = self._inside(member.name)
            if path == self._root:
                continue
            self._require_parent(path)
            if member.islnk():
                self._require_parent(self._inside(member.linkname))
            member.uid, member.gid = self._owner
            member.uname = member.gname = ""
            member.mode &= _MODE
            self._tar.extract(member, self._root, numeric_owner=True)

    def _inside(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if parts[:1] == ("/",) or ".." in parts:
            raise _hostile(name)
        return "/".join((self._root, *parts))

    def _require_parent(self, path: str) -> None:
        """Return if the directory of a path is no link to somewhere else."""
        parent = path.rpartition("/")[0]
        if parent in self._known:
            return
        if os.path.realpath(parent) != parent:
            raise _hostile(path)
        self._known.add(parent)


def _hostile(name: str) -> UnsafePackage:
    return UnsafePackage(f"the archive of the environment has {name[:200]!r}, which is refused")
