"""A directory or file of this machine, whose owner is perhaps not whoever runs the server.

What is listed are regular files. Links are followed as long as they lead to within the directory,
so that a ConfigMap's ``environment.yml → ..data/environment.yml`` is; hidden folders and files are
left out. A file is opened by the path that was looked at, without following links once more: who
changes a link meanwhile gets nothing read that lies elsewhere.
"""

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from builder.concurrency.threads import start_thread
from registry.errors import SourceFileUnreadable, SourceUnreachable
from registry.watcher.trees import Listing, TreeFile, Wants
from registry.watcher.walking import Walk, is_within, place_of, token_of, unreadable

#: What a file system may take for a look before it is said that it does not answer.
_LOOK_SECONDS: Final = 120
_READ_SECONDS: Final = 30
_THERE_SECONDS: Final = 3

Result = TypeVar("Result")


def root_name(path: Path) -> str:
    """Return how an environment is called that a file in the root of a tree defines.

    The directory's name; of a single file, that of the directory it is in.
    """
    path = path.absolute()
    return (path.parent if path.is_file() else path).name


class DirectoryTree:
    """Implements :class:`registry.watcher.trees.Tree` for a directory or a file.

    Args:
        path: Where it is; it may come and go.
        max_bytes: Larger files are not read.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        #: Whether a thread is at it, perhaps for ever.
        self._is_busy = False
        #: Of the last look: the directory without links, and where in it the files are.
        self._root = ""
        self._places: dict[str, str] = {}

    async def is_there(self) -> bool:
        """Tell whether there is such a directory or file on this machine, if it answers."""
        try:
            return await self._apart(self._path.exists, _THERE_SECONDS)
        except (SourceUnreachable, OSError):
            return False

    async def list(self, wants: Wants) -> Listing:
        """Return the wanted files as they are now.

        Raises:
            SourceUnreachable: It is not there, does not answer, or has too much in it.
        """
        return await self._apart(lambda: self._walked(wants), _LOOK_SECONDS)

    async def read(self, file: TreeFile) -> bytes | None:
        """Return the bytes of a file that was listed; ``None``: it is another one by now.

        Raises:
            SourceFileUnreadable: It cannot be read, though it is still the same.
            SourceUnreachable: The file system does not answer.
        """
        return await self._apart(lambda: self._read(file), _READ_SECONDS)

    async def _apart(self, work: Callable[[], Result], seconds: float) -> Result:
        """Return what ``work`` returns, done in a thread of its own.

        A file system that is away may keep a thread for ever: no second one is lost to it.
        """
        if self._is_busy:
            raise _silent(self._path)
        done = start_thread(work, "watched files")
        self._is_busy = True
        done.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(seconds):
                # Not cancelled with whoever waits: it tells when the thread has ended.
                return await asyncio.shield(done)
        except TimeoutError as exc:
            raise _silent(self._path) from exc

    def _ended(self, done: "asyncio.Future[Any]") -> None:
        self._is_busy = False
        if not done.cancelled():
            done.exception()  # perhaps nobody waits for it any more

    def _walked(self, wants: Wants) -> Listing:
        began = time.thread_time()
        try:
            self._path.stat()  # raises if it is not there
            is_directory = self._path.is_dir()
            folder = self._path if is_directory else self._path.parent
            root = os.path.realpath(folder, strict=True)
            found = folder.stat()
            walk = Walk(root, self._max_bytes, wants, None if is_directory else self._path.name)
            walk.folder(root, "", (found.st_dev, found.st_ino), frozenset())
        except OSError as exc:
            raise _unreachable(self._path, exc) from exc
        self._root, self._places = root, walk.places
        return Listing(
            walk.files,
            walk.problems,
            walk.folders,
            identity=f"{found.st_dev}-{found.st_ino}",
            is_empty=walk.entries == 0,
            cpu_seconds=time.thread_time() - began,
        )

    def _read(self, file: TreeFile) -> bytes | None:
        root, real = self._root, self._places.get(file.path)
        if real is None:
            return None
        linked = real if real != place_of(root, file.path) else None
        try:
            with _opened(root, real) as opened:
                if token_of(os.fstat(opened.fileno()), linked) != file.token:
                    return None
                data = opened.read(self._max_bytes + 1)
                after = os.fstat(opened.fileno())
        except (FileNotFoundError, NotADirectoryError, _Elsewhere):
            return None
        except OSError as exc:
            raise SourceFileUnreadable(unreadable(exc)) from exc
        if token_of(after, linked) != file.token or len(data) != after.st_size:
            return None  # somebody is writing it
        return data


class _Elsewhere(Exception):
    """A path leads out of the directory, or to no regular file."""


def _opened(root: str, real: str) -> BinaryIO:
    """Open a path without links below ``root``; nothing but a regular file is opened.

    Raises:
        _Elsewhere: It is not below, or no regular file.
        OSError: It cannot be opened, or has a link by now.
    """
    if not is_within(root, real):
        raise _Elsewhere
    *folders, name = real.removeprefix(root).strip("/").split("/")
    folder_flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    at = os.open(root, folder_flags)
    try:
        for folder in folders:
            below = os.open(folder, folder_flags, dir_fd=at)
            os.close(at)
            at = below
        # Opening a device may do something, and opening a pipe would wait.
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise _Elsewhere
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, dir_fd=at), "rb")
    finally:
        os.close(at)


def _shown(path: Path) -> str:
    """Return what whoever sees a source may know of where it is: its own name."""
    return path.name or str(path)


def _unreachable(path: Path, exc: OSError) -> SourceUnreachable:
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return SourceUnreachable(
            f"{_shown(path)} is not there: if it is to be mounted, that has not happened"
        )
    return SourceUnreachable(f"{_shown(path)} cannot be read: {exc.strerror or 'it fails'}")


def _silent(path: Path) -> SourceUnreachable:
    return SourceUnreachable(f"the file system of {_shown(path)} does not answer")
