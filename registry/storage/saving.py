"""Writing what comes in pieces to a local file."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder.disk import disk_errors


async def save(pieces: AsyncIterator[bytes], path: Path, threads: Executor) -> str:
    """Write ``pieces`` to a new file and return its sha256, in hex; no file is left on failure.

    Raises:
        StoreUnavailable: The disk is full; or what reading the pieces raises.
    """
    loop, digest = asyncio.get_running_loop(), hashlib.sha256()
    with disk_errors(), _new_file(path) as file:
        async for piece in pieces:
            await loop.run_in_executor(threads, _take, piece, digest, file)
    return digest.hexdigest()


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
