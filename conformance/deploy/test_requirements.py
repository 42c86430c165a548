"""``deploy/*requirements.txt``, by which the image is the same whenever it is built."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from conformance.clients.engines.program import run
from conformance.clients.server import ROOT
from conformance.deploy.audit import BUILD_REQUIREMENTS, REQUIREMENTS, pinned

FILES = [REQUIREMENTS, BUILD_REQUIREMENTS]

of_each_file = pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.name))


@of_each_file
def test_it_pins_what_the_project_depends_on(file: Path, tmp_path: Path) -> None:
    """It is what its own first lines make of pyproject.toml; versions it has are kept."""
    copy = tmp_path / "requirements.txt"
    shutil.copy2(file, copy)
    command = next(
        line.removeprefix("#    uv ").replace("pyproject.toml", str(ROOT / "pyproject.toml"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("#    uv ")
    ).split()
    command[command.index("-o") + 1] = str(copy)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv is not None, "uv is in the test group"
    outcome = run([uv, *command, "--quiet"])
    assert outcome.returncode == 0, outcome.output
    assert _versions(copy) == _versions(file), "run the command in its first lines"


@of_each_file
def test_every_pin_has_its_hashes(file: Path) -> None:
    """No other file of that version is installed."""
    text = file.read_text(encoding="utf-8")
    pins = re.findall(r"^[^\s#].*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(pins) == len(pinned(file)) > 5, "the audit takes one version of each"
    for pin in pins:
        assert re.match(r"[\w.-]+==\S+ ", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), pin


def test_the_image_installs_nothing_else() -> None:
    """Neither the server nor what builds its wheel comes from an index without a hash."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    commands = [
        command
        for line in text.splitlines()
        if line.startswith("RUN ")
        for command in line.removeprefix("RUN ").split("&&")
        if re.search(r"pip\b.* (install|wheel|download) ", command)
    ]
    assert len(commands) == 4
    for command in commands:
        bounded = ("--require-hashes", "--no-build-isolation", "--no-index")
        assert any(option in command for option in bounded), command


def _versions(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "==" in line]
