"""Somebody else on the machine, who may read and cannot write."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_NOBODY: Final = 65534
_SECONDS: Final = 600


def as_nobody(*argv: str | Path, reads_all: bool = False) -> list[str]:
    """Return what runs a program as nobody, if this process may decide that.

    Args:
        argv: The program and its arguments.
        reads_all: Whether it may read everything: it lies where others may not enter, as in a home.
    """
    words = [str(word) for word in argv]
    if os.geteuid() != 0:
        return words
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    nobody = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return ["setpriv", *nobody, *(rights if reads_all else []), *words]


def make_home(home: Path) -> None:
    """Make a directory that is nobody's own."""
    home.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(home, _NOBODY, _NOBODY)


def outcome(
    *argv: str | Path, variables: Mapping[str, str] | None = None, reads_all: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program as nobody, with a bare environment; return how it ended."""
    return subprocess.run(
        as_nobody(*argv, reads_all=reads_all),
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **(variables or {})},
        stdin=subprocess.DEVNULL,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def run(*argv: str | Path, variables: Mapping[str, str] | None = None) -> str:
    """Return what a program prints that nobody runs, without the last newline; it must succeed."""
    done = outcome(*argv, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.removesuffix("\n")


def run_python(prefix: Path, program: str, *arguments: str) -> str:
    """Return what a program of Python prints in an environment that is not activated.

    As an owner who may write would, Python keeps no bytecode.
    """
    argv: Sequence[str | Path] = (prefix / "bin" / "python", "-B", "-c", program, *arguments)
    return run(*argv)
