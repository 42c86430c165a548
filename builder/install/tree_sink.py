"""What the tree of packages is written to: the tar of a layer, an archive, a directory."""

from collections.abc import Iterable
from typing import Protocol

from builder.install.tar_reader import Buffer


class TreeSink(Protocol):
    """Takes every path once; paths have been checked, and begin with ``layout.ROOT``.

    All methods raise :class:`builder.install.paths.PathTaken` when the path has been written, or
    something above it is no directory.
    """

    def add_directory(self, path: str) -> None:
        """Write a directory and those above it, as far as they are not written."""
        ...

    def add_file(
        self, path: str, mode: int, mtime: int, size_bytes: int, chunks: Iterable[Buffer]
    ) -> None:
        """Write a file, and the directories above it.

        Args:
            path: Where it is.
            mode: All but the permission bits is dropped.
            mtime: Whole seconds since 1970.
            size_bytes: What ``chunks`` have together.
            chunks: The body.
        """
        ...

    def add_symlink(self, path: str, target: str, mtime: int) -> None:
        """Write a symlink, and the directories above it."""
        ...

    def add_hardlink(self, path: str, target: str, mode: int, mtime: int) -> None:
        """Write a hard link to a path that has been written, and the directories above it."""
        ...
