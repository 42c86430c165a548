"""Files that an administrator keeps for the server: found, told apart, and read safely.

Whoever can write below such a directory may not be whoever runs the server: what is read lies
inside it, is a regular file, and has a size that is allowed. Links inside it are followed, since
that is how Kubernetes replaces the files of a ConfigMap all at once; links that lead out are not.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registry.errors import PolicyTextInvalid

_MAX_FILES: Final = 200_000
_MAX_DEPTH: Final = 20
_CHUNK: Final = 1 << 20
#: What passes by itself: a directory of NFS that was replaced, a file that is being replaced.
_PASSING: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.EIO, errno.EAGAIN, errno.EMFILE})


@dataclass(frozen=True, slots=True)
class Stamp:
    """What differs when a file, or a link on the way to it, is written or replaced."""

    changed_ns: int
    modified_ns: int
    size_bytes: int
    inode: int


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a place."""

    stamps: Mapping[str, Stamp]
    #: What lies there and cannot be used.
    problems: Mapping[str, PolicyTextInvalid] = field(default_factory=dict)


class PlaceUnreadable(Exception):
    """A file or directory cannot be read now; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, or a directory with files.

    Args:
        path: Where.
        suffixes: What names of files end in, e.g. ``".toml"``; all else in a directory is left.
        is_deep: Whether directories in it count, too.
    """

    path: Path
    suffixes: tuple[str, ...]
    is_deep: bool = False

    def files(self) -> Found:
        """Return all files by their names, relative to the directory.

        Hidden ones are left out: editors and Kubernetes keep their own so.

        Raises:
            PlaceUnreadable: It cannot be read, or has too many files.
        """
        try:
            known = self.path.stat()
            if not stat.S_ISDIR(known.st_mode):
                return Found({self.path.name: _stamp(known)})
            stamps: dict[str, Stamp] = {}
            problems: dict[str, PolicyTextInvalid] = {}
            root = os.path.realpath(self.path)
            for name, found in self._walk(root, "", 0):
                if isinstance(found, PolicyTextInvalid):
                    problems[name] = found
                else:
                    stamps[name] = found
                if len(stamps) + len(problems) > _MAX_FILES:
                    raise PlaceUnreadable(f"it has more than {_MAX_FILES} files")
        except OSError as exc:
            raise PlaceUnreadable(f"it cannot be read ({exc.strerror})") from exc
        return Found(stamps, problems)

    def read(self, name: str, most: int) -> bytes:
        """Return the content of a file.

        Raises:
            PlaceUnreadable: It cannot be read now, or is no longer there.
            PolicyTextInvalid: It is larger, no regular file, or a link that leads out.
        """
        handle = self.open(name)
        with os.fdopen(handle, "rb", buffering=0) as file:
            parts, left = [], most + 1
            try:
                while left and (part := file.read(min(left, _CHUNK))):
                    parts.append(part)
                    left -= len(part)
            except OSError as exc:
                raise PlaceUnreadable(f"it cannot be read ({exc.strerror})") from exc
        if not left:
            raise PolicyTextInvalid(name, f"it is larger than {most // 1024} KiB")
        return b"".join(parts)

    def open(self, name: str) -> int:
        """Return a handle that reads a file; whoever calls closes it.

        Raises:
            PlaceUnreadable: It cannot be read now, or is no longer there.
            PolicyTextInvalid: It is no regular file, or a link that leads out.
        """
        try:
            if self.path.is_dir():
                root = os.path.realpath(self.path)
                path = os.path.realpath(os.path.join(root, name))  # noqa: PTH118 - as realpath
                if os.path.commonpath([root, path]) != root:
                    raise _leads_out(name)
            else:
                path = os.path.realpath(self.path)
            # Not to wait for whoever writes into a pipe.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
            if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - opening some devices acts
                raise _no_file(name)
            handle = os.open(path, flags)
        except OSError as exc:
            if exc.errno in _PASSING:
                raise PlaceUnreadable(f"it cannot be read ({exc.strerror})") from exc
            raise PolicyTextInvalid(name, f"it cannot be read ({exc.strerror})") from exc
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _no_file(name)
        return handle

    def _walk(
        self, root: str, below: str, depth: int
    ) -> Iterator[tuple[str, Stamp | PolicyTextInvalid]]:
        if depth > _MAX_DEPTH:
            raise PlaceUnreadable(f"it has more than {_MAX_DEPTH} levels of directories")
        with os.scandir(os.path.join(root, below)) as entries:  # noqa: PTH118 - quicker by half
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.name.startswith("."):
                    continue
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if self.is_deep:
                        yield from self._walk(root, name, depth + 1)
                elif (found := self._look(root, name, entry)) is not None:
                    yield name, found

    def _look(
        self, root: str, name: str, entry: os.DirEntry[str]
    ) -> Stamp | PolicyTextInvalid | None:
        is_wanted = name.lower().endswith(self.suffixes)
        try:
            if entry.is_symlink():
                is_dir = entry.is_dir()
                if not is_wanted and not (is_dir and self.is_deep):
                    return None
                if os.path.commonpath([root, os.path.realpath(entry.path)]) != root:
                    return _leads_out(name)
                if is_dir:
                    return PolicyTextInvalid(name, "it is a link to a directory: write its files")
            if not is_wanted:
                return None
            known = entry.stat()
        except OSError as exc:
            return PolicyTextInvalid(name, f"it cannot be read ({exc.strerror})")
        return _stamp(known) if stat.S_ISREG(known.st_mode) else _no_file(name)


@dataclass(slots=True)
class Watched:
    """Tells what has changed at a place since it was looked at before.

    A file counts as changed once two looks find it the same: between them it may be half written.
    One that is gone counts as gone the second time: between them it may be replaced.
    """

    _taken: dict[str, Stamp] = field(default_factory=dict)
    #: As the last look found them; ``None``: there was none, and all is taken as it is.
    _seen: Mapping[str, Stamp] | None = None

    def changes(self, found: Found) -> tuple[list[str], list[str]]:
        """Return the names of files that have changed, and of those that are gone."""
        stamps = found.stamps
        seen = stamps if self._seen is None else self._seen
        changed = [
            name
            for name, stamp in sorted(stamps.items())
            if self._taken.get(name) != stamp and seen.get(name) == stamp
        ]
        there = stamps.keys() | found.problems.keys()
        gone = [name for name in sorted(self._taken) if name not in there and name not in seen]
        self._seen = stamps
        self._taken.update((name, stamps[name]) for name in changed)
        for name in gone:
            del self._taken[name]
        return changed, gone

    def look_again(self, names: Collection[str]) -> None:
        """Have files count as changed the next time, whether or not they have."""
        for name in names:
            if name in self._taken:
                self._taken[name] = Stamp(0, 0, 0, 0)


def _stamp(known: os.stat_result) -> Stamp:
    return Stamp(known.st_ctime_ns, known.st_mtime_ns, known.st_size, known.st_ino)


def _leads_out(name: str) -> PolicyTextInvalid:
    return PolicyTextInvalid(name, "it is a link that leads out of the directory")


def _no_file(name: str) -> PolicyTextInvalid:
    return PolicyTextInvalid(name, "it is no regular file")
