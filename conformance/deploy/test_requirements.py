"""``deploy/requirements.txt``, by which the image is the same whenever it is built."""

import os
import shutil
import sys
from pathlib import Path

from conformance.clients.engines.program import run
from conformance.clients.server import ROOT

REQUIREMENTS = ROOT / "deploy" / "requirements.txt"


def test_it_pins_what_the_project_depends_on(tmp_path: Path) -> None:
    """It is what its own first lines make of pyproject.toml; versions it has are kept."""
    copy = tmp_path / "requirements.txt"
    shutil.copy2(REQUIREMENTS, copy)
    command = next(
        line.removeprefix("#    uv ").split()
        for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()
        if line.startswith("#    uv ")
    )
    command[command.index("-o") + 1] = str(copy)
    command[command.index("pyproject.toml")] = str(ROOT / "pyproject.toml")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv is not None, "uv is in the test group"
    outcome = run([uv, *command, "--quiet"])
    assert outcome.returncode == 0, outcome.output
    assert _versions(copy) == _versions(REQUIREMENTS), "run the command in its first lines"


def _versions(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "==" in line]
