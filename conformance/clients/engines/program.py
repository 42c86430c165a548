"""Programs that are run to their end, or started and stopped again."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: How long a program that was asked to end may take before it is killed.
STOP_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        """Everything it printed, to either stream."""
        return self.stdout + self.stderr


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 120,
) -> Outcome:
    """Run a program and return how it ended, with return code 124 if it took too long.

    Args:
        argv: The program and its arguments.
        env: What is set besides the environment of this process.
        timeout_seconds: When the program and its children are killed.
    """
    start = time.monotonic()
    with subprocess.Popen(
        [str(a) for a in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_seconds)
            returncode = process.returncode
        except subprocess.TimeoutExpired:
            kill_session(process.pid)
            stdout, stderr = process.communicate()
            stderr += f"\nkilled after {timeout_seconds} s"
            returncode = 124
        except BaseException:
            kill_session(process.pid)
            raise
    return Outcome(returncode, stdout, stderr, time.monotonic() - start)


def kill_session(pid: int) -> None:
    """Kill a process that was started as leader of a session, with its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class DidNotStart(AssertionError):
    """A daemon ended, or was not ready in time; the message has the end of its log."""


class Daemon:
    """A program that runs until it is stopped, with its output in a log file."""

    def __init__(self, argv: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> None:
        self.argv = [str(a) for a in argv]
        self.log = log
        self.env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool], timeout_seconds: float = 60) -> None:
        """Start it and return when ``ready()`` holds.

        Raises:
            DidNotStart: It ended, or ``ready()`` did not hold in time.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise DidNotStart(f"{self.argv[0]} did not start:\n{self.log_end()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end and wait; kill it when it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            kill_session(self._process.pid)
            self._process.wait()
        self._process = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's number while it runs."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def kill_alone(self) -> None:
        """Kill the program itself, as the system does when memory runs out.

        What it started has to end by itself.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def kill_session(self) -> None:
        """Kill the program and what it started."""
        if self._process is not None:
            kill_session(self._process.pid)
            self._process.wait()

    def log_end(self, size_bytes: int = 6000) -> str:
        """Return the end of what it printed."""
        return self.log.read_bytes()[-size_bytes:].decode(errors="replace")
