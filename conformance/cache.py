"""Where tests keep what they make once for a user of this machine, by what it is made of."""

import os
from pathlib import Path


def cache_directory(name: str = "") -> Path:
    """Return a directory of ``pullforge`` in the user's cache, which is there."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    directory = root / "pullforge" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory
