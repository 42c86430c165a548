"""Why a prefix or an unpacked package cannot be made where it is to be.

They are raised and told where directories are, and have no code by which they would travel.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from builder.errors import MachineUnavailable, UnsupportedPackage
from builder.system_errors import judged

#: What follows "the file system of '/srv/envs' ", and what is to be done about it.
_NO_ROOM: Final = "has no room left: make room there, and try again"
_NO_INODES: Final = "can hold no more files, however small (no inodes): remove some, and try again"
_QUOTA: Final = "lets this user store no more (quota): make room there, and try again"
_READ_ONLY: Final = "is mounted read-only: mount it so that it can be written"
_DENIED: Final = "may not be written by this process: run it as who owns the directory"
_BROKEN: Final = "does not work: look at the disk, or at the server that it is on"
_OF_THE_MACHINE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_SENTENCES: Final = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,
    errno.ETIMEDOUT: _BROKEN,
    errno.EUCLEAN: _BROKEN,
    errno.EFBIG: "takes no file as large as one of a package: use another one",
    errno.ENAMETOOLONG: "takes no name as long as one of a package: use another one",
}


class PrefixTooLong(UnsupportedPackage):
    """A package has no room for the path of a prefix; another path helps."""

    def __init__(self, label: str, path: str, room: int, prefix: str) -> None:
        super().__init__(label, path, room, prefix)
        #: ``name-version-build``.
        self.label = label
        #: Of the file, relative to the prefix.
        self.path = path
        #: How many characters a prefix may have at most.
        self.room = room
        self.prefix = prefix

    def __str__(self) -> str:
        """Return the sentence."""
        return (
            f"package '{self.label}' cannot be installed at {self.prefix}, which has"
            f" {len(self.prefix.encode())} characters: its '{self.path}' has room for {self.room}"
            " at most, so keep environments at a shorter path"
        )


class DirectoryUnusable(MachineUnavailable):
    """The file system of a directory has no room, cannot be written or does not work."""


@contextmanager
def told_of(directory: Path) -> Iterator[None]:
    """Raise what the system refuses below ``directory`` as one sentence.

    Raises:
        DirectoryUnusable: The file system has refused something.
        MachineUnavailable: The machine has no files or memory left for this process.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in _OF_THE_MACHINE:
            raise judged(exc) or exc from exc
        fault = _SENTENCES.get(exc.errno or 0)
        if fault is _NO_ROOM and _lacks_inodes(directory):
            fault = _NO_INODES
        if fault is None:
            said = exc.strerror or type(exc).__name__
            fault = f"has refused something with '{said}': look at it"
        raise DirectoryUnusable(f"the file system of {directory} {fault}") from exc


def _lacks_inodes(directory: Path) -> bool:
    with suppress(OSError):
        room = os.statvfs(directory)
        # Some file systems make inodes as they are needed, and have none of a number.
        return room.f_files > 0 and room.f_favail == 0
    return False
