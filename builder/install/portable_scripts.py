"""What is sourced to activate an environment, and to take that back; what a program is run by.

conda-pack's own scripts end a shell after ``set -eu``, know nothing of an environment's variables,
and do not restore the path in zsh and fish. Those that an archive has here have the same names and,
for bash, zsh, ksh, dash and fish, do what ``conda activate`` does: variables first, then the
scripts of packages, which read variables that nobody set, with ``set +eu``.

A prefix that was linked has none: its tree is that of the image. Programs are run in it by a shell
that is given the same text (:func:`run_script`).
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Stands in a value for where the environment lies when it is activated; values have no control
#: characters otherwise.
PREFIX_MARK: Final = "\x01"
#: What is in its place is a function, so that scripts of packages see no arguments.
_RUN: Final = """\
_pullforge_prefix=$1
shift
_pullforge_activate() {
@activate@
}
_pullforge_activate || exit 1
unset -f _pullforge_activate
unset _pullforge_prefix
exec "$@"
"""
#: For a shell: activates the environment that its first argument names by the script that it has,
#: and becomes the program that the others are. What the program ends with, and the signals it gets,
#: are those of the shell's process.
RUN_ACTIVATED: Final = _RUN.replace("@activate@", '. "$_pullforge_prefix/bin/activate"')
_SOURCES: Final = Path(__file__).with_name("activation_scripts")


def activation_scripts(variables: Mapping[str, str]) -> dict[str, bytes]:
    """Return the scripts by path.

    Args:
        variables: Are set by them; the names are those of variables in every shell, and values may
            have :data:`PREFIX_MARK`.
    """
    restored = _restored(variables)
    in_fish = [
        f"_conda_pack_set {name} {_quote_in_fish(variables[name])}" for name in sorted(variables)
    ]
    lines = {
        "activate": {
            "@script@": _lines("activate.script"),
            "@env@": _lines("activate.env"),
            "@variables@": _set_in_sh(variables),
        },
        "deactivate": {"@variables@": restored},
        "activate.fish": {"@variables@": in_fish, "@variables_to_restore@": restored},
    }
    return {f"bin/{name}": _filled(name, replaced).encode() for name, replaced in lines.items()}


def run_script(variables: Mapping[str, str], left: Mapping[str, str] | None = None) -> str:
    """Return what :data:`RUN_ACTIVATED` is, for an environment that has no scripts of its own.

    Args:
        variables: Are set by it, as by :func:`activation_scripts`.
        left: The variables of an environment that was activated so, and is left; ``None``: there is
            none.
    """
    known = ["_conda_pack_env=$_pullforge_prefix"]
    marks = {"@script@": [], "@env@": known, "@variables@": _set_in_sh(variables)}
    text = _filled("activate", marks)
    if left is not None:
        text = _filled("deactivate", {"@variables@": _restored(left)}) + text
    return _RUN.replace("@activate@", text)


def _filled(name: str, replaced: Mapping[str, list[str]]) -> str:
    """Return a script in which each line that is a mark gives way to lines."""
    written: list[str] = []
    for line in _lines(name):
        mark = line.strip()
        written += [line.replace(mark, new) for new in replaced.get(mark, [mark])]
    return "\n".join([*written, ""])


def _lines(name: str) -> list[str]:
    return (_SOURCES / name).read_text(encoding="utf-8").splitlines()


def _set_in_sh(variables: Mapping[str, str]) -> list[str]:
    return [f"_conda_pack_set {name} {_quote_in_sh(variables[name])}" for name in sorted(variables)]


def _restored(variables: Mapping[str, str]) -> list[str]:
    """Return the lines that restore variables, for every shell."""
    return [f"_conda_pack_restore {name}" for name in sorted(variables, reverse=True)]


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
