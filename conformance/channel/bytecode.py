"""`.pyc` files for packages, as conda-forge's arch packages carry them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance.channel.writer import PLACEHOLDER, Entry


def compile_entries(python: Path, entries: Sequence[Entry], mtime: int) -> list[Entry]:
    """Compiled files of all Python modules among the entries, valid while these have `mtime`.

    A module that cannot be compiled (templates, Python 2 code) has none, as in real packages. One
    that contains the placeholder has none either: it becomes another text when it is installed.
    Packages' own tests, which nobody imports, would be half of the time that a channel takes.

    Args:
        python: Interpreter of the version that will import them.
        entries: All entries of a package.
        mtime: The mtime that the package gives to its members.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for entry in entries:
            if not entry.path.endswith(".py") or entry.link is not None or "/tests/" in entry.path:
                continue
            if PLACEHOLDER.encode() in entry.data:
                continue
            path = root / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry.data)
            os.utime(path, (mtime, mtime))
        # -s: the names inside are relative to the prefix. The hash seed fixes the order of sets.
        command = [str(python), "-I", "-S", "-m", "compileall", "-q", "-s", folder, folder]
        command += ["--invalidation-mode", "timestamp"]
        environment = {"PYTHONHASHSEED": "0", "PATH": os.defpath}
        subprocess.run(command, check=False, capture_output=True, env=environment)
        return [
            Entry(str(path.relative_to(root)), path.read_bytes())
            for path in sorted(root.rglob("*.pyc"))
        ]
