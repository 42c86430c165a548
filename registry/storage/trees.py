"""Directories of whoever is not trusted, removed whatever is in them.

What a hostile program made can be deeper than Python's stack or a path can be, and closed to its
owner. So nothing is walked down: each directory that is found is moved to the top first.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_OPEN: Final = 0o700


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it, or nothing if it is not there.

    Nobody may be changing it.

    Raises:
        OSError: Something cannot be removed.
    """
    pending = [path]
    while pending:
        directory = pending.pop()
        try:
            directory.chmod(_OPEN)
            with os.scandir(directory) as entries:
                found = list(entries)
        except FileNotFoundError:
            continue
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)
                continue
            inner = Path(entry.path)
            inner.chmod(_OPEN)  # nobody can move one that is closed
            is_on_top = directory is path
            pending.append(inner if is_on_top else inner.rename(path / secrets.token_hex(16)))
        if directory is not path:
            directory.rmdir()
    with suppress(FileNotFoundError):
        path.rmdir()
