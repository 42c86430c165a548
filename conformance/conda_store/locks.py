"""Locks as conda-lock writes them, of packages that a channel has."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_SUBDIRS: Final = ("linux-64", "noarch")


def locks_of(channel: Path, url: str, count: int, *, roots: int = 2) -> list[dict[str, Any]]:
    """Return locks that differ, each of some packages with all that they need.

    Of each name the package that was built last is taken, so that what a lock has may contradict
    itself where the channel has more than one Python: nothing here is solved.

    Args:
        channel: The channel's directory.
        url: Where it is served.
        count: How many locks.
        roots: How many packages each is of, besides what they need.
    """
    records = _records(channel, url)
    names = sorted(records)
    chosen = [
        [
            names[(one + step * (6 * one + one // len(names) + 3)) % len(names)]
            for step in range(roots)
        ]
        for one in range(count)
    ]
    return [_lock(records, wanted, url) for wanted in chosen]


def lock_of(channel: Path, url: str, *roots: str) -> dict[str, Any]:
    """Return a lock of some packages with all that they need, chosen in the same way."""
    return _lock(_records(channel, url), list(roots), url)


def _records(channel: Path, url: str) -> dict[str, dict[str, Any]]:
    """Return of each name the package that was built last."""
    records: dict[str, dict[str, Any]] = {}
    for subdir in _SUBDIRS:
        data = json.loads((channel / subdir / "repodata.json").read_bytes())
        for file, record in sorted({**data["packages"], **data["packages.conda"]}.items()):
            if record.get("sha256") and record.get("md5"):
                records[record["name"]] = {**record, "url": f"{url}/{subdir}/{file}"}
    return records


def _lock(records: Mapping[str, dict[str, Any]], roots: list[str], url: str) -> dict[str, Any]:
    taken: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in records and name not in taken:
            taken.add(name)
            waiting += [one.split()[0] for one in records[name]["depends"]]
    packages = [_package(records[name]) for name in sorted(taken)]
    content = hashlib.sha256(repr(roots).encode()).hexdigest()
    return {
        "version": 1,
        "metadata": {
            "content_hash": {"linux-64": content},
            "channels": [{"url": url, "used_env_vars": []}],
            "platforms": ["linux-64"],
            "sources": ["environment.yaml"],
        },
        "package": packages,
    }


def _package(record: Mapping[str, Any]) -> dict[str, Any]:
    needs = dict(one.split(maxsplit=1) if " " in one else (one, "") for one in record["depends"])
    return {
        "name": record["name"],
        "version": record["version"],
        "manager": "conda",
        "platform": "linux-64",
        "dependencies": needs,
        "url": record["url"],
        "hash": {"md5": record["md5"], "sha256": record["sha256"]},
        "category": "main",
        "optional": False,
    }
