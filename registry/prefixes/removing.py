"""What nobody wants goes: out of its place at once, and from the disk beside everything else.

::

    unwanted    a prefix keeps its place for the time of grace: processes run from it
    .trash      then it is moved there, in one step
    removed     by a thread, entry by entry; who is killed leaves the rest to the next pass

Removal follows no link and goes by descriptors, so that it stays in the tree whatever the tree's
owner does meanwhile.
"""

import asyncio
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from registry.prefixes.threads import in_thread

_log = structlog.get_logger("registry.prefixes")

_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN: Final = 0o700
_BLOCK_BYTES: Final = 512
#: A name of an unpacked package has so many digits.
_NAME_DIGITS: Final = 64


class Trash:
    """Directories in which whatever is there goes.

    Args:
        paths: Where they are; may not be there.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._thread: threading.Thread | None = None
        self._is_due = threading.Event()
        self._is_closed = threading.Event()
        self._mutex = threading.Lock()
        self._freed_bytes = 0

    def sweep(self) -> None:
        """Have all that is there be removed, beside whatever comes next."""
        with self._mutex:
            self._is_due.set()
            if self._thread is None and not self._is_closed.is_set():
                self._thread = threading.Thread(target=self._run, name="trash", daemon=True)
                self._thread.start()

    def take_freed_bytes(self) -> int:
        """Return how many bytes were freed since this was asked last."""
        with self._mutex:
            freed, self._freed_bytes = self._freed_bytes, 0
            return freed

    async def settle(self) -> None:
        """Wait until nothing is being removed."""
        thread = self._thread
        while thread is not None and thread.is_alive():
            await in_thread(lambda: thread.join(1.0))
            await asyncio.sleep(0)

    def close(self) -> None:
        """Stop removing after the entry that it is at."""
        self._is_closed.set()

    def _run(self) -> None:
        while True:
            self._is_due.clear()
            for path in self._paths:
                try:
                    self._remove_all(path)
                except OSError as exc:
                    _log.warning("failed to remove", path=str(path), why=str(exc))
            with self._mutex:
                if self._is_closed.is_set() or not self._is_due.is_set():
                    self._thread = None
                    return

    def _remove_all(self, path: Path) -> None:
        try:
            trash = os.open(path, _DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            for name in sorted(os.listdir(trash)):  # noqa: PTH208 (a descriptor)
                if self._is_closed.is_set():
                    return
                try:
                    freed = remove_at(trash, name)
                except OSError as exc:
                    _log.warning("failed to remove", path=str(path / name), why=str(exc))
                    continue
                with self._mutex:
                    self._freed_bytes += freed
        finally:
            os.close(trash)


def remove_at(directory: int, name: str) -> int:
    """Remove an entry of a directory and all below it, and return how many bytes that freed.

    One that another process is removing, or that is gone, is left alone.

    Args:
        directory: A descriptor of the directory.
        name: Of the entry.

    Raises:
        OSError: Something cannot be removed.
    """
    try:
        handle = os.open(name, _HANDLE, dir_fd=directory)
    except FileNotFoundError:
        return 0
    try:
        found = os.fstat(handle)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=directory)
            return _freed(found)
        top = _opened(handle)
    finally:
        os.close(handle)
    try:
        try:
            fcntl.flock(top, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        freed = _empty(top)
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=directory)
        return freed + found.st_blocks * _BLOCK_BYTES
    finally:
        os.close(top)


def _empty(top: int) -> int:
    """Remove all that is in a directory: each directory that is found is moved to the top first.

    So it can be deeper than there are descriptors.
    """
    freed = 0
    pending: list[str] = []
    directory, name = top, ""
    while True:
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for inner, is_directory in found:
            if is_directory:
                # What is mounted there cannot be moved, and is not looked into.
                pending.append(_moved(directory, inner, top))
            else:
                freed += _freed(os.stat(inner, dir_fd=directory, follow_symlinks=False))
                os.unlink(inner, dir_fd=directory)
        if directory != top:
            freed += os.fstat(directory).st_blocks * _BLOCK_BYTES
            os.close(directory)
            os.rmdir(name, dir_fd=top)
        if not pending:
            return freed
        name = pending.pop()
        handle = os.open(name, _HANDLE, dir_fd=top)
        try:
            directory = _opened(handle)
        finally:
            os.close(handle)


def _moved(directory: int, name: str, top: int) -> str:
    """Move a directory to the top, and return what it is called there."""
    moved = secrets.token_hex(16)
    try:
        os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=top)
    except PermissionError:
        # One that is closed cannot be moved, even by its owner.
        handle = os.open(name, _HANDLE, dir_fd=directory)
        try:
            os.close(_opened(handle))
        finally:
            os.close(handle)
        os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=top)
    return moved


def _opened(handle: int) -> int:
    """Return a descriptor by which a directory can be read, whatever its mode is.

    Raises:
        OSError: It is no directory.
    """
    path = f"/proc/self/fd/{handle}"
    if os.fstat(handle).st_mode & _OPEN != _OPEN:
        os.chmod(path, _OPEN)  # noqa: PTH101 (a descriptor)
    return os.open(path, _DIRECTORY)


def _freed(found: os.stat_result) -> int:
    return found.st_blocks * _BLOCK_BYTES if found.st_nlink == 1 else 0


def unneeded_packages(packages: Path, needed: Collection[str]) -> list[str]:
    """Return the names of unpacked packages that nobody needs, sorted.

    Args:
        packages: The directory that they are in.
        needed: Names that prefixes have in their marks.

    Raises:
        OSError: The directory cannot be read.
    """
    with os.scandir(packages) as entries:
        found = [entry.name for entry in entries if not entry.name.startswith(".")]
    return sorted(name for name in found if len(name) == _NAME_DIGITS and name not in needed)
