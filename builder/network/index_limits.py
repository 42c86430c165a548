"""What reading the indexes of channels may take, and the settings that say so."""

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_GIB: Final = 1024**3

FILE_SETTING: Final = "PULLFORGE_MAX_INDEX_BYTES"
CACHE_SETTING: Final = "PULLFORGE_INDEX_CACHE_BYTES"
MEMORY_SETTING: Final = "PULLFORGE_INDEX_MEMORY_BYTES"


@dataclass(frozen=True, slots=True)
class IndexLimits:
    """What a process that reads indexes is held to."""

    #: One index or shard, unpacked: a file on disk.
    file_bytes: int = _GIB
    #: All that is kept on disk of all channels, with what is being downloaded.
    cache_bytes: int = 8 * _GIB
    #: What the process has in memory that is not a file's.
    memory_bytes: int = 3 * _GIB
    #: One answer to the server, which keeps the names of a channel in its memory: 16 MiB are
    #: 800 000 names, or an environment of 10 000 packages.
    answer_bytes: int = 16 * 1024**2

    def hold(self, process: int = 0) -> None:
        """Hold a process, this one by default, to the limits, or to those it has if they are less.

        Raises:
            ProcessLookupError: It has ended already.
        """
        for kind, wanted in (
            (resource.RLIMIT_DATA, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_CORE, 0),
        ):
            _, most = resource.prlimit(process, kind)
            limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.prlimit(process, kind, (limit, limit))


def used_bytes(directory: Path) -> int:
    """Return what all files below ``directory`` take on disk; takes some 2 µs each."""
    return sum(found.st_blocks * 512 for _, found in files_below(directory))


def files_below(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield files and what they are; those that vanish meanwhile are left out."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - many, and a Path costs more
            try:
                yield path, os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as above
            except FileNotFoundError:
                continue
