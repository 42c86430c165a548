"""A bounded cache of answers on this machine, each checked by its sha256.

::

    <directory>/<first 3 hex digits of the key>    key, sha256 of the answer, answer

A key has one place, and whoever comes later takes it: so there are at most 4096 files, and nobody
has to look for old ones. A file that was cut off by a crash has another sha256 and does not count.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

_HASH_BYTES: Final = 32
_CHUNK: Final = 1024 * 1024


class DiskCache:
    """One place of a directory of answers; ``key`` is the sha256 of all that decides the answer."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self._directory = directory
        self._key = key
        self._path = directory / key.hex()[:3]

    @contextmanager
    def open(self) -> Iterator[IO[bytes] | None]:
        """Give a file that stands at the beginning of the answer, or ``None`` if none is kept."""
        try:
            file = self._path.open("rb")
        except OSError:
            yield None
            return
        with file:
            yield file if self._is_whole(file) else None

    def keep(self, answer: IO[bytes]) -> None:
        """Store the rest of ``answer``, whose position stays; a failed write is no error."""
        start = answer.tell()
        unfinished = self._directory / f"{secrets.token_hex(8)}.part"
        with suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            try:
                with unfinished.open("xb") as file:
                    file.write(self._key + _digest_of_rest(answer))
                    answer.seek(start)
                    shutil.copyfileobj(answer, file)
                unfinished.replace(self._path)
            except OSError:
                unfinished.unlink(missing_ok=True)
        answer.seek(start)

    def _is_whole(self, file: IO[bytes]) -> bool:
        key, digest = file.read(_HASH_BYTES), file.read(_HASH_BYTES)
        if key != self._key or _digest_of_rest(file) != digest:
            return False
        file.seek(2 * _HASH_BYTES, os.SEEK_SET)
        return True


def _digest_of_rest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()
