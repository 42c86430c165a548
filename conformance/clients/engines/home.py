"""Where an engine lives: a directory of its own that disappears with it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from conformance.clients.engines.client import EngineMissing


def make_home(name: str) -> Path:
    """Return a new directory; short, since sockets in it may have 107 characters."""
    return Path(tempfile.mkdtemp(prefix=f"pf-{name}-"))


def remove_home(home: Path) -> None:
    """Delete the directory; the engine may have left mounts in it."""
    mounts = [
        line.split()[4].encode().decode("unicode_escape")
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    ]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(home)), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)


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
