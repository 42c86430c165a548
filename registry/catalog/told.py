"""What policies did to a version, as ``version.told`` keeps it beside what they refused."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from builder.lock import Told

_POLICY: Final = "policy"


def told_policies(told: Told) -> Mapping[str, Any]:
    """Return what is kept beside a version; empty if policies did nothing.

    >>> told_policies(Told(added=("tzdata is added",)))
    {'policy': {'added': ('tzdata is added',), 'left_out': (), 'warnings': ()}}
    """
    return {_POLICY: asdict(told)} if told else {}


def policies_told(kept: Mapping[str, Any] | None) -> Told:
    """Return what :func:`told_policies` has kept."""
    said = (kept or {}).get(_POLICY) or {}
    return Told(**{name: tuple(sentences) for name, sentences in said.items()})
