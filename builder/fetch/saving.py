"""Writing what comes in pieces to a local file, hashed while it is written."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder.oci.digest import Algorithm, Digest
from builder.system_errors import disk_errors


async def save(
    pieces: AsyncIterator[bytes],
    path: Path,
    hashes: Sequence["hashlib._Hash"],
    *,
    max_bytes: int | None = None,
    threads: Executor | None = None,
) -> int:
    """Write ``pieces`` to a file while ``hashes`` take them in; return how many bytes came.

    No file is left on failure. Of more than ``max_bytes`` no more is read than shows it.

    Raises:
        StoreUnavailable: The disk is full; or what reading the pieces raises.
    """
    loop, size_bytes = asyncio.get_running_loop(), 0
    with disk_errors(), _new_file(path) as file:
        async for piece in pieces:
            size_bytes += len(piece)
            if max_bytes is not None and size_bytes > max_bytes:
                break
            await loop.run_in_executor(threads, _take, piece, hashes, file)
    return size_bytes


async def save_blob(
    pieces: AsyncIterator[bytes], path: Path, threads: Executor, algorithm: Algorithm = "sha256"
) -> Digest:
    """Write ``pieces`` to a file as :func:`save` does, and return their digest."""
    found = hashlib.new(algorithm)
    await save(pieces, path, [found], threads=threads)
    return Digest(f"{algorithm}:{found.hexdigest()}")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _take(piece: bytes, hashes: Sequence["hashlib._Hash"], file: BinaryIO) -> None:
    for one in hashes:
        one.update(piece)
    file.write(piece)
