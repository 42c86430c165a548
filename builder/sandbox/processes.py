"""The processes that a process has started, as the kernel lists them.

*Source*: proc(5), ``/proc/pid/stat`` and ``/proc/pid/smaps_rollup``.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it was when it was looked at."""

    pid: int
    parent: int
    group: int
    threads: int
    #: What it has in memory, with what it shares with others.
    resident_bytes: int
    #: Nobody has asked yet how it ended.
    has_ended: bool


def family(first: int) -> list[Process]:
    """Return a process, all that came from it, and all of its group, as far as they are there.

    Whoever's parent has ended is given to one that came from here, too; where it is not, nobody can
    leave the group.
    """
    found = {process.pid: process for process in _all()}
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    wanted = [process.pid for process in found.values() if first in (process.pid, process.group)]
    known = set(wanted)
    for pid in wanted:  # grows meanwhile
        new = [child for child in children.get(pid, ()) if child not in known]
        known.update(new)
        wanted += new
    return [found[pid] for pid in wanted]


def memory_of(processes: Iterable[Process]) -> int:
    """Return what processes have in memory, counting once what they share with each other."""
    size = 0
    for process in processes:
        # It has ended, or is somebody else's: then nothing is known to be shared.
        counted = process.resident_bytes
        with suppress(OSError, ValueError):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            counted = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        size += counted
    return size


def _all() -> Iterator[Process]:
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                with suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
                    yield _process(int(entry.name))


def _process(pid: int) -> Process:
    # The name of a program, in parentheses, may have anything.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    parent, group, threads, pages = (int(fields[at]) for at in (1, 2, 17, 21))
    return Process(pid, parent, group, threads, pages * _PAGE_BYTES, fields[0] in b"ZX")
