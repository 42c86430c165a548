"""Where an engine lives: a directory of its own that disappears with it."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from conformance.clients.engines.client import EngineMissing
from conformance.clients.engines.program import remove_tree


def make_home(name: str) -> Path:
    """Return a new directory; short, since sockets in it may have 107 characters."""
    return Path(tempfile.mkdtemp(prefix=f"pf-{name}-"))


def remove_home(home: Path) -> None:
    """Delete the directory with all mounts below it."""
    remove_tree(home)


def require(programs: Iterable[str], path: str | None = None) -> None:
    """Check that programs are installed.

    Args:
        programs: Their names.
        path: Where to look instead of ``PATH``.

    Raises:
        EngineMissing: One is not there.
    """
    for program in programs:
        if shutil.which(program, path=path) is None:
            raise EngineMissing(f"{program} is not installed")
