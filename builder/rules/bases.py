"""Base images that rules allow."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from builder.errors import BuilderError
from builder.oci.reference import parse_reference
from builder.rules.model import BaseRule
from builder.rules.violation import Violation

#: What a rule writes for an image without a base.
NONE: Final = "none"
#: Of images in a directory, whose name is no host's.
_LAYOUT: Final = "oci-layout"
_DIGEST: Final = re.compile(r"(.+)@(sha(?:256|512):[0-9a-f]+)")
_TAG: Final = re.compile(r"(.+):[A-Za-z0-9_.*-]+")


def base_violations(rules: Sequence[BaseRule], base: str | None) -> list[Violation]:
    """Return what a base image breaks.

    A lock knows its base by a digest alone: then the repository of a pattern counts, unless the
    pattern has a digest too.

    Args:
        rules: All of them.
        base: A reference with tag or digest, e.g. ``"debian:12"``; ``None``: there is none.
    """
    found = []
    written = base and _written(base)
    for rule in rules:
        if not any(_matches(pattern, written) for pattern in rule.allowed):
            shown = f"its base image '{base}'" if base else "no base image"
            reason = f"{shown} is none of those that are allowed: {', '.join(rule.allowed)}"
            found.append(Violation("bases", rule.author, reason))
    return found


def _written(base: str) -> str:
    """Return a registry's reference with all its parts, and any other as it is."""
    if base.startswith(_LAYOUT):
        return base
    try:
        parsed = parse_reference(base)
    except BuilderError:
        return base
    return f"{parsed.name}@{parsed.digest}" if parsed.digest else f"{parsed.name}:{parsed.manifest}"


def _matches(pattern: str, base: str | None) -> bool:
    if base is None or pattern == NONE:
        return base is None and pattern == NONE
    if fnmatchcase(base, pattern):
        return True
    pinned = _DIGEST.fullmatch(base)
    if pinned is None or _DIGEST.fullmatch(pattern):
        return False
    tagged = _TAG.fullmatch(pattern)
    return fnmatchcase(pinned[1], tagged[1] if tagged else pattern)
