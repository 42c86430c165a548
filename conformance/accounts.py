"""Users and robots of a server, made as administrators make them."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from conformance.clients.server import ROOT

#: Every user's.
PASSWORD: Final = "correct horse battery staple"
#: Who may do everything.
ADMIN: Final = "admin"


class Accounts:
    """A server's auth file; the server reads changes within a second."""

    def __init__(self, path: Path) -> None:
        """Make the file, with one user who may do everything."""
        self.path = path
        self.add_user(ADMIN, "**:*")

    def add_user(self, name: str, *rights: str) -> None:
        """Add a user with :data:`PASSWORD`."""
        given = [f"--right={right}" for right in rights]
        self.pullforge("user", "add", name, *given, "--password-stdin")

    def add_robot(self, name: str, *rights: str) -> str:
        """Add a robot and return its token."""
        return self.pullforge("token", "create", name, *(f"--right={right}" for right in rights))

    def make_private(self, pattern: str) -> None:
        """Let only those pull who have a right to."""
        text = self.path.read_text(encoding="utf-8")
        assert "private = []" in text
        self.path.write_text(text.replace("private = []", f'private = ["{pattern}"]'), "utf-8")

    def pullforge(self, *arguments: str) -> str:
        """Run a command and return what it prints."""
        outcome = subprocess.run(
            [sys.executable, "-m", "registry", *arguments],
            input=PASSWORD,
            env={"PYTHONPATH": str(ROOT), "PULLFORGE_AUTH_FILE": str(self.path)},
            check=True,
            capture_output=True,
            text=True,
        )
        return outcome.stdout.strip()
