"""A walk through a directory: its wanted files, and why others cannot be used.

Links are followed as long as they lead to within the directory; hidden folders and files are left
out. It blocks, and is bounded.
"""
# Directories are large, and a Path for each file costs more than all else:
# ruff: noqa: PTH112, PTH114, PTH116, PTH120

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from registry.errors import SourceUnreachable
from registry.watcher.names import shown_path, unwritable
from registry.watcher.trees import TreeFile, Wants

#: The most files and folders of a directory, wanted or not.
MAX_ENTRIES: Final = 100_000
#: How deep folders are looked into.
_MAX_DEPTH: Final = 32
#: What a walk may take of a processor: some patterns take long with some paths.
_MAX_CPU_SECONDS: Final = 60
_ELSEWHERE: Final = "it is a link to a place outside of the source, which is not followed"


@dataclass(slots=True)
class Walk:
    """Looks at a directory; what cannot be used becomes a problem."""

    root: str
    max_bytes: int
    wants: Wants
    #: The name of the one file that is wanted of the root, if it is not all of it.
    only: str | None = None
    files: dict[str, TreeFile] = field(default_factory=dict)
    #: Where each of them is, without links.
    places: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    #: What was looked into, and its inode.
    folders: dict[str, int] = field(default_factory=dict)
    entries: int = 0
    #: By the clock of the thread, which is about this walk alone.
    until: float = field(default_factory=lambda: time.thread_time() + _MAX_CPU_SECONDS)

    def folder(
        self, real: str, path: str, here: tuple[int, int], above: frozenset[tuple[int, int]]
    ) -> None:
        """Look into a folder.

        Args:
            real: Where it is, without links.
            path: How it is called in the tree, with ``/`` at its end; ``""``: the root.
            here: Its device and inode.
            above: Those of what it lies in.

        Raises:
            OSError: The root cannot be read.
            SourceUnreachable: There is too much.
        """
        self.folders[real] = here[1]
        try:
            with os.scandir(real) as found:
                entries = list(found) if self.only is None else self._one(found)
        except OSError as exc:
            if not path:
                raise
            if not isinstance(exc, FileNotFoundError):  # else it was there a moment ago
                self._fail(path.rstrip("/"), unreadable(exc))
            return
        self.entries += len(entries)
        if self.entries > MAX_ENTRIES:
            raise SourceUnreachable(
                f"there are more than {MAX_ENTRIES} files and folders in it, which is the most:"
                " watch a folder that has the environments alone"
            )
        inside = above | {here}
        for entry in entries:
            if time.thread_time() > self.until:
                raise SourceUnreachable("to look at it takes too long: give it simpler patterns")
            if not entry.name.startswith(".") or entry.name == self.only:
                self._entry(entry, path + entry.name, inside)

    def _one(self, found: Iterator[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        return [entry for entry in found if entry.name == self.only]

    def _entry(self, entry: os.DirEntry[str], path: str, above: frozenset[tuple[int, int]]) -> None:
        try:
            real = entry.path
            if entry.is_symlink():
                real = os.path.realpath(entry.path, strict=True)
                if not is_within(self.root, real):
                    if self.wants(path) or os.path.isdir(real):
                        self._fail(path, _ELSEWHERE)
                    return
            if entry.is_dir():
                self._enter(real, path, above)
            elif self.wants(path):
                self._file(os.stat(real, follow_symlinks=False), real, path)
        except FileNotFoundError:
            if self.wants(path) and os.path.islink(entry.path):
                self._fail(path, "it is a link to something that is not there")
        except OSError as exc:
            if self.wants(path):
                self._fail(path, unreadable(exc))

    def _enter(self, real: str, path: str, above: frozenset[tuple[int, int]]) -> None:
        found = os.stat(real, follow_symlinks=False)
        here = (found.st_dev, found.st_ino)
        # A link to a folder that it lies in would be followed without end.
        if here not in above and len(above) < _MAX_DEPTH:
            self.folder(real, f"{path}/", here, above)

    def _file(self, found: os.stat_result, real: str, path: str) -> None:
        is_linked = real != place_of(self.root, path)
        if is_linked:
            folder = os.path.dirname(real)
            self.folders.setdefault(folder, os.stat(folder).st_ino)
        if not stat.S_ISREG(found.st_mode):
            self._fail(path, "it is no regular file, and is not opened")
        elif found.st_size > self.max_bytes:
            self._fail(
                path,
                f"it has {found.st_size} bytes, and {self.max_bytes} are the most that is read",
            )
        elif reason := unwritable(path):
            self._fail(path, reason)
        else:
            self.places[path] = real
            self.files[path] = TreeFile(
                path, token_of(found, real if is_linked else None), found.st_size
            )

    def _fail(self, path: str, sentence: str) -> None:
        self.problems[shown_path(path)] = sentence


def is_within(root: str, real: str) -> bool:
    """Tell whether a path without links is below another one, or the same."""
    return real == root or real.startswith(root if root.endswith("/") else f"{root}/")


def place_of(root: str, path: str) -> str:
    """Return where a file of a directory is, if no links lead there."""
    return f"{root.rstrip('/')}/{path}"


def token_of(found: os.stat_result, linked: str | None) -> str:
    """Return the token of a file.

    Args:
        found: What the system tells of it.
        linked: Where links lead to by which it was found; ``None``: there were none.
    """
    # The time of the last change as well: programs that copy times leave the other one as it was.
    numbers = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)
    return "-".join(map(str, numbers)) + (f" {linked}" if linked is not None else "")


def unreadable(exc: OSError) -> str:
    """Return what is said of a file that the system does not give."""
    return f"it cannot be read: {exc.strerror or exc}"
