"""Writing what comes in pieces to a local file."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder.oci.digest import Algorithm, Digest
from builder.system_errors import disk_errors


async def save(
    pieces: AsyncIterator[bytes], path: Path, threads: Executor, algorithm: Algorithm = "sha256"
) -> Digest:
    """Write ``pieces`` to a new file and return its digest; no file is left on failure.

    Raises:
        StoreUnavailable: The disk is full; or what reading the pieces raises.
    """
    loop, digest = asyncio.get_running_loop(), hashlib.new(algorithm)
    with disk_errors(), _new_file(path) as file:
        async for piece in pieces:
            await loop.run_in_executor(threads, _take, piece, digest, file)
    return Digest(f"{algorithm}:{digest.hexdigest()}")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("xb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _take(piece: bytes, digest: "hashlib._Hash", file: BinaryIO) -> None:
    digest.update(piece)
    file.write(piece)
