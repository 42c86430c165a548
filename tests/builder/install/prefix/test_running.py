"""Programs that are run in linked prefixes, by the shells that this machine has."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.install.prefix.running import run_command, variables_of
from conformance.missing import skip_unless_ci

PATH = "/usr/bin:/bin"
#: As the feedstock of gdal writes it; without ``set -u`` in mind, and with a command that fails.
ACTIVATE = """\
if [ -n "$GDAL_DATA" ]; then
    export _CONDA_SET_GDAL_DATA=$GDAL_DATA
fi
false
export GDAL_DATA=$CONDA_PREFIX/share/gdal/$#
"""
DEACTIVATE = """\
unset GDAL_DATA
if [ -n "$_CONDA_SET_GDAL_DATA" ]; then
    export GDAL_DATA=$_CONDA_SET_GDAL_DATA
    unset _CONDA_SET_GDAL_DATA
fi
"""


def make(prefix: Path, state: object = None, **files: str) -> Path:
    """Return a prefix with its mark, variables of the environment, and files of packages."""
    if state is not None:
        files["conda-meta/state"] = json.dumps(state)
    for path, text in {"conda-meta/pullforge": "{}", "bin/tool": "#!/bin/sh\n", **files}.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(text)
    return prefix


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment in a directory with a space, with variables and scripts."""
    return make(
        tmp_path / "an env",
        {"version": 1, "env_vars": {"GREETING": 'it\'s "x" $HOME \\ `y`', "BOTH": "of the lock"}},
        **{
            "etc/conda/env_vars.d/a.json": '{"BOTH": "of a package", "ONE": "1"}',
            "etc/conda/activate.d/gdal activate.sh": ACTIVATE,
            "etc/conda/deactivate.d/gdal deactivate.sh": DEACTIVATE,
        },
    )


def ran(
    prefix: Path, *command: str, shell: str = "bash", environ: Mapping[str, str] | None = None
) -> str:
    """Return what a program says that is run in a prefix."""
    found = shutil.which(shell)
    if found is None:
        skip_unless_ci(f"there is no {shell}")
        raise AssertionError
    environ = {"PATH": PATH, **(environ or {})}
    done = subprocess.run(
        run_command(prefix, command, environ, found),
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def environment(text: str) -> dict[str, str]:
    found = dict(line.split("=", 1) for line in text.split("\0") if line)
    for name in ("_", "PWD", "SHLVL", "OLDPWD"):
        found.pop(name, None)
    # dash has a prompt by itself.
    return {**found, "_CONDA_PACK_OLD_PS1": ""}


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_program_has_what_packages_and_the_lock_set(shell: str, prefix: Path) -> None:
    given = {"HOME": "/home/ada", "ONE": "mine"}
    assert environment(ran(prefix, "env", "-0", shell=shell, environ=given)) == {
        "HOME": "/home/ada",
        "PATH": f"{prefix}/bin:{PATH}",
        "CONDA_PREFIX": str(prefix),
        "GREETING": 'it\'s "x" $HOME \\ `y`',
        "BOTH": "of the lock",
        "ONE": "1",
        "GDAL_DATA": f"{prefix}/share/gdal/0",
        "_CONDA_PACK_OLD_ONE": "mine",
        "_CONDA_PACK_OLD_PS1": "",
    }


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_an_environment_that_a_program_leaves_for_another_leaves_nothing(
    shell: str, prefix: Path
) -> None:
    given = {"ONE": "mine", "GDAL_DATA": "mine"}
    outer = {"PATH": PATH, **environment(ran(prefix, "env", "-0", shell=shell, environ=given))}
    assert outer["GDAL_DATA"] != "mine"
    other = make(prefix.with_name("other"), {"env_vars": {"OTHER": "2"}})
    # ``conda`` as a package has such a script, which is not meant.
    (prefix / "bin/deactivate").write_text("exit 3\n")
    assert environment(ran(other, "env", "-0", shell=shell, environ=outer)) == {
        "PATH": f"{other}/bin:{PATH}",
        "CONDA_PREFIX": str(other),
        "OTHER": "2",
        "ONE": "mine",
        "GDAL_DATA": "mine",
        "_CONDA_PACK_OLD_PS1": "",
    }


def test_what_is_active_already_is_not_activated_again(prefix: Path) -> None:
    outer = environment(ran(prefix, "env", "-0"))
    assert environment(ran(prefix, "env", "-0", environ=outer)) == outer


def test_what_conda_has_active_stays_below(prefix: Path) -> None:
    given = {"CONDA_PREFIX": "/opt/conda", "PATH": f"/opt/conda/bin:{PATH}"}
    found = environment(ran(prefix, "env", "-0", environ=given))
    assert found["PATH"] == f"{prefix}/bin:/opt/conda/bin:{PATH}"
    assert found["_CONDA_PACK_OLD_CONDA_PREFIX"] == "/opt/conda"


def test_an_archive_that_is_active_is_left_by_its_own_script(prefix: Path) -> None:
    archive = prefix.with_name("archive")
    (archive / "bin").mkdir(parents=True)
    (archive / "bin/deactivate").write_text("unset OF_THE_ARCHIVE _CONDA_PACK_OLD_PS1\n")
    given = {"CONDA_PREFIX": str(archive), "_CONDA_PACK_OLD_PS1": "", "OF_THE_ARCHIVE": "1"}
    found = environment(ran(prefix, "env", "-0", environ=given))
    assert "OF_THE_ARCHIVE" not in found
    assert found["CONDA_PREFIX"] == str(prefix)


def test_arguments_are_the_programs(prefix: Path) -> None:
    arguments = ["a b", "*", "", "-c", "$HOME"]
    assert ran(prefix, "printf", "%s|", *arguments) == "a b|*||-c|$HOME|"


@pytest.mark.parametrize(
    "state",
    [
        "no JSON",
        "[]",
        '{"env_vars": 1}',
        '{"env_vars": {"A": 1, "a b; ls": "x", "C": "***unset***"}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_state_or_no_variable_sets_nothing(state: str, tmp_path: Path) -> None:
    prefix = make(tmp_path, **{"conda-meta/state": state, "etc/conda/env_vars.d/b.json": "["})
    os.mkfifo(prefix / "etc/conda/env_vars.d/fifo.txt")
    assert variables_of(prefix) == {}


def test_variables_are_bounded_as_those_of_an_image(tmp_path: Path) -> None:
    many = {f"etc/conda/env_vars.d/{n:03}.json": f'{{"V{n}": "x"}}' for n in range(300)}
    many["etc/conda/env_vars.d/large.json"] = json.dumps({"LARGE": "x" * 70_000})
    found = variables_of(make(tmp_path, **many))
    assert "LARGE" not in found
    assert len(found) == 256
