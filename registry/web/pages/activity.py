"""What happened, as people tell it: events of the API as lines.

A line reads from left to right: who, did what, to which thing, and what else there is to say. Who
is left out where nobody did it, and the thing stands first: "ada/forecast v3 was built".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.catalog.event_words import alone, words_of

Event = Mapping[str, Any]

_MAX_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    id: int
    at: str
    action: str
    #: ``None``: the service, or time, did it.
    actor: str | None
    #: What was done, e.g. ``"asked for"``.
    words: str
    #: Whether the thing stands before the words, as in "ada/forecast v3 was built".
    is_passive: bool = False
    #: To what, e.g. ``"ada/forecast v3"``; empty: the words say all.
    place: str = ""
    #: Where that is shown; ``None``: nowhere.
    href: str | None = None
    #: What else there is to say; others may have written it.
    rest: str = ""
    #: What became of it, as a word that :func:`ui.state` knows; empty: nothing did.
    state: str = ""
    #: From where it was done, for admins.
    address: str | None = None


def lines_of(events: Iterable[Event], within: str = "") -> Sequence[Line]:
    """Return events of the API as lines, in their order.

    That somebody began to make a version is left out: that it was made, or not, is told as well.

    Args:
        events: Documents of the API.
        within: The namespace whose page it is: it is not named again in each line.
    """
    return [line_of(event, within) for event in events if event["action"] != "version.building"]


def line_of(event: Event, within: str = "") -> Line:
    """Return an event of the API as a line.

    >>> event = {"id": 1, "at": "2026-03-01T00:00:00Z", "action": "version.activated",
    ...          "actor": "ada", "namespace": "ada", "environment": "forecast", "version": 3,
    ...          "detail": {}, "address": None}
    >>> line = line_of(event)
    >>> line.actor, line.words, line.place, line.href
    ('ada', 'made active', 'ada/forecast v3', '/ada/forecast/-/versions/3')
    """
    action, detail = str(event["action"]), event["detail"]
    told = words_of(action)
    place, href = _place(event, within)
    is_passive = bool(told.passive and place) and (event["actor"] is None or not told.words)
    return Line(
        event["id"],
        event["at"],
        action,
        event["actor"],
        told.passive if is_passive else told.words if place else alone(told.words),
        is_passive,
        place,
        href,
        told.rest(detail)[:_MAX_TEXT],
        told.state,
        event.get("address"),
    )


def _place(event: Event, within: str) -> tuple[str, str | None]:
    namespace, environment, number = event["namespace"], event["environment"], event["version"]
    if namespace is None:
        return "", None
    if environment is None:
        return ("", None) if namespace == within else (namespace, f"/{namespace}")
    path = f"{namespace}/{environment}"
    shown = environment if namespace == within else path
    if number is None:
        return shown, f"/{path}"
    return f"{shown} v{number}", f"/{path}/-/versions/{number}"
