"""How an archive is activated, in the shells that this machine has."""

import shutil
import subprocess
from pathlib import Path

import pytest

from builder.install.portable_scripts import activation_scripts
from conformance.missing import skip_unless_ci

SHELLS = ("bash", "bash --posix", "zsh", "zsh --emulate sh", "dash", "ksh", "mksh", "busybox sh")
#: zsh of Debian replaces the default of other shells.
PATH = "/usr/bin:/bin"
#: What they source is known from the kernel, which has followed symlinks.
TELL_NOTHING = ("dash", "mksh", "busybox sh")
#: Quotes, what shells act upon, and one that the user has set otherwise.
VARIABLES = {"GREETING": 'it\'s "x" $HOME \\ `y`', "OTHER": "2", "TWO": "one\n\ttwo"}
#: As the feedstock of gdal writes it; without ``set -u`` in mind, and with a command that fails.
ACTIVATE = """\
if [ -n "$GDAL_DATA" ]; then
    export _CONDA_SET_GDAL_DATA=$GDAL_DATA
fi
false
export GDAL_DATA=$CONDA_PREFIX/share/gdal
"""
DEACTIVATE = """\
unset GDAL_DATA
if [ -n "$_CONDA_SET_GDAL_DATA" ]; then
    export GDAL_DATA=$_CONDA_SET_GDAL_DATA
    unset _CONDA_SET_GDAL_DATA
fi
"""
SCENARIO = """\
set -eu
flags=$-
OTHER=mine
export OTHER
cd /
. "$1/bin/activate"
[ "$flags" = "$-" ]
echo "$CONDA_PREFIX|$GREETING|$OTHER|${GDAL_DATA-}|$PATH"
. "$1/bin/activate"
. "$1/bin/deactivate"
. "$1/bin/deactivate"
[ "$flags" = "$-" ]
echo "${CONDA_PREFIX-none}|${GREETING-none}|$OTHER|${GDAL_DATA-none}|$PATH"
set | grep '^_*conda_pack' || echo tidy
"""
FISH = """\
set -gx OTHER mine
cd /
source $argv[1]/bin/activate.fish
echo "$CONDA_PREFIX|$GREETING|$OTHER|$PATH|"(pwd)
source $argv[1]/bin/activate.fish
deactivate
set -q GREETING; or set GREETING none
set -q CONDA_PREFIX; or set CONDA_PREFIX none
echo "$CONDA_PREFIX|$GREETING|$OTHER|$PATH|"(pwd)
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment that has only scripts, below a symlink, in a directory with a space."""
    (tmp_path / "real").mkdir()
    (tmp_path / "some where").symlink_to("real")
    prefix = tmp_path / "some where" / "an env"
    for path, content in activation_scripts(VARIABLES).items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_bytes(content)
    return prefix


def ran(shell: str, scenario: str, prefix: Path, **env: str) -> list[str]:
    """Return the lines that a shell says, which has nothing in its environment."""
    program, *options = shell.split()
    if shutil.which(program) is None:
        skip_unless_ci(f"there is no {program}")
    script = prefix.parent / "scenario"
    script.write_text(scenario)
    command = [program, *options, str(script), str(prefix)]
    outcome = subprocess.run(
        command,
        env={"PATH": PATH, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return outcome.stdout.splitlines()


def add_scripts(prefix: Path) -> None:
    for name, content in {"activate": ACTIVATE, "deactivate": DEACTIVATE}.items():
        directory = prefix / f"etc/conda/{name}.d"
        directory.mkdir(parents=True)
        (directory / f"gdal {name}.sh").write_text(content)


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_sourced_where_every_fault_ends_the_shell(shell: str, prefix: Path) -> None:
    add_scripts(prefix)
    lines = ran(shell, SCENARIO, prefix)
    if shell in TELL_NOTHING:
        prefix = prefix.resolve()
    assert lines == [
        f"{prefix}|{VARIABLES['GREETING']}|2|{prefix}/share/gdal|{prefix}/bin:{PATH}",
        f"none|none|mine|none|{PATH}",
        "tidy",
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_an_environment_need_have_no_scripts_of_packages(shell: str, prefix: Path) -> None:
    for name in ("activate.d", "deactivate.d"):
        (prefix / "etc/conda" / name).mkdir(parents=True)
        (prefix / "etc/conda" / name / "only.fish").touch()
    assert ran(shell, SCENARIO, prefix)[-1] == "tidy"


def test_fish_sets_and_restores(prefix: Path) -> None:
    assert ran("fish", FISH, prefix, HOME=str(prefix.parent)) == [
        f"{prefix}|{VARIABLES['GREETING']}|2|{prefix}/bin:{PATH}|/",
        f"none|none|mine|{PATH}|/",
    ]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("directory", "script"), [(".", "bin/activate"), ("bin", "./activate")])
def test_the_script_is_found_from_where_the_user_is(
    shell: str, directory: str, script: str, prefix: Path
) -> None:
    scenario = f'cd "$1/{directory}"\n. {script}\necho "$CONDA_PREFIX"\n'
    [said] = ran(shell, scenario, prefix, CDPATH="/usr:/")
    assert said == str(prefix.resolve() if shell in TELL_NOTHING else prefix)


@pytest.mark.parametrize("shell", [*SHELLS, "fish"])
def test_a_value_may_have_lines(shell: str, prefix: Path) -> None:
    script = "activate.fish" if shell == "fish" else "activate"
    argument = "$argv[1]" if shell == "fish" else "$1"
    scenario = f'. "{argument}/bin/{script}"\nprintf "%s\\n" "$TWO"\n'
    assert ran(shell, scenario, prefix, HOME=str(prefix.parent)) == ["one", "\ttwo"]


def test_a_subshell_is_activated_alone(prefix: Path) -> None:
    scenario = '(. "$1/bin/activate"; echo "$GREETING")\necho "${GREETING-none}"\n'
    for shell in ("bash", "dash"):
        assert ran(shell, scenario, prefix) == [VARIABLES["GREETING"], "none"]


def test_what_conda_has_active_is_active_again_afterwards(prefix: Path) -> None:
    scenario = '. "$1/bin/activate"\n. "$1/bin/deactivate"\necho "$CONDA_PREFIX|$PS1"\n'
    assert ran("bash", scenario, prefix, CONDA_PREFIX="/opt/conda") == ["/opt/conda|"]


def test_another_archive_takes_the_place_of_the_active_one(prefix: Path) -> None:
    other = prefix.with_name("other")
    shutil.copytree(prefix, other)
    scenario = f'. "$1/bin/activate"\n. "{other}/bin/activate"\necho "$CONDA_PREFIX|$PATH|$PS1"\n'
    scenario = f"PS1='$ '\n{scenario}. deactivate\necho \"$PATH|$PS1\"\n"
    assert ran("bash", scenario, prefix) == [
        f"{other}|{other}/bin:{PATH}|(other) $ ",
        f"{PATH}|$ ",
    ]
