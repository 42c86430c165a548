"""What is sent of an event: a document for programs, a sentence for people."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from registry.catalog.event_words import alone, words_of
from registry.catalog.records import Event

#: What the Standard Webhooks call usual; more of what was changed is left out, and the API has it.
_MAX_DETAIL: Final = 16 * 1024
_MAX_SENTENCE: Final = 500
_API: Final = "/api/v1"
#: Characters that move a terminal's cursor, end a line or turn the direction of writing.
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+"
)
#: By which chat services call people together.
_MENTION: Final = re.compile(r"[@!](?=(?:all|channel|here|everyone|room)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent of an event, the same however often."""

    #: By which whoever gets it twice knows that.
    id: str
    #: For programs, as JSON.
    document: bytes
    #: For people: one line, in which others may have written.
    sentence: str
    #: Where more of it is shown; ``None``: it is not known where that is.
    link: str | None

    @property
    def chat(self) -> bytes:
        """What chat services take: Slack, Mattermost, Rocket.Chat, Google Chat and their like."""
        text = self.sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        # A name or note must not wake everybody: nothing that is seen stands between the two.
        text = _MENTION.sub(lambda found: f"{found[0]}\u200b", text)
        # Nor is it a link of Markdown, which leads elsewhere than it says.
        text = text.replace("](", "]\u200b(").replace("][", "]\u200b[")
        return _json({"text": f"{text} {self.link}" if self.link else text})


class Messages:
    """Writes what is sent.

    Args:
        public_url: Where clients find this service, without a slash at the end; ``None``: links are
            paths.
    """

    def __init__(self, public_url: str | None = None) -> None:
        self._base = public_url or ""

    def of(self, event: Event) -> Message:
        """Return what is sent of an event."""
        links = {name: self._base + path for name, path in _links(event).items()}
        detail, is_whole = _bounded(event.detail)
        document = {
            "type": event.action,
            "timestamp": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "data": {
                "id": event.id,
                "actor": event.actor,
                "namespace": event.namespace,
                "environment": event.environment,
                "version": event.number,
                "detail": detail,
                "is_whole": is_whole,
                "links": links,
            },
        }
        page = links.get("page") if self._base else None
        return Message(f"evt_{event.id}", _json(document), sentence_of(event), page)


def sentence_of(event: Event) -> str:
    """Return what happened, in one line.

    >>> from datetime import datetime
    >>> place = "ada", "forecast", 3
    >>> event = Event(1, datetime.now(UTC), "ada", None, "", "version.activated", *place)
    >>> sentence_of(event)
    'ada made active ada/forecast v3'
    """
    told, place = words_of(event.action), _place(event)
    rest = told.rest(event.detail)
    if told.passive and place and (event.actor is None or not told.words):
        parts = [place, told.passive]
    elif event.actor is None:
        # Nobody did it, and it has no words for that.
        parts = [event.action.replace(".", " ").replace("_", " "), place]
    else:
        parts = [event.actor, told.words if place else alone(told.words), place]
    said = " ".join(filter(None, parts))
    return _line(f"{said}: {rest}" if rest else said)[:_MAX_SENTENCE]


def _place(event: Event) -> str:
    path = "/".join(filter(None, (event.namespace, event.environment)))
    return f"{path} v{event.number}" if path and event.number is not None else path


def _line(text: str) -> str:
    """Return text as one line, of characters that are seen."""
    return _UNSEEN.sub(" ", text).strip()


def _links(event: Event) -> dict[str, str]:
    if event.namespace is None:
        return {}
    space = f"{_API}/namespaces/{event.namespace}"
    links = {"namespace": space, "page": f"/{event.namespace}"}
    if event.environment is not None:
        links["environment"] = f"{space}/environments/{event.environment}"
        links["page"] += f"/{event.environment}"
    if event.environment is not None and event.number is not None:
        links["version"] = f"{links['environment']}/versions/{event.number}"
        links["page"] += f"/-/versions/{event.number}"
    return links


def _bounded(detail: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return what is known beside, without what is too long; and whether it is all."""
    if len(_json(detail)) <= _MAX_DETAIL:
        return detail, True
    kept: dict[str, Any] = {}
    for name, value in detail.items():
        if len(_json({**kept, name: value})) <= _MAX_DETAIL:
            kept[name] = value
    return kept, False


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
