"""conda itself, as conda-lock brings it: there is none at PyPI by its own name since 2017."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import conda_lock

from conformance.prefixes.nobody import make_home, outcome

_BROUGHT: Final = Path(conda_lock.__file__).parent / "_vendor" / "conda"


class Conda:
    """conda 24.7 for somebody who may not write, with directories of environments."""

    def __init__(self, home: Path, *envs_dirs: Path) -> None:
        """Set it up.

        Args:
            home: The home of somebody else; is not there yet.
            envs_dirs: Where it looks for environments by name.
        """
        make_home(home)
        # By the name that it has for itself.
        (home / "conda").symlink_to(_BROUGHT)
        self._variables = {
            "HOME": str(home),
            "PYTHONPATH": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CONDA_ENVS_DIRS": ":".join(map(str, envs_dirs)),
            "CONDA_OFFLINE": "1",
            # Else it starts a process to look for one.
            "CONDA_OVERRIDE_CUDA": "",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Return how a command ended."""
        argv = (sys.executable, "-m", "conda", *arguments)
        return outcome(*argv, variables=self._variables, reads_all=True)

    def says(self, *arguments: str) -> str:
        """Return what a command prints that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def document(self, *arguments: str) -> Any:
        """Return what a command prints as JSON."""
        return json.loads(self.says(*arguments, "--json"))

    def activated(self, environment: str, program: str) -> Mapping[str, str]:
        """Return the variables named in ``program``'s output after ``conda activate``.

        Args:
            environment: A name or a path.
            program: For the shell; prints lines of ``NAME=value``.
        """
        script = self.says("shell.posix", "activate", environment)
        done = outcome("bash", "-c", f"{script}\n{program}")
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
