"""How much a package archive may unpack to."""

from dataclasses import dataclass
from typing import Final

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one package archive: a few kilobytes of zstd can unpack to terabytes."""

    #: Of all tars of the archive together.
    unpacked_bytes: int = 64 * 1024 * _MIB
    #: Members of all kinds; 300,000 paths are held in about 100 MB of memory.
    entries: int = 300_000
    #: Of one path; Linux takes no more than 4096 with the prefix in front.
    path_bytes: int = 4000
    #: Of the metadata that is held in memory (``info/index.json``, ``info/paths.json`` …).
    info_bytes: int = 64 * _MIB
    #: Of the list of a zip's members, of which each costs ten times as much memory.
    directory_bytes: int = 32 * _MIB
