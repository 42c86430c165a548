"""A small disk of its own, which can be full."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from conformance.missing import skip_unless_ci

#: Left free, it would still have room for what is small.
_PIECE_BYTES: Final = 1 << 20


class SmallDisk:
    """An ext4 file system in a file, mounted on a directory; a context manager.

    Where there are no loop devices, a tmpfs of the same size.
    """

    def __init__(self, size_mib: int) -> None:
        """Prepare it."""
        self._size_mib = size_mib
        self._home = Path()

    def __enter__(self) -> Self:
        """Mount it."""
        self._home = Path(tempfile.mkdtemp(prefix="pf-disk-"))
        self.path.mkdir()
        if not (self._mount_ext4() or self._mount_tmpfs()):
            shutil.rmtree(self._home)
            skip_unless_ci("a file system can be mounted by root alone")
        return self

    def __exit__(self, *_: object) -> None:
        """Unmount it; nothing of it stays."""
        subprocess.run(["umount", "--lazy", self.path], check=True)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def path(self) -> Path:
        """Where it is mounted."""
        return self._home / "disk"

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.path / "filling").open("ab", buffering=0) as file:
            size = _PIECE_BYTES
            while size:
                try:
                    file.write(bytes(size))
                    os.fsync(file.fileno())
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Free what :meth:`fill` has taken."""
        (self.path / "filling").unlink()

    def _mount_ext4(self) -> bool:
        image = self._home / "image"
        with image.open("wb") as file:
            file.truncate(self._size_mib << 20)
        made = ["mkfs.ext4", "-q", "-m", "0", "-F", str(image)]
        return _runs(*made) and _runs("mount", "-o", "loop", str(image), str(self.path))

    def _mount_tmpfs(self) -> bool:
        size = f"size={self._size_mib}m"
        return _runs("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.path))


def _runs(*argv: str) -> bool:
    if shutil.which(argv[0]) is None:
        return False
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0
