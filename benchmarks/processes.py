"""What processes used, from ``/proc``, and where they may run."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_REST_SECONDS: Final = 1
#: A server at rest looks for changes of its catalog several times a second.
_REST_SHARE: Final = 0.08
_MOST_RESTS: Final = 60
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return what a process, those it started and those of them that ended used so far."""
    ticks = 0
    for one in _tree(pid):
        try:
            text = Path(f"/proc/{one}/stat").read_text(encoding="utf-8")
        except OSError:  # it ended meanwhile; its parent has its time now
            continue
        # utime, stime, cutime and cstime: see proc(5). The name before may have blanks in it.
        ticks += sum(int(field) for field in text.rpartition(")")[2].split()[11:15])
    return ticks / _TICKS


def peak_memory_bytes(pid: int | str = "self") -> int:
    """Return the most memory that one process held at a time since it started its program."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmHWM"].split()[0]) * 1024


def halves() -> tuple[list[int], list[int]]:
    """Return this machine's processors in two halves: for a server, and for those who ask it."""
    processors = sorted(os.sched_getaffinity(0))
    middle = len(processors) // 2
    return processors[middle:], processors[:middle] or processors


def wait_for_rest(pid: int) -> None:
    """Return when a process and those it started left most of a core unused for a second.

    One that does not within a minute takes so much at rest on this machine.
    """
    before = cpu_seconds(pid)
    for _ in range(_MOST_RESTS):
        time.sleep(_REST_SECONDS)
        now = cpu_seconds(pid)
        if now - before < _REST_SECONDS * _REST_SHARE:
            return
        before = now


@contextmanager
def on_processors(processors: Iterable[int]) -> Iterator[None]:
    """Let what is started meanwhile run on these processors only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text(encoding="utf-8").split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))
