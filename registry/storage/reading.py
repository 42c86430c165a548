"""Reading a file in large pieces without blocking the event loop.

What lies in the page cache is read at once: a hop to a thread and back costs more than copying
1 MiB, and blobs that are pulled now were mostly written or read a moment ago. Only what has to come
from the disk goes through a thread.
"""

import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

#: Pieces of 64 KiB were measured four times slower.
CHUNK_BYTES: Final = 1024 * 1024
_LEAST_BYTES: Final = 64 * 1024
#: What all that is being read may hold: each client that does not read on holds the piece it got.
_ALL_BYTES: Final = 32 * 1024 * 1024
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


class Reader:
    """Context manager of one open file from ``start`` to ``stop``; many share smaller pieces."""

    _count: ClassVar[int] = 0

    def __init__(self, file: FileIO, start: int, stop: int) -> None:
        self._file = file
        self._descriptor = file.fileno()
        self._offset = start
        self._stop = stop
        self._probe = bytearray(1)
        self._can_probe = _NOWAIT != 0

    def __enter__(self) -> Self:
        Reader._count += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        Reader._count -= 1
        self._file.close()

    @property
    def done(self) -> bool:
        """Whether everything up to ``stop`` was read."""
        return self._offset >= self._stop

    def read_cached(self) -> bytes:
        """Return the next piece if it is in memory, else nothing."""
        # The kernel fills the cache from front to back, so the last byte speaks for the others.
        return self.read() if self._is_cached(self._offset + self._piece_bytes() - 1) else b""

    def read(self) -> bytes:
        """Return the next piece; may wait for the disk.

        Raises:
            EOFError: The file has become shorter, which no file of the store ever does.
        """
        chunk = os.pread(self._descriptor, self._piece_bytes(), self._offset)
        if not chunk:
            raise EOFError(f"a stored file ended at {self._offset} instead of {self._stop} bytes")
        self._offset += len(chunk)
        return chunk

    def _piece_bytes(self) -> int:
        share = max(_LEAST_BYTES, _ALL_BYTES // max(1, self._count))
        return min(CHUNK_BYTES, share, self._stop - self._offset)

    def _is_cached(self, offset: int) -> bool:
        if not self._can_probe:
            return False
        try:
            return os.preadv(self._descriptor, [self._probe], offset, _NOWAIT) == 1
        except BlockingIOError:
            return False
        except OSError:  # not every file system can tell
            self._can_probe = False
            return False


def open_reader(path: Path, start: int, stop: int | None) -> Reader:
    """Return a reader of the file at ``path``.

    Raises:
        FileNotFoundError: There is no such file.
        IsADirectoryError: It is a directory.
    """
    file = path.open("rb", buffering=0)
    size = os.fstat(file.fileno()).st_size
    return Reader(file, start, size if stop is None else min(stop, size))
