"""oras: what users see the artifacts of an image with."""

import json
from pathlib import Path
from typing import Any, Final

from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.program import run

PROGRAM: Final = GoProgram("oras", "oras.land/oras", "v1.3.6", ("cmd/oras",))


class Oras:
    """``oras`` with a home of its own."""

    def __init__(self, home: Path) -> None:
        """Build it if it is not there yet.

        Raises:
            EngineMissing: There is no Go, or the build failed.
        """
        self._oras = PROGRAM.directory() / "oras"
        self._home = home

    def discover(self, reference: str, *options: str) -> Any:
        """Return what ``oras discover`` finds, as it writes it in JSON."""
        return json.loads(self._run("discover", "--format=json", *options, reference))

    def pull(self, reference: str, directory: Path) -> None:
        """Write the files of an artifact to ``directory``."""
        self._run("pull", f"--output={directory}", reference)

    def _run(self, command: str, *arguments: str) -> str:
        argv = [str(self._oras), command, "--plain-http", *arguments]
        outcome = run(argv, env={"HOME": str(self._home)})
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout
