"""The wheels, by name and hash, and where they are on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from conformance.channel.wheel_cache import fetch_wheels, wheel_path
from conformance.channel.wheel_lock import Wheel
from conformance.pypi.stored import default_cache

_PINNED: Final = Path(__file__).with_name("wheels.json")


def pinned() -> list[Wheel]:
    """Return the wheels in the order of the file."""
    entries: list[dict[str, str]] = json.loads(_PINNED.read_text(encoding="utf-8"))
    return [Wheel(**entry, uploaded="", tiers=()) for entry in entries]


def ensure() -> dict[Path, Wheel]:
    """Return the wheels by their file; what the user's cache lacks is fetched from PyPI."""
    wheels = pinned()
    fetch_wheels(wheels, default_cache())
    return {wheel_path(wheel, default_cache()): wheel for wheel in wheels}
