"""Another machine: somebody's home there, a directory, and ``pullforge`` commands."""

import copy
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conformance.accounts import PASSWORD
from conformance.clients.engines.program import Daemon
from conformance.clients.server import ROOT, Server, command, run_checked

_COMMAND_SECONDS: Final = 60


class Machine:
    """Where somebody runs commands who is logged in to a server, or is not."""

    def __init__(self, home: Path, server: Server, user: str | None = None) -> None:
        """Make the home; ``None``: nobody logs in."""
        self.home = home
        self.files = home
        home.mkdir()
        if user is not None:
            self.run("login", server.host, "--user", user, "--password-stdin", given=PASSWORD)

    def with_files(self, name: str) -> "Machine":
        """Return it with a directory of files that is new."""
        other = copy.copy(self)
        other.files = self.home / name
        other.files.mkdir(parents=True)
        return other

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process."""
        home = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config")}
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **home}

    def path(self, name: str) -> Path:
        """Return the file of an environment; its folder is there then."""
        path = self.files / name / "environment.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def run(
        self, *arguments: str, code: int = 0, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that ends with ``code`` and without a traceback."""
        return run_checked(command(*arguments), self.environment, _COMMAND_SECONDS, code, given)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Daemon]:
        """Run a command that does not end by itself, and stop it as ``systemctl stop`` does."""
        # Whoever runs tests in the background has signals of the keyboard ignored.
        heeding = ["env", "--default-signal=INT", *command(*arguments)]
        daemon = Daemon(heeding, self.log, self.environment)
        daemon.start(lambda: self.log.stat().st_size > 0)
        try:
            yield daemon
        finally:
            daemon.stop()

    @property
    def log(self) -> Path:
        """Where :meth:`running` has what the command writes."""
        return self.files.with_suffix(".log")
