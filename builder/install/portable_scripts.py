"""What is sourced to activate an archive's environment, and to take that back.

conda-pack's own scripts end a shell after ``set -eu``, know nothing of an environment's variables,
and do not restore the path in zsh and fish. These have the same names and, for bash, zsh, ksh, dash
and fish, do what ``conda activate`` does: variables first, then the scripts of packages, which
read variables that nobody set, with ``set +eu``.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Stands in a value for where the environment lies when it is activated; values have no control
#: characters otherwise.
PREFIX_MARK: Final = "\x01"
_SOURCES: Final = Path(__file__).with_name("activation_scripts")


def activation_scripts(variables: Mapping[str, str]) -> dict[str, bytes]:
    """Return the scripts by path.

    Args:
        variables: Are set by them; the names are those of variables in every shell, and values may
            have :data:`PREFIX_MARK`.
    """
    names = sorted(variables)
    restored = [f"_conda_pack_restore {name}" for name in reversed(names)]
    in_sh = [f"_conda_pack_set {name} {_quote_in_sh(variables[name])}" for name in names]
    in_fish = [f"_conda_pack_set {name} {_quote_in_fish(variables[name])}" for name in names]
    lines = {
        "activate": {"@variables@": in_sh},
        "deactivate": {"@variables@": restored},
        "activate.fish": {"@variables@": in_fish, "@variables_to_restore@": restored},
    }
    return {f"bin/{name}": _filled(name, replaced) for name, replaced in lines.items()}


def _filled(name: str, replaced: Mapping[str, list[str]]) -> bytes:
    """Return a script in which each line that is a mark gives way to lines."""
    written: list[str] = []
    for line in (_SOURCES / name).read_text(encoding="utf-8").splitlines():
        mark = line.strip()
        written += [line.replace(mark, new) for new in replaced.get(mark, [mark])]
    return "\n".join([*written, ""]).encode()


def _quote_in_sh(value: str) -> str:
    return '"$_conda_pack_env"'.join(map(shlex.quote, value.split(PREFIX_MARK)))


def _quote_in_fish(value: str) -> str:
    r"""Quote for fish, where a backslash means itself but before ``'`` and ``\``.

    >>> print(_quote_in_fish("it's"))
    'it\'s'
    """
    quoted = (
        "'" + part.replace("\\", "\\\\").replace("'", "\\'") + "'"
        for part in value.split(PREFIX_MARK)
    )
    return '"$env"'.join(quoted)
