"""A store on disk: each key is a path below one directory.

Bytes are written to a file in the store's scratch directory, synced, and renamed to their key. So a
reader sees all of them or nothing, and a process that is killed leaves nothing torn.
"""

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from builder.errors import StoreUnavailable
from builder.ports import StoreEntry
from builder.system_errors import disk_errors, missing_store
from registry.storage.keys import checked_key, checked_prefix
from registry.storage.reading import open_reader
from registry.storage.scratch import Scratch

T = TypeVar("T")

#: How many keys are listed before the event loop hears of them.
_BATCH: Final = 1000
#: How often a directory is made again that others remove because it is empty.
_TRIES: Final = 20


class FilesystemStore:
    """Keeps bytes below one directory; implements :class:`builder.ports.Store`.

    Any number of stores, in any number of processes, may use the same directory. File operations
    run in threads of the store's own, so that they never wait for compression. An operation whose
    caller is cancelled still ends as a whole: the bytes are there, or nothing is.

    Every method raises :class:`builder.errors.StoreUnavailable` when the disk is full, read-only or
    broken, or the directory is not there: it is never made again, since it may be on a disk that is
    not mounted. Nothing is left of what a method was doing then, and it works again as soon as the
    disk does.
    """

    def __init__(self, root: Path, *, threads: int = 16) -> None:
        """Open the store, made if missing, without what killed processes left half written.

        Raises:
            StoreUnavailable: Nothing can be written there.
        """
        self._root = root
        try:
            with disk_errors():
                self._scratch = Scratch(root)
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as exc:
            raise StoreUnavailable(
                f"the store's directory {root} cannot be made: {exc.strerror}; PULLFORGE_STORE"
                " names another"
            ) from exc
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")

    def close(self) -> None:
        """Wait for running operations and remove the scratch directory; idempotent."""
        self._threads.shutdown()
        self._scratch.close()

    async def size(self, key: str) -> int | None:
        """Return how many bytes are under ``key``, or ``None`` when there is nothing."""
        path = self._path(key)
        return await self._run(lambda: _size(path))

    async def read(self, key: str) -> bytes | None:
        """Return all bytes under ``key``, or ``None``."""
        path = self._path(key)
        return await self._run(lambda: _read(path))

    async def stream(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop``; those of the moment it began, even if replaced.

        Raises:
            KeyError: Nothing is under ``key``.
        """
        path = self._path(key)
        try:
            reader = await self._run(lambda: open_reader(path, start, stop))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
            raise KeyError(key) from exc
        with reader:
            while not reader.done:
                with disk_errors():
                    piece = reader.read_cached()
                yield piece or await self._run(reader.read)

    async def write(self, key: str, data: bytes) -> None:
        """Put ``data`` under ``key``, replacing what was there. Idempotent."""
        path = self._path(key)
        await self._run(lambda: self._write(path, data))

    async def adopt(self, key: str, path: Path) -> None:
        """Put the file at ``path`` under ``key``, if it was not yet; ``path`` is gone afterwards.

        Raises:
            FileNotFoundError: There is no file at ``path``, and nothing under ``key``.
        """
        target = self._path(key)
        await self._run(lambda: self._adopt(target, path))

    async def local_path(self, key: str, scratch: Path) -> Path | None:
        """Return the store's own file under ``key``, for reading, or ``None``."""
        path = self._path(key)
        return await self._run(lambda: path if path.is_file() else None)

    async def delete(self, key: str) -> None:
        """Remove ``key`` if it exists; open readers can read on."""
        path = self._path(key)
        await self._run(lambda: _delete(path, self._root))

    async def entries(self, prefix: str, after: str = "") -> AsyncIterator[StoreEntry]:
        """Yield what there is under keys that start with ``prefix`` and sort after ``after``."""
        folder, _, _ = checked_prefix(prefix).rpartition("/")
        found = _walk(self._root / folder, f"{folder}/" if folder else "", prefix, after)
        while batch := await self._run(lambda: list(islice(found, _BATCH))):
            for entry in batch:
                yield entry

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    async def _run(self, function: Callable[[], T]) -> T:
        with disk_errors():
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._with_root, function
            )

    def _with_root(self, function: Callable[[], T]) -> T:
        """Return what the function returns; a store without its directory is not an empty one."""
        try:
            found = function()
        except (FileNotFoundError, NotADirectoryError):
            self._require_root()
            raise
        if not found:
            self._require_root()
        return found

    def _require_root(self) -> None:
        if not self._root.is_dir():
            raise missing_store() from _not_there(self._root)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = self._scratch.new_path()
        try:
            with temporary.open("xb") as file:
                file.write(data)
            _publish(temporary, path, self._root)
        finally:
            temporary.unlink(missing_ok=True)

    def _adopt(self, target: Path, source: Path) -> None:
        if not source.exists() and target.is_file():
            return
        try:
            _publish(source, target, self._root)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            temporary = self._scratch.new_path()
            try:
                shutil.copyfile(source, temporary)
                _publish(temporary, target, self._root)
                source.unlink()
            finally:
                temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path, root: Path) -> None:
    """Rename a written file to its key, for good: also when the power fails right afterwards."""
    _sync(temporary)
    for last in (False,) * _TRIES + (True,):
        try:
            _make_directory(path.parent, root)
            temporary.replace(path)
            break
        except FileNotFoundError:  # somebody removed the directory, which was empty
            if last or not temporary.exists():
                raise
    with suppress(FileNotFoundError):  # as above; then the file has been deleted again
        _sync(path.parent)


def _make_directory(path: Path, root: Path) -> None:
    """Make ``path`` and what is missing above it, below ``root``; each is in its parent for good.

    Raises:
        StoreUnavailable: There is no ``root``.
    """
    if path.is_dir():
        return
    if path == root:
        raise missing_store() from _not_there(root)
    _make_directory(path.parent, root)
    # Not mkdir(exist_ok=True): that looks again and fails if the directory is removed in between.
    with suppress(FileExistsError):
        path.mkdir()
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _delete(path: Path, root: Path) -> None:
    """Remove a file, and the directories that are empty without it."""
    with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        path.unlink()
    for directory in path.parents:
        if directory == root:
            return
        try:
            directory.rmdir()
        except OSError:  # not empty, or gone already
            return


def _walk(directory: Path, base: str, prefix: str, after: str) -> Iterator[StoreEntry]:
    """Yield the files below ``directory``, whose key is ``base``, in the order of their keys."""
    # A directory sorts as if its name ended in ``/``, since its keys do: ``a.b`` is before ``a/b``.
    try:
        entries = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name
            for entry in os.scandir(directory)
            if not entry.name.startswith(".")
        )
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in entries:
        key = base + name
        if key <= after and not after.startswith(key):
            continue
        if name.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
            yield from _walk(directory / name, key, prefix, after)
        elif not name.endswith("/") and key.startswith(prefix) and key > after:
            with suppress(FileNotFoundError):  # deleted since the directory was read
                found = (directory / name).stat()
                yield StoreEntry(key, found.st_size, found.st_mtime)


def _not_there(root: Path) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(root))
