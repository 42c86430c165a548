"""regctl: a registry client that shows what a registry offers beyond images."""

import json
from pathlib import Path
from typing import Any, Final

from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.program import run

PROGRAM: Final = GoProgram("regctl", "github.com/regclient/regclient", "v0.11.1", ("cmd/regctl",))


class Regctl:
    """``regctl`` with a home of its own."""

    def __init__(self, home: Path) -> None:
        """Build it if it is not there yet.

        Raises:
            EngineMissing: There is no Go, or the build failed.
        """
        self._regctl = PROGRAM.directory() / "regctl"
        self._home = home

    def log_in(self, host: str, name: str, password: str) -> None:
        """Say that a registry speaks plain HTTP, and who we are."""
        entry = {"hostname": host, "tls": "disabled", "user": name, "pass": password}
        config = self._home / ".regctl" / "config.json"
        config.parent.mkdir(exist_ok=True)
        config.write_text(json.dumps({"hosts": {host: entry}}), encoding="utf-8")

    def copy(self, source: str, target: str) -> None:
        """Copy an image with what refers to it and its digest tags."""
        self("image", "copy", "--referrers", "--digest-tags", source, target)

    def manifest(self, reference: str) -> Any:
        """Return a manifest or index."""
        return json.loads(self("manifest", "get", "--format=raw-body", reference))

    def __call__(self, *arguments: str) -> str:
        """Run a command and return what it prints."""
        outcome = run([self._regctl, *arguments], env={"HOME": str(self._home)})
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout
