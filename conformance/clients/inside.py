"""Looks at an environment from inside a container; printed as JSON for the test outside.

It is read as text and given to the container's own ``python -c``: standard library only, and
nothing newer than Python 3.9.
"""

import importlib.util
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

PREFIX = Path("/opt/conda")


def main() -> None:
    """Print what is found."""
    records = [json.loads(p.read_text()) for p in sorted((PREFIX / "conda-meta").glob("*.json"))]
    found = {
        "prefix": sys.prefix,
        "packages": sorted(f"{r['name']}-{r['version']}-{r['build']}" for r in records),
        "missing": [f for r in records for f in r["files"] if not os.path.lexists(PREFIX / f)],
        "unlisted": _unlisted(records),
        "uncompiled": [f for r in records for f in _uncompiled(r)],
        "placeholders": [str(p) for p in _files() if b"placehold_placehold" in p.read_bytes()],
        "not_executable": _not_executable(),
        "odd_modes": [str(p) for p in _everything() if _is_odd(p.lstat())],
        "foreign": [
            str(p) for p in _everything() if (p.lstat().st_uid, p.lstat().st_gid) != (0, 0)
        ],
        "dangling": [str(p) for p in _everything() if p.is_symlink() and not p.exists()],
        "environment": dict(os.environ),
        "user": os.getuid(),
    }
    print(json.dumps(found))


def _everything() -> "list[Path]":
    return sorted(PREFIX.rglob("*"))


def _files() -> "list[Path]":
    """Return the files of packages; the records name the placeholder on purpose."""
    return [
        p
        for p in _everything()
        if p.is_file() and not p.is_symlink() and PREFIX / "conda-meta" not in p.parents
    ]


def _unlisted(records: "list[dict[str, Any]]") -> "list[str]":
    listed = {f for r in records for f in r["files"]}
    return [str(p) for p in _files() if str(p.relative_to(PREFIX)) not in listed]


def _uncompiled(record: "dict[str, Any]") -> "list[str]":
    """Return the modules of a noarch package that Python would compile in every container again."""
    if record.get("noarch") != "python":
        return []
    sources = [f for f in record["files"] if f.endswith(".py") and "site-packages" in f]
    return [
        f for f in sources if not Path(importlib.util.cache_from_source(str(PREFIX / f))).exists()
    ]


def _not_executable() -> "list[str]":
    return [str(p) for p in sorted((PREFIX / "bin").iterdir()) if not os.access(p, os.X_OK)]


def _is_odd(status: os.stat_result) -> bool:
    """Tell whether all may write to it, or it has suid or sgid."""
    if stat.S_ISLNK(status.st_mode):
        return False
    return bool(status.st_mode & (stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID))


if __name__ == "__main__":
    main()
