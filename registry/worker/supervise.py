"""One role or both at once, and the metrics of all their processes."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from registry.jobs.types import Role
from registry.settings import Settings

#: Where prometheus_client's processes leave their counts for one that answers for all.
_COUNTS: Final = "PROMETHEUS_MULTIPROC_DIR"
#: How long a role may take to end when the other has ended by itself, in seconds.
_END_SECONDS: Final = 20


def supervise(settings: Settings, roles: Sequence[Role]) -> int:
    """Run roles until one ends or this process is told to; return the exit code.

    They are in the order of :data:`registry.jobs.types.ROLES`. When told to end, builds that are
    under way end first, and for that layers are still made. A role that ends by itself ends the
    other too, before long: whoever runs this process starts it again.
    """
    is_told = False
    with ExitStack() as stack:
        counts = stack.enter_context(tempfile.TemporaryDirectory(prefix="pullforge-counts-"))
        processes = [stack.enter_context(_role(role, counts)) for role in roles]

        def end(_signal: int, _frame: FrameType | None) -> None:
            nonlocal is_told
            is_told = True
            processes[0].terminate()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        if settings.worker_port:
            collected = CollectorRegistry()
            MultiProcessCollector(collected, path=counts)  # type: ignore[no-untyped-call] # as it is
            start_http_server(settings.worker_port, settings.host, collected)
        while all(process.poll() is None for process in processes):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        # Builds without anybody who makes their layers might never end.
        has_time = is_told and processes[0].poll() is not None
        for process in processes:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(None if has_time else _END_SECONDS)
            process.kill()
        return max(abs(process.wait()) for process in processes)


@contextmanager
def _role(role: Role, counts: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a role in a process of its own, which is gone when the context ends."""
    # Its end of the pipe closes when this process ends, however it does: the role watches it.
    with subprocess.Popen(
        [sys.executable, "-m", "registry", "worker", "--role", role, "--supervised"],
        stdin=subprocess.PIPE,
        env={**os.environ, _COUNTS: counts},
    ) as process:
        try:
            yield process
        finally:
            process.kill()
