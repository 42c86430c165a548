"""Small files that are there as a whole, or not at all."""

import json
import os
import secrets
from pathlib import Path
from typing import Final

#: How files are called that are being written.
UNFINISHED: Final = ".new-"


def write_whole(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = False) -> None:
    """Write a file; whoever reads it sees what was there before, or all of it.

    Raises:
        OSError: It cannot be written; what was there before is there.
    """
    unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
            file.write(data)
            os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_object(path: Path) -> dict[str, object] | None:
    """Return what a file of JSON says; ``None``: there is none, or it says nothing.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
