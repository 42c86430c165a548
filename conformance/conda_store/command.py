"""The command ``conda-store`` 2025.2.2 of PyPI, as people run it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.clients.engines.program import Outcome, run
from conformance.conda_store.homes import client_home


class CondaStoreCommand:
    """The command, of somebody with a token, with a password, or of nobody."""

    def __init__(self, url: str, home: Path, **variables: str) -> None:
        """Know where it asks.

        Args:
            url: Where conda-store is.
            home: Where it keeps what it unpacks.
            variables: What it is told beside, e.g. ``CONDA_STORE_TOKEN``.
        """
        home.mkdir(parents=True, exist_ok=True)
        self._variables: Mapping[str, str] = {
            "CONDA_STORE_URL": url,
            "TMPDIR": str(home),
            "HOME": str(home),
            "COLUMNS": "200",
            "CONDA_STORE_AUTH": "none",
            **variables,
        }

    @classmethod
    def with_token(cls, url: str, home: Path, token: str) -> "CondaStoreCommand":
        """Return the command of somebody with a token."""
        return cls(url, home, CONDA_STORE_AUTH="token", CONDA_STORE_TOKEN=token)

    @classmethod
    def with_password(cls, url: str, home: Path, name: str, password: str) -> "CondaStoreCommand":
        """Return the command of somebody who logs in each time."""
        given = {"CONDA_STORE_USERNAME": name, "CONDA_STORE_PASSWORD": password}
        return cls(url, home, CONDA_STORE_AUTH="basic", **given)

    @property
    def program(self) -> Path:
        """Where it is installed."""
        return client_home() / "bin" / "conda-store"

    @property
    def environment(self) -> Mapping[str, str]:
        """What it is told by variables; it is found by its name."""
        path = f"{self.program.parent}:/usr/bin:/bin"
        return {**self._variables, "PATH": path}

    def run(self, *arguments: str | Path, timeout_seconds: float = 300) -> Outcome:
        """Return how it ended."""
        argv: list[str | Path] = [self.program, *arguments]
        return run(argv, env=self.environment, timeout_seconds=timeout_seconds)

    def must(self, *arguments: str | Path, timeout_seconds: float = 300) -> str:
        """Return what it prints, where it must succeed."""
        outcome = self.run(*arguments, timeout_seconds=timeout_seconds)
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout

    def listed(self, *arguments: str) -> Any:
        """Return what a list is, as JSON."""
        return json.loads(self.must("list", *arguments, "--output", "json"))
