"""A command of somebody who is not trusted, run to its end or to the end of what it may take.

The sandbox says what the command can reach (:mod:`builder.sandbox.sandbox`, ``rooted``). The kernel
bounds each process; all together are looked at ten times a second: how many there are, the memory
they have, and what they have written. Nothing of it is left at the end.
"""

import os
import select
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from builder.sandbox.processes import Process, family, memory_of

#: What a command was ended for.
Excess = Literal["time", "processes", "memory", "disk", "stopped"]

_LOOK_SECONDS: Final = 0.1
#: Looking may take so much of the time.
_LOOK_SHARE: Final = 0.4
#: How long it is waited for processes that were killed.
_END_SECONDS: Final = 10.0
#: What a pipe holds at most, by which the last words are bounded.
_PIPE_BYTES: Final = 1 << 20
_NICE: Final = 10


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What a command may take, with all that it starts."""

    seconds: float
    memory_bytes: int = 4 << 30
    #: Threads are counted, too.
    processes: int = 1000
    #: Of files that it writes, and how many.
    disk_bytes: int = 1 << 30
    files: int = 100_000
    #: Of what it says, the end of which is kept.
    output_bytes: int = 64 << 10

    @property
    def of_each(self) -> dict[str, int]:
        """What the kernel holds each process to, as options of ``ulimit``."""
        # Of all processes of a user, root excepted; the server's own are among them.
        return {
            "t": int(self.seconds) + 1,
            # Not the addresses: Java, Go and others reserve more than they will ever use.
            "d": self.memory_bytes >> 10,
            "c": 0,
            "p": 4096,
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a command."""

    #: As shells count: 128 and the number of a signal that ended it. ``None``: see :attr:`excess`.
    status: int | None
    excess: Excess | None
    #: The end of what it said, both ways.
    output: bytes
    seconds: float


def run_trial(
    command: Sequence[str],
    limits: TrialLimits,
    stopping: threading.Event,
    *,
    written: Sequence[str | Path] = (),
    user: int | None = None,
    directory: Path = Path("/"),
) -> Trial:
    """Run a command that is in a sandbox; nothing that it started is left when this returns.

    Args:
        command: A program by its whole path, and its arguments.
        limits: What it may take.
        stopping: When set, the command is ended.
        written: Directories that it can write to; a path of text is one as the command sees it,
            in a file system of its own.
        user: Who runs it, where this process is root's.
        directory: Where it begins, unless the sandbox says where.

    Raises:
        OSError: It cannot be started.
    """
    started = time.monotonic()
    with (
        ExitStack() as stack,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={},
            cwd=directory,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        ) as process,
    ):
        watch = _Watch(process, limits, written, stack)
        try:
            excess = watch.run(started + limits.seconds, stopping)
        finally:
            watch.end()
        output = watch.last_words()
        code = process.wait()
    status = 128 - code if code < 0 else code
    return Trial(None if excess else status, excess, output, time.monotonic() - started)


