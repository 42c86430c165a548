"""Running a program in a prefix, activated as conda would: its ``Env`` is that of the image."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from builder.install.activation import ActivationFile, in_order, parse_variables
from builder.install.portable_scripts import run_script

#: Where packages say what they set.
_VARIABLES: Final = "etc/conda/env_vars.d"
#: Where conda keeps the variables of an environment.
_STATE: Final = "conda-meta/state"
#: conda marks with this what is not to be set.
_UNSET: Final = "***unset***"
#: What every linked prefix has.
_MARK: Final = "conda-meta/pullforge"
#: Is set in what was activated by a script of ours, and by nothing else.
_ACTIVATED: Final = "_CONDA_PACK_OLD_PS1"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_BYTES: Final = 1024 * 1024


def run_command(
    prefix: Path, command: Sequence[str], environ: Mapping[str, str], shell: str
) -> list[str]:
    """Return what becomes a program in a prefix: a shell that activates it first.

    Args:
        prefix: Of the environment, absolute; its files say that they are there.
        command: The program and its arguments.
        environ: The variables that there are. If a prefix is active there by what this returned for
            it, that is taken back.
        shell: A POSIX shell; what packages activate themselves with is written for bash.
    """
    active = Path(environ.get("CONDA_PREFIX", "")) if _ACTIVATED in environ else prefix
    # An archive has a script for that, which finds it.
    is_left = active != prefix and (active / _MARK).exists()
    script = run_script(variables_of(prefix), variables_of(active) if is_left else None)
    return [shell, "-c", script, "pullforge", str(prefix), *command]


def variables_of(prefix: Path) -> dict[str, str]:
    """Return the variables that activation sets before the scripts of packages are run."""
    files: dict[str, ActivationFile] = {}
    for path in sorted((prefix / _VARIABLES).glob("*.json")):
        found = parse_variables(_text(path))
        if found is not None:
            files[f"{_VARIABLES}/{path.name}"] = found
    return {**in_order(files).variables, **_state(prefix)}  # conda has the environment's win


def _state(prefix: Path) -> dict[str, str]:
    try:
        found = json.loads(_text(prefix / _STATE))["env_vars"].items()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        name: value
        for name, value in found
        if _NAME.fullmatch(name) and isinstance(value, str) and value != _UNSET
    }


def _text(path: Path) -> str:
    """Return the content of a file; nothing where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return ""
