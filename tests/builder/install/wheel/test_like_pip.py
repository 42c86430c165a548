"""What is in a layer of a wheel, compared with what pip installs from it."""

import csv
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from builder.bytecode.compiler import Compiler
from builder.layer import PythonTarget
from builder.sandbox.sandbox import Sandbox
from tests.builder.install.layers import Layer, assemble_wheels
from tests.tiny_wheels import EVERYTHING, TinyWheel, wheel_bytes

#: pip's entry points have other words for the same; each knows who installed, and pip knows that
#: this wheel was asked for, and from where. RECORD says all that.
DIFFERING = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")
SCRIPTS = ("bin/every", "bin/every-gui")
#: For any platform, so that the machine's own pip takes it.
WHEEL = TinyWheel(
    EVERYTHING.name,
    EVERYTHING.version,
    files=EVERYTHING.files,
    executable=EVERYTHING.executable,
    entry_points=EVERYTHING.entry_points,
)


@pytest.fixture(scope="module")
def by_pip(tmp_path_factory: pytest.TempPathFactory, host_python: PythonTarget) -> Path:
    """A prefix into which pip has installed the wheel."""
    directory = tmp_path_factory.mktemp("pip")
    wheel = directory / WHEEL.file_name
    wheel.write_bytes(wheel_bytes(WHEEL))
    prefix = directory / "prefix"
    # The Python itself and not the virtual environment's, which has another place for headers.
    python = Path(sys.base_prefix) / "bin" / f"python{host_python.short}"
    command = [
        str(python),
        "-m",
        "pip",
        "--isolated",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
    ]
    command += ["--ignore-installed", "--no-warn-script-location", "--root-user-action", "ignore"]
    subprocess.run(
        [*command, "--prefix", str(prefix), str(wheel)],
        check=True,
        env={"PYTHONPATH": sysconfig.get_path("purelib"), "PATH": "/usr/bin:/bin"},
        umask=0o022,
    )
    return prefix


@pytest.fixture(scope="module")
def layer(
    tmp_path_factory: pytest.TempPathFactory, python_prefix: Path, host_python: PythonTarget
) -> Layer:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    return assemble_wheels(tmp_path_factory.mktemp("layer"), WHEEL, compiler=compiler)


def _record(text: str) -> dict[str, tuple[str, str]]:
    rows = csv.reader(text.splitlines())
    return {path: (hashed, size) for path, hashed, size in rows if not path.endswith(DIFFERING)}


def test_the_same_files_are_installed_with_the_same_modes_and_content(
    by_pip: Path, layer: Layer
) -> None:
    installed = {
        str(path.relative_to(by_pip)): path for path in by_pip.rglob("*") if path.is_file()
    }
    ours = set(layer.below_prefix())
    # pip compiles whatever ends in .py, also what nobody imports.
    theirs = {path for path in installed if not path.startswith("etc/__pycache__")}
    assert {p for p in ours if not p.endswith(DIFFERING)} == {
        p for p in theirs if not p.endswith(DIFFERING)
    }
    for path in theirs & ours:
        mode = stat.S_IMODE(installed[path].stat().st_mode)
        assert layer.members[f"opt/conda/{path}"].mode == mode, path
        if path.endswith((*DIFFERING, ".pyc", *SCRIPTS)):
            continue
        content = installed[path].read_bytes()
        head = content.partition(b"\n")[0]
        if head.startswith(b"#!") and b"python" in head:
            content = content.replace(head, b"#!/opt/conda/bin/python3.11", 1)
        assert layer.content[f"opt/conda/{path}"] == content, path


def test_record_says_the_same(by_pip: Path, layer: Layer, host_python: PythonTarget) -> None:
    info = f"{host_python.site_packages}/Every_Thing-1.2.dist-info/RECORD"
    theirs = _record((by_pip / info).read_text())
    ours = _record(layer.text(info))
    changed = {"../../../bin/say", *(f"../../../{script}" for script in SCRIPTS)}
    assert ours.keys() == {path for path in theirs if "etc/__pycache__" not in path}
    assert {path: ours[path] for path in ours.keys() - changed} == {
        path: theirs[path] for path in ours.keys() - changed
    }
