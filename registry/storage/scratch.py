"""A directory for half-written files, which is removed after its process has died.

::

    <root>/.tmp/<random>/    one for each open store, under an exclusive flock
    <root>/.tmp/<random>/…   half-written files

The kernel releases the lock when the process ends, however it ends. So a directory whose lock can
be had belongs to nobody: the next store that opens removes it, and never one of a process that
lives.
"""

import asyncio
import fcntl
import os
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final

from registry.storage.trees import remove_tree

_FOLDER: Final = ".tmp"
#: How often it is looked whether the directory is there.
_RENEW_SECONDS: Final = 2.0


class Scratch:
    """Holds the directory until :meth:`close`."""

    def __init__(self, root: Path) -> None:
        """Make a directory below ``root``, and remove those of dead processes."""
        folder = root / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for left in sorted(folder.iterdir()):
            _remove_if_dead(left)
        self._path, self._descriptor = _locked_directory(folder)
        self._renewing = threading.Lock()

    @property
    def path(self) -> Path:
        """The directory; whatever is put into it is gone after :meth:`close`."""
        return self._path

    def new_path(self) -> Path:
        """Return a new unique path on the file system of the store."""
        self.renew()
        return self._path / secrets.token_hex(16)

    def renew(self) -> None:
        """Make the directory again if somebody has removed it, but not the root that it is in.

        Raises:
            FileNotFoundError: The root is gone.
        """
        if self._path.is_dir():
            return
        with self._renewing:
            if self._descriptor < 0 or self._path.is_dir():
                return
            with suppress(FileExistsError):
                self._path.parent.mkdir()
            path, descriptor = _locked_directory(self._path.parent)
            try:
                path.rename(self._path)  # locked by then: no other process takes it for a dead one
            except OSError:
                os.close(descriptor)
                raise
            os.close(self._descriptor)
            self._descriptor = descriptor

    def close(self) -> None:
        """Remove the directory; idempotent."""
        if self._descriptor >= 0:
            _remove(self._path)
            os.close(self._descriptor)
            self._descriptor = -1


@asynccontextmanager
async def open_scratch(root: Path) -> AsyncIterator[Path]:
    """Give a directory below ``root``, made again if removed, and deleted on exit."""
    # What ``root`` is in is not made again: it may be on a disk that is not mounted.
    with closing(Scratch(root)) as scratch:
        keeping = asyncio.create_task(_keep(scratch, root))
        try:
            yield scratch.path
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})


async def _keep(scratch: Scratch, root: Path) -> None:
    def renew() -> None:
        root.mkdir(exist_ok=True)
        scratch.renew()

    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        with suppress(OSError):  # whoever needs it tells
            await asyncio.to_thread(renew)


def _locked_directory(folder: Path) -> tuple[Path, int]:
    """Return a new directory below ``folder`` and the descriptor that holds its lock."""
    while True:
        path = folder / secrets.token_hex(8)
        path.mkdir()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another process opened a store before we had the lock
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # It may also have been removed between the opening and the lock.
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a directory in which anything may be, also what hostile programs have made."""
    with suppress(OSError):  # what is left is tried again when the next server starts
        remove_tree(path)


def _remove_if_dead(path: Path) -> None:
    """Remove a scratch directory unless a living process holds its lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        _remove(path)
    finally:
        os.close(descriptor)
