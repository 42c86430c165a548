"""Which rule of which policy is in the way where nothing fits because of policies."""

import re
from collections.abc import Collection, Sequence
from typing import Final

from builder.errors import PolicyRefused, Refusal
from builder.rules.violation import Violation, with_ask

_WORD: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
#: So many packages are named.
_SHOWN: Final = 3


def blame(tree: str, refused: Sequence[Violation], wanted: Collection[str]) -> PolicyRefused | None:
    """Return the error of a solve that fails, and would not without rules.

    Args:
        tree: What rattler says of the conflict that it has with them.
        refused: What rules refuse of a solution without them.
        wanted: The names that the specification asks for.
    """
    words = set(_WORD.findall(tree))
    # What the conflict is about, and else all that the solution would have had.
    found = [one for one in refused if one.name in words] or list(refused)
    if not found:
        return None
    found.sort(key=lambda one: (one.name not in wanted, one.name))
    first = found[0]
    sentence = f"{first.sentence}, and nothing else fits"
    others = [f"{one.package} ({one.reason})" for one in found[1:_SHOWN]]
    if others:
        more = ", …" if len(found) > _SHOWN else ""
        sentence = f"{sentence}; likewise {', '.join(others)}{more}"
    return PolicyRefused(with_ask(sentence, first.ask), _refusal(first, found))


def _refusal(first: Violation, found: Sequence[Violation]) -> Refusal:
    """Return for programs what would have to be let pass of the first one's policy."""
    packages = tuple(
        dict.fromkeys(
            spec
            for one in found
            if (one.policy, one.manager) == (first.policy, first.manager)
            for spec in one.refusal.packages
        )
    )
    return Refusal(first.policy, first.kind, first.contact, first.manager, packages)
