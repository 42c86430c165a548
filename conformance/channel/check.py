"""What must be true of a finished channel."""

from __future__ import annotations

import json
from pathlib import Path

from rattler import MatchSpec

#: Packages that name something missing on purpose.
_BROKEN_ON_PURPOSE = {"leaf"}


def check_dependencies(channel: Path) -> None:
    """Every dependency is a valid match spec and names a package of the channel.

    Raises:
        RuntimeError: the first ones that do not, sorted.
    """
    records = [
        record
        for path in sorted(channel.glob("*/repodata.json"))
        for group in ("packages", "packages.conda")
        for record in json.loads(path.read_bytes())[group].values()
    ]
    names = {record["name"] for record in records}
    missing: set[str] = set()
    for record in records:
        for spec in record["depends"]:
            MatchSpec(spec, strict=True)
            name = spec.partition(" ")[0]
            virtual = name.startswith("__")
            if name not in names and not virtual and record["name"] not in _BROKEN_ON_PURPOSE:
                missing.add(f"{record['name']} {record['version']} needs {spec}")
    if missing:
        raise RuntimeError("not in the channel: " + "; ".join(sorted(missing)[:10]))
