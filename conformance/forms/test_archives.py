"""Archives are unpacked anywhere, and run there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from builder.exports import ExportFormat
from conformance.clients.engines.program import Outcome, run
from conformance.forms.made import Made


@pytest.fixture(scope="module", params=["archive.tar.gz", "archive.tar.zst"])
def prefix(
    request: pytest.FixtureRequest, made: Made, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the archive unpacked and put in order by its own ``conda-unpack``."""
    form: ExportFormat = request.param
    directory = tmp_path_factory.mktemp("some where else") / "env"
    directory.mkdir()
    archive = made.files[form]
    if form.endswith(".zst"):  # for which tar needs a program that not every machine has
        packed, archive = archive, directory.with_name("env.tar")
        with packed.open("rb") as file, archive.open("wb") as plain:
            frames = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            shutil.copyfileobj(frames, plain)
    subprocess.run(["tar", "-xf", archive, "-C", directory], check=True, timeout=120)
    before = in_shell(directory, "python -c 'import numpy, flask'")
    assert before.returncode == 0, before.output
    outcome = in_shell(directory, "conda-unpack")
    assert outcome.returncode == 0, outcome.output
    return directory


def in_shell(prefix: Path, command: str) -> Outcome:
    """Run a command in a shell where the environment is active, with nothing else on PATH."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return run(["bash", "-c", f'. "{prefix}/bin/activate" && {command}'], env=env)


def test_python_imports_packages_of_conda_and_of_pypi(prefix: Path) -> None:
    """Shared libraries and modules are found where the archive was unpacked."""
    code = "import sys, ssl, sqlite3, numpy, pandas, flask; print(sys.prefix, numpy.__file__)"
    outcome = in_shell(prefix, f"python -c '{code}'")
    assert outcome.returncode == 0, outcome.output
    assert outcome.stdout.split()[-1].startswith(str(prefix)) or str(prefix) in outcome.stdout


def test_commands_of_packages_and_wheels_run(prefix: Path) -> None:
    """Entry points that the builder wrote."""
    assert "numpy" in in_shell(prefix, "f2py -v && numpy-config --cflags").output
    outcome = in_shell(prefix, "flask --version")
    assert outcome.returncode == 0, outcome.output
    assert "Flask" in outcome.stdout


def test_no_placeholder_is_left_where_it_matters(prefix: Path) -> None:
    """Only what conda-unpack looks for and what conda notes has the build prefix."""
    found = run(["grep", "-rlI", "placehold_placehold", prefix]).stdout.splitlines()
    places = {os.path.relpath(path, prefix).partition("/")[0] for path in found}
    names = {Path(path).name for path in found if "conda-meta" not in path}
    assert places <= {"bin", "conda-meta"}
    assert names <= {"conda-unpack"}


def test_nothing_is_compiled_again(prefix: Path) -> None:
    """The bytecode in the archive fits its modules after they were unpacked."""
    code = "import click, flask, sys; print(click.__spec__.cached)"
    outcome = in_shell(prefix, f"python -v -c '{code}'")
    assert outcome.returncode == 0, outcome.output
    assert "wrote" not in outcome.stderr
    site = f"{prefix}/lib/python3.11/site-packages"
    assert f"code object from '{site}/click/__init__.py'" not in outcome.stderr
