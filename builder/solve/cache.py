"""The directory in which rattler keeps indexes: how much there is, and what is taken out.

Several processes share it, of this server and of others on the machine. Each holds a shared lock
on ``.in-use``, so that whoever gets it alone knows that what is half written belongs to nobody.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from builder.network.index_limits import IndexLimits, files_below

_IN_USE: Final = ".in-use"
#: How rattler names what it is writing.
_HALF_WRITTEN: Final = ".tmp"
#: Nothing is written for so long without a byte.
_ABANDONED_SECONDS: Final = 600


def hold_cache(directory: Path) -> int:
    """Make the directory, and return the descriptor that tells others that it is in use."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def sweep_cache(directory: Path, limits: IndexLimits) -> None:
    """Delete unfinished and too large files, and all files if they are too large together."""
    directory.mkdir(parents=True, exist_ok=True)
    nobody = _is_unused(directory)
    abandoned = time.time() - _ABANDONED_SECONDS
    left = 0
    for path, found in list(files_below(directory)):
        half_written = Path(path).name.startswith(_HALF_WRITTEN)
        dead = half_written and (nobody or found.st_mtime < abandoned)
        if dead or found.st_size > limits.file_bytes:
            Path(path).unlink(missing_ok=True)
        else:
            left += found.st_blocks * 512
    if left > limits.cache_bytes:
        for path, _ in list(files_below(directory)):
            if Path(path).name != _IN_USE:
                Path(path).unlink(missing_ok=True)


def _is_unused(directory: Path) -> bool:
    descriptor = os.open(directory / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
