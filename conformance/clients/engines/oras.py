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

    def pull(self, reference: str, directory: Path, *options: str) -> None:
        """Write the files of an artifact to ``directory``."""
        self._run("pull", f"--output={directory}", *options, reference)

    def log_in(self, host: str, name: str, password: str) -> None:
        """Run ``oras login``."""
        self._run("login", f"--username={name}", f"--password={password}", host)

    def push(self, reference: str, file: Path, *options: str) -> str:
        """Push a file as an artifact and return the manifest's digest."""
        return self._digest("push", *options, reference, file)

    def attach(self, subject: str, file: Path, artifact_type: str) -> str:
        """Attach a file to what is there already, and return the manifest's digest."""
        return self._digest("attach", f"--artifact-type={artifact_type}", subject, file)

    def copy(self, source: str, target: str) -> None:
        """Copy an artifact with everything that refers to it."""
        self._run("cp", "--recursive", "--to-plain-http", "--from-plain-http", source, target)

    def _digest(self, command: str, *arguments: str | Path) -> str:
        answer = json.loads(self._run(command, "--format=json", *arguments))
        digest: str = answer["digest"]
        return digest

    def _run(self, command: str, *arguments: str | Path) -> str:
        plain = () if command == "cp" else ("--plain-http",)
        # It refuses files by absolute paths: they would be written there by whoever pulls.
        unsafe = ("--disable-path-validation",) if command in {"push", "attach"} else ()
        argv = [self._oras, command, *plain, *unsafe, *arguments]
        outcome = run(argv, env={"HOME": str(self._home), "DOCKER_CONFIG": str(self._home)})
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout
