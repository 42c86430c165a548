"""How a file of a package gets into a prefix: reflink, hard link or copy.

A reflink has the blocks of the original and an inode of its own: nobody can change the package, or
another prefix, through it. A hard link is the same inode, and faster. The first file decides for a
whole prefix; a single file that cannot be linked later (ext4 lets an inode have 65 000 names) is
copied.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from builder.install.prefix.errors import DirectoryUnusable
from builder.install.tar_reader import Buffer

#: What is done.
Share = Literal["reflink", "hardlink", "copy"]
#: What is asked for; ``auto`` is the first of the others that the file system can.
Sharing = Literal["auto", "reflink", "hardlink", "copy"]

#: ``ioctl`` of Linux: share the blocks of another file (``linux/fs.h``).
_FICLONE: Final = 0x40049409
#: By these a file system says that it cannot, at all or with this file; all others are faults.
_CANNOT: Final = frozenset(
    {
        errno.EXDEV,  # another device
        errno.EMLINK,  # as many names as an inode may have
        errno.EPERM,  # fs.protected_hardlinks, or a file system without links
        errno.EACCES,  # the same, as some network file systems say it
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.ENOTTY,  # an ioctl that is not known
        errno.EINVAL,  # blocks that cannot be shared, e.g. of a file without checksums on btrfs
    }
)
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_PIECE_BYTES: Final = 1024 * 1024
_MODE: Final = 0o7777


@dataclass
class Sharer:
    """Gets files of unpacked packages into one prefix, whose directories are there."""

    wanted: Sharing
    #: The directory of the prefix, open.
    target: int
    #: Who owns what is no hard link; -1: whoever makes it.
    uid: int = -1
    gid: int = -1
    #: How the first file was shared; ``None``: there was none so far.
    how: Share | None = field(default=None, init=False)
    #: All that came by :meth:`share`.
    files: int = field(default=0, init=False)
    #: Those of them that have blocks of their own, and how much that is.
    files_copied: int = field(default=0, init=False)
    bytes_copied: int = field(default=0, init=False)

    def share(self, source: int, paths: Sequence[bytes]) -> None:
        """Share files of one package: the same paths below ``source``, which is open, and here.

        Names of the package for one inode are names for one inode here.

        Raises:
            DirectoryUnusable: Files cannot be shared as it is wanted.
            OSError: The file system has refused something else, e.g. as a path is there already.
        """
        pending = iter(paths)
        #: The first name here of what has several in the package, by the inode there.
        names: dict[int, bytes] = {}
        if self.how is None and paths:
            self.how = self._try(source, next(pending), names)
        if self.how == "hardlink":
            self._link(source, pending, names)
        else:
            for path in pending:
                self._make(source, path, names, is_reflink=self.how == "reflink")
        self.files += len(paths)

    def _try(self, source: int, path: bytes, names: dict[int, bytes]) -> Share:
        """Share the first file in the best way that is wanted and possible; return which it was."""
        ways: Sequence[Share] = get_args(Share) if self.wanted == "auto" else (self.wanted,)
        for how in ways:
            try:
                if how == "hardlink":
                    self._link_one(source, path)
                else:
                    self._make(source, path, names, is_reflink=how == "reflink", is_trial=True)
            except OSError as exc:
                if exc.errno == errno.EMLINK:  # others can be linked
                    self._make(source, path, names, is_reflink=False)
                    return how
                if exc.errno not in _CANNOT or how == "copy":
                    raise
                cause = exc
            else:
                return how
        raise DirectoryUnusable(
            f"the file system cannot share files by {self.wanted} ('{cause.strerror}'): choose"
            " another way, or 'auto'"
        ) from cause

    def _link(self, source: int, pending: Iterator[bytes], names: dict[int, bytes]) -> None:
        link, target = os.link, self.target
        while True:
            path = b""
            try:
                # The most of all time is here: no call and no look-up more than there must be.
                for path in pending:
                    link(path, path, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            except OSError as exc:
                if exc.errno not in _CANNOT:
                    raise
                self._make(source, path, names, is_reflink=False)
            else:
                return

    def _link_one(self, source: int, path: bytes) -> None:
        os.link(path, path, src_dir_fd=source, dst_dir_fd=self.target, follow_symlinks=False)

    def _make(
        self,
        source: int,
        path: bytes,
        names: dict[int, bytes],
        *,
        is_reflink: bool,
        is_trial: bool = False,
    ) -> None:
        """Make a file with content, mode and time of the package's; when it raises, there is none.

        What cannot be a reflink is copied, unless it is a trial.
        """
        read = os.open(path, _READ, dir_fd=source)
        try:
            status = os.fstat(read)
            if status.st_nlink > 1:
                first = names.setdefault(status.st_ino, path)
                if first != path:
                    target = self.target
                    os.link(first, path, src_dir_fd=target, dst_dir_fd=target)
                    return
            write = os.open(path, _WRITE, 0o600, dir_fd=self.target)
            try:
                if is_trial and is_reflink:
                    fcntl.ioctl(write, _FICLONE, read)
                elif not (is_reflink and reflink(read, write)):
                    self.bytes_copied += _copy(read, write)
                    self.files_copied += 1
                if (self.uid, self.gid) != (-1, -1):
                    os.fchown(write, self.uid, self.gid)
                os.fchmod(write, status.st_mode & _MODE)
                os.utime(write, ns=(status.st_mtime_ns, status.st_mtime_ns))
            except OSError:
                os.unlink(path, dir_fd=self.target)
                raise
            finally:
                os.close(write)
        finally:
            os.close(read)


def reflink(read: int, write: int) -> bool:
    """Share all blocks of a file with one that is empty; tell whether the file system can that."""
    try:
        fcntl.ioctl(write, _FICLONE, read)
    except OSError as exc:
        if exc.errno not in _CANNOT:
            raise
        return False
    return True


def _copy(read: int, write: int) -> int:
    """Copy a file; return its size."""
    size_bytes = 0
    while piece := os.read(read, _PIECE_BYTES):
        write_all(write, piece)
        size_bytes += len(piece)
    return size_bytes


def write_all(file: int, data: Buffer) -> None:
    """Write all of ``data``: a disk that becomes full may take a part of it at first."""
    written = os.write(file, data)
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])


@contextmanager
def opened(directory: Path | str, below: int | None = None) -> Iterator[int]:
    """Give a descriptor of a directory, whose path may go on from another one."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
