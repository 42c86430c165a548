"""What reading the indexes of channels may take, and the settings that say so."""

from dataclasses import dataclass
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
