"""Starts a program in what a link leads to, as ``conda activate`` would have it, without conda.

The command is written down now and run at any time, as a kernel's is. Jupyter keeps it, too: who
starts a kernel anew gets what was written when it was started first. So nothing of a version is in
it: the command finds out where the link leads, and the environment's own Python reads its variables
there. The program goes on in that version when the link is switched.

Where it is run in another environment, as Jupyter may be, that one is left first.
"""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Final

from builder.install.portable_scripts import run_script
from builder.install.prefix.running import variables_of

#: Scripts of packages are written for bash; the machine on which it is run may have none.
_CHOOSE: Final = 'exec "$(command -v bash || command -v sh)" -c "$@"'
#: Prints a shell's commands that set what :func:`variables_of` returns. Any Python may run it.
_READ: Final = r"""
import glob, io, json, re, sys
found = {}
def add(path, choose):
    try:
        with io.open(path, encoding="utf-8", errors="replace") as file:
            entries = choose(json.load(file)).items()
        text = type(u"")
        if all(isinstance(value, text) for _, value in entries):
            found.update(entries)
    except Exception:
        pass
for path in sorted(glob.glob(sys.argv[1] + "/etc/conda/env_vars.d/*.json")):
    add(path, lambda read: read)
add(sys.argv[1] + "/conda-meta/state", lambda read: read["env_vars"])
out = getattr(sys.stdout, "buffer", sys.stdout)
for name, value in sorted(found.items()):
    if re.match("[A-Za-z_][A-Za-z0-9_]*$", name) and value.lower() != "***unset***":
        if u"\0" not in value:
            quoted = value.replace(u"'", u"'\"'\"'")
            out.write((u"export %s='%s'\n" % (name, quoted)).encode("utf-8", "replace"))
"""
#: Its arguments are the link, the program and what that is given.
_BEGINNING: Final = """\
if ! _pullforge_prefix=$(CDPATH= cd -P -- "$1" 2> /dev/null && pwd -P); then
    echo "the environment $1 is not there: it was removed, or its root is not mounted here" >&2
    exit 1
fi
shift
set -- "$_pullforge_prefix" "$@"
_pullforge_leave() {
    for _pullforge_file in "$CONDA_PREFIX/etc/conda/deactivate.d/"*.sh; do
        if [ -f "$_pullforge_file" ]; then
            . "$_pullforge_file"
        fi
    done
    PATH=":$PATH:"
    while :; do
        case $PATH in
            *":$CONDA_PREFIX/bin:"*)
                PATH="${PATH%%":$CONDA_PREFIX/bin:"*}:${PATH#*":$CONDA_PREFIX/bin:"}"
                ;;
            *) break ;;
        esac
    done
    PATH=${PATH#:}
    PATH=${PATH%:}
    unset CONDA_PREFIX CONDA_PROMPT_MODIFIER CONDA_SHLVL
}
if [ -n "${CONDA_PREFIX-}" ] && [ "$CONDA_PREFIX" != "$_pullforge_prefix" ]; then
    _pullforge_leave
fi
_pullforge_python="$_pullforge_prefix/bin/python"
if [ -x "$_pullforge_python" ] && _pullforge_read=$("$_pullforge_python" -E -S -c @read@ \\
        "$_pullforge_prefix" 2> /dev/null); then
    eval "$_pullforge_read"
else
    :
    @variables@
fi
export CONDA_DEFAULT_ENV="$_pullforge_prefix"
unset -f _pullforge_leave
unset _pullforge_file _pullforge_python _pullforge_read
"""
#: Jupyter puts something in the place of these wherever it starts a kernel.
_OF_JUPYTER: Final = re.compile(r"\{(?=(?:connection_file|prefix|resource_dir)\})")


def activated(prefix: Path, link: Path) -> list[str]:
    """Return the beginning of a command; the program and its arguments are added to it.

    Args:
        prefix: Where the link leads now. If the environment has no Python, its variables are those
            that are read there now.
        link: What it leads to when the command is run counts.
    """
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(variables_of(prefix).items())
    ]
    script = _script().replace("    @variables@\n", "".join(line + "\n" for line in lines))
    # Such a text can only be in a value, which is in single quotes.
    script = _OF_JUPYTER.sub("{''", script)
    return ["/bin/sh", "-c", _CHOOSE, "sh", script, "pullforge", str(link)]


@cache
def _script() -> str:
    return _BEGINNING.replace("@read@", shlex.quote(_READ)) + run_script({})
