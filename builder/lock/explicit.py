"""A lock as the list of addresses that ``conda create --file`` takes."""

from builder.errors import LockError
from builder.lock.model import Lock
from builder.platforms import Subdir


def to_explicit(lock: Lock, platform: Subdir) -> str:
    """Return an ``@EXPLICIT`` list of the packages of one platform, sorted by name.

    Each address ends in ``#`` and the package's md5, the one checksum that every version of
    conda, mamba and rattler reads there. Wheels are comments, as conda-lock writes them:
    ``conda-lock install`` and ``micromamba`` read them, conda itself would refuse any other line.

    Raises:
        LockError: The lock has no such platform.
    """
    if platform not in lock.platforms:
        raise LockError(f"the lock has {', '.join(lock.platforms)}, and not {platform}")
    lines = [f"# platform: {platform}", "@EXPLICIT"]
    lines += [f"{record.url}#{record.md5}" for record in lock.platforms[platform]]
    lines += [
        f"# pip {wheel.name} @ {wheel.url}#sha256={wheel.sha256}"
        for wheel in lock.wheels.get(platform, ())
    ]
    return "\n".join(lines) + "\n"