class _Watch:
    """Looks at a command, from its start to its end."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        limits: TrialLimits,
        written: Sequence[str | Path],
        stack: ExitStack,
    ) -> None:
        assert process.stdout is not None, "it is a pipe"
        self._process = process
        self._limits = limits
        self._written = written
        self._stack = stack
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._output = bytearray()
        self._ended = self._watched(process.pid)
        #: What leads the others: the first of their namespace, or of their group.
        self._first: int | None = None
        self._first_ended: int | None = None
        # What is computed for people who wait goes first.
        with suppress(OSError):
            os.setpriority(os.PRIO_PGRP, process.pid, _NICE)

    def run(self, deadline: float, stopping: threading.Event) -> Excess | None:
        """Return when the command has ended, or is to be: what for."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        if self._ended is not None:
            poll.register(self._ended, select.POLLIN)
        next_look = time.monotonic()
        while self._process.poll() is None:
            now = time.monotonic()
            if stopping.is_set():
                return "stopped"
            if now >= deadline:
                return "time"
            if now >= next_look:
                excess = self._look()
                if excess is not None:
                    return excess
                took = time.monotonic() - now
                next_look = now + max(_LOOK_SECONDS, took / _LOOK_SHARE)
            wait = min(deadline, next_look, now + _LOOK_SECONDS) - time.monotonic()
            poll.poll(max(0, wait) * 1000)
            if not self._read():
                with suppress(KeyError):  # it has closed its output, and goes on
                    poll.unregister(self._pipe)
        return None

    def end(self) -> None:
        """End everything, and wait until it has."""
        until = time.monotonic() + _END_SECONDS
        self._find_first(family(self._process.pid))
        if self._first_ended is not None:
            self._kill(self._first)
            # Whoever has started the first ends by itself when all have ended.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
            select.select([self._first_ended], [], [], max(0, until - time.monotonic()))
        # Again for what was being made while the others were killed.
        while _lives(self._process.pid) and time.monotonic() < until:
            self._kill(self._process.pid)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_SECONDS / 10)
        self._process.wait()

    def last_words(self) -> bytes:
        """Return the end of what was said."""
        left = _PIPE_BYTES
        while left > 0 and (size := self._read()):
            left -= size
        return bytes(self._output)

    def _kill(self, group: int | None) -> None:
        # The number is nobody else's as long as the end of its process is watched.
        if group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def _read(self) -> int:
        """Take what there is, and return how much; 0 at the end, and -1 if there is nothing now."""
        try:
            part = os.read(self._pipe, 64 << 10)
        except BlockingIOError:
            return -1
        self._output += part
        del self._output[: -self._limits.output_bytes]
        return len(part)

    def _look(self) -> Excess | None:
        processes = family(self._process.pid)
        self._find_first(processes)
        if sum(process.threads for process in processes) > self._limits.processes:
            return "processes"
        most = self._limits.memory_bytes
        # What is shared is counted for each of them at first.
        at_most = sum(process.resident_bytes for process in processes)
        if at_most > most and memory_of(processes) > most:
            return "memory"
        return "disk" if self._is_too_much_written(processes) else None

    def _find_first(self, processes: Sequence[Process]) -> None:
        if self._first is not None:
            return
        for process in processes:
            # As both sandboxes do, it has made a group of its own.
            if process.parent == self._process.pid and process.group == process.pid:
                self._first_ended = self._watched(process.pid)
                self._first = process.pid if self._first_ended is not None else None

    def _is_too_much_written(self, processes: Sequence[Process]) -> bool:
        size = files = 0
        for place in self._written:
            if isinstance(place, str):
                try:
                    found = os.statvfs(f"/proc/{self._first}/root{place}")
                except OSError:  # it is not there yet, or has ended
                    continue
                # How much it can hold was said when it was made.
                files += found.f_files - found.f_ffree
            else:
                taken, number = _written_below(place, self._limits)
                size, files = size + taken, files + number
                size += _written_unseen(processes, place)
        return size > self._limits.disk_bytes or files > self._limits.files

    def _watched(self, pid: int) -> int | None:
        """Return what tells when a process ends, if it has not."""
        try:
            opened = os.pidfd_open(pid)
        except OSError:
            return None
        self._stack.callback(os.close, opened)
        return opened


def _lives(group: int) -> bool:
    return any(process.group == group and not process.has_ended for process in family(group))


def _written_below(place: Path, limits: TrialLimits) -> tuple[int, int]:
    """Return how many bytes of the disk there are below a directory, and how many files.

    What cannot be looked at is more than is allowed.
    """
    size = files = 0
    pending = [str(place)]
    while pending and files <= limits.files:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return size, limits.files + 1
    return size, files


def _written_unseen(processes: Sequence[Process], place: Path) -> int:
    """Return how many bytes files have that are open and have no name any more."""
    device = place.stat().st_dev
    found: dict[int, int] = {}
    for process in processes:
        with suppress(OSError):
            for opened in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):
                    known = opened.stat()
                    is_file = stat.S_ISREG(known.st_mode) and known.st_dev == device
                    if is_file and not known.st_nlink:
                        found[known.st_ino] = known.st_blocks * 512
    return sum(found.values())
