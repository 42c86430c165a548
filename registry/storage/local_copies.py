"""A bounded directory of files that came from a store elsewhere.

A build reads a package several times: to plan, to assemble each layer it is in, to compile. So a
copy stays for a while::

    <directory>/<sha256>      what the store has under a key that says its sha256
    <directory>/.<random>     anything else, and what is being written

When there is more than allowed, the copies that were asked for longest ago go; those that were
asked for in the last hour stay, since a build may be about to open them. Any number of processes
may use one directory.
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

#: What is kept unless told otherwise.
MAX_BYTES: Final = 10 * 1024**3
_KEEP_SECONDS: Final = 3600


class LocalCopies:
    """Keeps copies on disk, where methods block: call them in threads.

    A copy stays for ``keep_seconds`` after its last use, and then while all fit in ``max_bytes``.
    The directory may be emptied while no build runs.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = MAX_BYTES,
        keep_seconds: float = _KEEP_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._keep_seconds = keep_seconds
        self._now = now

    def find(self, sha256: str) -> Path | None:
        """Return the copy with that digest and mark it as used."""
        path = self._directory / sha256
        try:
            os.utime(path, (self._now(), self._now()))
        except FileNotFoundError:
            return None
        return path

    def new_path(self) -> Path:
        """Return a new unique path; a file left there is removed later."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return self._directory / f".{secrets.token_hex(16)}"

    def keep(self, sha256: str, path: Path) -> Path:
        """Move a finished file with that digest here and return where it is."""
        self._directory.mkdir(parents=True, exist_ok=True)
        target = self._directory / sha256
        path.replace(target)
        self.find(sha256)
        self.evict()
        return target

    def evict(self) -> None:
        """Remove the least recently used copies until the rest fits the limit."""
        files = []
        for path in self._directory.iterdir():
            with suppress(FileNotFoundError):  # another process was faster
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in files)
        before = self._now() - self._keep_seconds
        for modified, size, path in sorted(files):
            is_stray = path.name.startswith(".")
            if modified >= before or (total <= self._max_bytes and not is_stray):
                continue
            path.unlink(missing_ok=True)
            total -= size
