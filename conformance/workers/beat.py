"""``pullforge beat`` as operators have it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from conformance.clients.engines.program import Daemon
from conformance.clients.server import settings_environment


class Beat:
    """Orders chores in their time; a context manager."""

    def __init__(self, home: Path, settings: Mapping[str, object]) -> None:
        """Prepare it; ``settings`` are those of the server, with the broker."""
        self._daemon = Daemon(
            [sys.executable, "-m", "registry", "beat"],
            home / "beat.log",
            settings_environment(settings),
        )

    def __enter__(self) -> Self:
        """Start it."""
        self._daemon.start(lambda: True)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._daemon.stop()

    def log_end(self) -> str:
        """Return the end of what it logged."""
        return self._daemon.log_end()
