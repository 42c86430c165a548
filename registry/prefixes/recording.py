"""What a root writes down for the next pass, and for programs that look for a prefix."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from registry.prefixes.finding import BUILDS
from registry.prefixes.whole_files import read_object, write_whole

_UNWANTED: Final = "unwanted.json"


def read_unwanted(folder: Path) -> dict[str, float]:
    """Return since when nobody wants a prefix, in seconds since 1970, by path.

    Raises:
        OSError: It is written down and cannot be read.
    """
    content = read_object(folder / _UNWANTED) or {}
    return {path: float(one) for path, one in content.items() if isinstance(one, int | float)}


def write_unwanted(folder: Path, unwanted: Mapping[str, float]) -> None:
    """Write down since when nobody wants a prefix, unless that is written.

    Raises:
        OSError: It cannot be written.
    """
    if read_unwanted(folder) != unwanted:
        write_whole(folder / _UNWANTED, json.dumps(unwanted, indent=1).encode(), 0o600)


def write_builds(folder: Path, builds: Mapping[str, list[str]]) -> None:
    """Write down where whole prefixes are, by key, unless that is written.

    Raises:
        OSError: It cannot be written.
    """
    if read_object(folder / BUILDS) != builds:
        write_whole(folder / BUILDS, json.dumps(builds).encode())
