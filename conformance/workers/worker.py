"""The worker as operators have it: ``python -m registry worker`` with the server's settings."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from conformance.clients.engines.program import Daemon
from conformance.clients.server import settings_environment
from conformance.ports import free_port


class Worker:
    """A worker with a scratch directory of its own; a context manager."""

    def __init__(
        self, home: Path, settings: Mapping[str, object], *, processor: int | None = None
    ) -> None:
        """Prepare a worker.

        Args:
            home: A directory of its own; need not exist.
            settings: Those of the server, with the broker.
            processor: The only one it may use; ``None``: all.
        """
        self._port = free_port()
        self.home = home
        own = {**settings, "scratch": home / "scratch", "worker_port": self._port}
        held = [] if processor is None else ["taskset", "--cpu-list", str(processor)]
        self._daemon = Daemon(
            [*held, sys.executable, "-m", "registry", "worker"],
            home / "worker.log",
            settings_environment(own),
        )

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it; what it was doing ends first."""
        self._daemon.stop()

    def start(self) -> None:
        """Start it (again)."""
        self._daemon.start(self._answers)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._daemon.stop()

    def kill(self) -> None:
        """Kill its supervisor without a warning; its processes have to end by themselves."""
        self._daemon.kill_alone()

    @property
    def runs(self) -> bool:
        """Whether its supervisor has not ended."""
        return self._daemon.runs

    @property
    def pid(self) -> int:
        """The number of its supervisor."""
        return self._daemon.pid

    def metric(self, name: str, **labels: str) -> float:
        """Return a counter's value, summed over its processes and all labels but those given."""
        text = httpx.get(f"http://127.0.0.1:{self._port}/metrics", timeout=15).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def log_end(self) -> str:
        """Return the end of what it logged."""
        return self._daemon.log_end()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/metrics", timeout=5).is_success
        except httpx.TransportError:
            return False
