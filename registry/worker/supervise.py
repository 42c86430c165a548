"""One role or both at once, and the metrics of all their processes."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from registry.settings import Settings
from registry.tasks.kinds import Role

#: Where prometheus_client's processes leave their counts for one that answers for all.
_COUNTS: Final = "PROMETHEUS_MULTIPROC_DIR"


def supervise(settings: Settings, roles: Sequence[Role]) -> int:
    """Run roles until one ends or this process is told to; return the exit code.

    A role that ends by itself ends the other too: whoever runs this process starts it again.
    """
    with ExitStack() as stack:
        counts = stack.enter_context(tempfile.TemporaryDirectory(prefix="pullforge-counts-"))
        processes = [stack.enter_context(_role(role, counts)) for role in roles]

        def end(_signal: int, _frame: FrameType | None) -> None:
            for process in processes:
                process.terminate()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        if settings.worker_port:
            collected = CollectorRegistry()
            MultiProcessCollector(collected, path=counts)  # type: ignore[no-untyped-call] # as it is
            start_http_server(settings.worker_port, settings.host, collected)
        while all(process.poll() is None for process in processes):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        end(0, None)
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
