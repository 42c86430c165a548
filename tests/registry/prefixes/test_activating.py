import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.prefixes.activating import activated


def made(prefix: Path, *, has_python: bool) -> Path:
    for directory in ("bin", "conda-meta", "etc/conda/activate.d", "etc/conda/env_vars.d"):
        (prefix / directory).mkdir(parents=True)
    if has_python:
        (prefix / "bin/python").symlink_to(os.path.realpath(sys.executable))
    return prefix


@pytest.fixture(params=[True, False], ids=["python", "without"])
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    prefix = made(tmp_path / "builds" / "one two", has_python=request.param)
    (tmp_path / "link").symlink_to(prefix)
    return prefix


def variables(
    prefix: Path, link: Path | None = None, outer: dict[str, str] | None = None
) -> dict[str, str]:
    """What a program sees that is started by a link."""
    command = [*activated(prefix, link or prefix.parents[1] / "link"), "env", "-0"]
    environment = {"PATH": "/usr/bin:/bin", **(outer or {})}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(entry.split("=", 1) for entry in told.stdout.split("\0") if entry)


def test_variables_are_those_of_conda(prefix: Path) -> None:
    own = {"A": f"it's {prefix}/a {{prefix}} {{x}} $HOME\n", "B": "own"}
    (prefix / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": own}))
    (prefix / "etc/conda/env_vars.d/w.json").write_text('{"C": "first", "D-": "x"')
    (prefix / "etc/conda/env_vars.d/x.json").write_text('{"B": "package\'s", "C": "package\'s"}')
    (prefix / "etc/conda/env_vars.d/y.json").write_text('{"C": "bad", "D": 1}')
    (prefix / "etc/conda/env_vars.d/z.json").write_text("[]")
    seen = variables(prefix)
    assert (seen["A"], seen["B"], seen["C"]) == (own["A"], "own", "package's")
    assert seen["CONDA_PREFIX"] == str(prefix)
    assert seen["PATH"].split(":")[0] == f"{prefix}/bin"


def test_no_text_of_jupyters_is_in_the_command_that_it_would_replace(prefix: Path) -> None:
    own = {"A": "{prefix} {connection_file} {resource_dir}"}
    (prefix / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": own}))
    command = " ".join(activated(prefix, prefix))
    assert not [name for name in ("prefix", "connection_file") if f"{{{name}}}" in command]
    assert variables(prefix)["A"] == own["A"]


def test_scripts_of_packages_are_sourced_in_order_and_see_no_arguments(prefix: Path) -> None:
    scripts = prefix / "etc/conda/activate.d"
    (scripts / "a.sh").write_text('export SEEN="$#:$CONDA_PREFIX"\nset -- x\n')
    (scripts / "b.sh").write_text('export SEEN="$SEEN:b"\nfalse\n')
    assert variables(prefix)["SEEN"] == f"0:{prefix}:b"


def test_what_the_link_leads_to_when_it_is_run_counts_with_its_variables(tmp_path: Path) -> None:
    """Jupyter starts a kernel anew by the command that it was started with first."""
    old, new = (made(tmp_path / name, has_python=True) for name in ("old", "new"))
    for prefix in (old, new):
        state = json.dumps({"env_vars": {"A": f"ä {prefix.name}", prefix.name: "1"}})
        (prefix / "conda-meta/state").write_text(state)
    link = tmp_path / "link"
    link.symlink_to(old)
    command = activated(old, link)
    link.unlink()
    link.symlink_to(new)
    show = "echo $CONDA_PREFIX $A ${old-none} ${new-none}"
    told = subprocess.check_output([*command, "sh", "-c", show], text=True)
    assert told == f"{new} ä new none 1\n"


def test_the_environment_that_jupyter_runs_in_is_left(prefix: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "etc/conda/deactivate.d").mkdir(parents=True)
    (old / "etc/conda/deactivate.d/x.sh").write_text("unset OLD\n")
    outer = {
        "PATH": f"{old}/bin:/usr/bin:{old}/bin:{old}/bin:/bin:{old}/binary",
        "CONDA_PREFIX": str(old),
        "OLD": "1",
    }
    seen = variables(prefix, outer=outer)
    assert seen["PATH"] == f"{prefix}/bin:/usr/bin:/bin:{old}/binary"
    assert "OLD" not in seen
    assert seen["CONDA_PREFIX"] == str(prefix)


def test_an_environment_that_has_gone_is_one_sentence(prefix: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [*activated(prefix, tmp_path / "gone"), "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1
    assert told.stderr == (
        f"the environment {tmp_path}/gone is not there: it was removed, or its root is not mounted"
        " here\n"
    )


def test_a_signal_and_the_exit_code_are_the_programs(prefix: Path) -> None:
    told = subprocess.run([*activated(prefix, prefix), "sh", "-c", "kill -15 $$"], check=False)
    assert told.returncode == -15
    told = subprocess.run([*activated(prefix, prefix), "sh", "-c", "exit 7"], check=False)
    assert told.returncode == 7
