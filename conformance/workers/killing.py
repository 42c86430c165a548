"""Killing workers, their processes and brokers at random moments, and starting them again."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from conformance.clients.engines.program import DidNotStart
from conformance.workers.worker import Worker

#: What is killed of a worker: all of it but what must end by itself, one of its two roles, or one
#: process that assembles layers.
TARGETS: Final = ("supervisor", "role", "layers")
#: How often something is looked for that can be killed, and how long in between.
_TRIES: Final = 300
_TRY_SECONDS: Final = 0.1
#: How long processes of a supervisor that was killed may take to end.
_END_SECONDS: Final = 30


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have, parents first."""
    found = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


class Killer:
    """Kills at random moments until it is told to end; a context manager.

    A worker that has ended is started again, as whatever runs it for its operator would do.
    """

    def __init__(self, workers: list[Worker], moments: random.Random) -> None:
        """Prepare it.

        Args:
            workers: Whom it kills.
            moments: Decides.
        """
        self._workers = workers
        self._moments = moments
        self._done = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        #: How often what was killed.
        self.killed: Counter[str] = Counter()
        #: Processes that had not ended long after their supervisor.
        self.stayed: list[int] = []

    def __enter__(self) -> Self:
        """Begin to watch the workers."""
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let all workers run."""
        self._done.set()
        self._watching.join()
        self._start_again()
        assert all(worker.runs for worker in self._workers)

    def kill_worker(self) -> None:
        """Kill something of one worker, as soon as there is something."""
        target = self._moments.choice(TARGETS)
        for _ in range(_TRIES):
            if self._kill(target, self._moments.choice(self._workers)):
                self.killed[target] += 1
                return
            time.sleep(_TRY_SECONDS)
        raise AssertionError(f"nothing was there to kill: {target}")

    def _kill(self, target: str, worker: Worker) -> bool:
        if not worker.runs:
            return False
        processes = descendants(worker.pid)
        roles = [pid for pid in processes if _parent(pid) == worker.pid]
        layers = [pid for role in roles for pid in descendants(role) if _forked(pid, role)]
        if target == "supervisor":
            worker.kill()
            self.stayed += _left(processes)
        elif pids := (roles if target == "role" else layers):
            with suppress(ProcessLookupError):
                os.kill(self._moments.choice(pids), signal.SIGKILL)
        else:
            return False
        return True

    def kill_broker(self, name: str, kill: Callable[[], None], start: Callable[[], None]) -> None:
        """Kill a broker, and start it again a moment later."""
        kill()
        time.sleep(self._moments.uniform(0, 2))
        start()
        self.killed[name] += 1

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self._start_again()

    def _start_again(self) -> None:
        for worker in self._workers:
            if not worker.runs:
                with suppress(DidNotStart):  # killed at its start: once more
                    worker.start()


def _left(pids: list[int]) -> list[int]:
    """Return those processes that do not end in time."""
    deadline = time.monotonic() + _END_SECONDS
    while any(_is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in pids if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return _status(pid)[0] not in "ZX"
    return False


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(_status(pid)[1])
    return 0


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _forked(pid: int, role: int) -> bool:
    """Tell whether a process runs the very program of its role, as those for layers do."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return command == Path(f"/proc/{role}/cmdline").read_bytes()
    return False
