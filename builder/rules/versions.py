"""Versions of packages as conda and PyPI compare them; each text is read once."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import rattler
from packaging.version import InvalidVersion, Version


@lru_cache(maxsize=65536)
def conda_version(text: str) -> rattler.Version | None:
    """Return a version as conda compares it; ``None``: it cannot be read."""
    try:
        return rattler.Version(text)
    except Exception:  # noqa: BLE001 - rattler's exceptions have no base of their own
        return None


@lru_cache(maxsize=65536)
def pypi_version(text: str) -> Version | None:
    """Return a version as PEP 440 has it; ``None``: it is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def compare_versions(one: str, other: str, *, of_pypi: bool = False) -> int | None:
    """Return whether a version is less than another (-1), the same (0) or more (1).

    ``None``: one of the two cannot be read.

    >>> compare_versions("1.10", "1.9"), compare_versions("1.0", "1.0.0")
    (1, 0)
    """
    read: Callable[[str], Any] = pypi_version if of_pypi else conda_version
    a, b = read(one), read(other)
    if a is None or b is None:
        return None
    return 0 if a == b else -1 if a < b else 1
