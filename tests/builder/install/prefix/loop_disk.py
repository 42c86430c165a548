"""File systems in files, mounted as root."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from conformance.missing import skip_unless_ci

FileSystem = Literal["ext4", "xfs", "btrfs"]
#: How each is made of a file.
_MAKE: Final[dict[FileSystem, Sequence[str]]] = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
}
#: mkfs.xfs makes none that is smaller; only what is written takes room.
USUAL_MIB: Final = 512


@contextmanager
def loop_disk(
    kind: FileSystem, size_mib: int = USUAL_MIB, options: Sequence[str] = ()
) -> Iterator[Path]:
    """Mount a new file system for a while, and give its directory.

    Args:
        kind: What it is.
        size_mib: How large it is.
        options: More arguments of the program that makes it.
    """
    program = _MAKE[kind]
    if shutil.which(program[0]) is None:
        skip_unless_ci(f"there is no {program[0]}")
    with tempfile.TemporaryDirectory(prefix="pf-loop-") as home:
        image, directory = Path(home, "image"), Path(home, "disk")
        directory.mkdir()
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        subprocess.run([*program, *options, image], check=True, capture_output=True)
        mounted = subprocess.run(
            ["mount", "-o", "loop", image, directory], check=False, capture_output=True
        )
        if mounted.returncode != 0:
            skip_unless_ci(f"{kind} cannot be mounted: {mounted.stderr.decode()}")
        try:
            yield directory
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)
