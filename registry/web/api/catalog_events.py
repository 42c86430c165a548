"""What happened, as a list and while it happens.

::

    id: number of the event    event: version.built    data: the event

A stream ends when whoever follows may do so no more: their token was revoked, or their role taken.

Events have ids, so that a client that comes again (``Last-Event-ID``) gets those that it missed.

Source:
    HTML standard, "Server-sent events".
"""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.records import Event, Page, Visibility
from registry.clients.address import client_at
from registry.errors import ParameterInvalid, TooManyStreams
from registry.web.api.answers import page_answer
from registry.web.api.catalog_documents import EventDocument, event_document
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NumberPageQuery
from registry.web.api.rights import Rights
from registry.web.asgi.event_stream import EventStreamResponse

EVENT_STREAM: Final = "text/event-stream"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


async def get_all_events(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """List what happened in what you may see, the newest first; or follow it."""
    return await _events(call, None, None)


async def get_namespace_events(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """List what happened in a namespace, the newest first; or follow it."""
    return await _events(call, call.field("namespace"), None)


async def get_environment_events(call: Call[NumberPageQuery, NoBody]) -> ASGIApp:
    """List what happened to an environment, the newest first; or follow it."""
    await call.catalog.environments.get(*call.place)
    return await _events(call, *call.place)


async def _events(
    call: Call[NumberPageQuery, NoBody], namespace: str | None, environment: str | None
) -> ASGIApp:
    if EVENT_STREAM in call.request.headers.get("accept", ""):
        return _stream(call, namespace, environment)
    events = await call.catalog.events.latest(
        visible=call.visible,
        namespace=namespace,
        environment=environment,
        before_id=call.query.number,
        limit=call.query.limit + 1,
    )
    limit = call.query.limit
    page = Page(events[:limit], str(events[limit - 1].id) if len(events) > limit else None)
    return page_answer(call, page, lambda event: _document(call.rights, event))


def _stream(
    call: Call[NumberPageQuery, NoBody], namespace: str | None, environment: str | None
) -> ASGIApp:
    last = call.request.headers.get("last-event-id")
    if last is not None and not _NUMBER.fullmatch(last):
        raise ParameterInvalid("Last-Event-ID is the id of the last event that you got")
    who = counted_as(call)
    call.catalog.events.require_room(who)
    listener = _Listener(call.rights, namespace, environment)
    batches = call.catalog.events.follow(
        who,
        # Asked each time: who loses a role is told of nothing more.
        visible=listener.visible,
        sees=listener.sees,
        namespace=namespace,
        environment=environment,
        after_id=int(last) if last is not None else None,
    )
    return EventStreamResponse(_pieces(listener, batches))


class _Listener:
    """Whoever follows, as they are at each moment."""

    def __init__(self, rights: Rights, namespace: str | None, environment: str | None) -> None:
        self._first = rights
        self._namespace = namespace
        self._environment = environment

    def rights(self) -> Rights | None:
        """Return what they may at this moment; ``None``: not even follow this any more."""
        rights = self._first.renewed()
        if rights is None or self._namespace is None:
            return rights
        if self._environment is None:
            return rights if rights.sees_inside(self._namespace) else None
        is_seen = rights.has_role("viewer", self._namespace, self._environment)
        return rights if is_seen else None

    def visible(self) -> Visibility:
        """Return what they see at this moment."""
        rights = self.rights()
        return rights.visible() if rights is not None else Visibility()

    def sees(self, event: Event) -> bool:
        """Tell whether they see an event at this moment."""
        rights = self._first.renewed()
        return rights is not None and rights.sees(event)


async def _pieces(
    listener: _Listener, batches: AsyncGenerator[Sequence[Event], None]
) -> AsyncGenerator[bytes, None]:
    try:
        yield b": following\n\n"
        async for events in batches:
            rights = listener.rights()
            if rights is None:
                return
            yield "".join(_piece(_document(rights, event)) for event in events).encode() or (
                b": still there\n\n"
            )
    except TooManyStreams:  # began at the same moment as others
        return
    finally:
        await batches.aclose()


def counted_as(call: Call[Any, Any]) -> str:
    """Return by whom the streams of a call are counted: no address looks like a user."""
    if call.rights.name is not None:
        return f"user {call.rights.name}"
    return client_at(call.actor.address)


def _piece(event: EventDocument) -> str:
    return f"id: {event['id']}\nevent: {event['action']}\ndata: {json.dumps(event)}\n\n"


def _document(rights: Rights, event: Event) -> EventDocument:
    """Return what is told of an event: to admins alone, from where it was done."""
    is_whole = rights.service_role is not None or (
        event.namespace is not None and rights.has_role("admin", event.namespace)
    )
    return event_document(event, is_whole=is_whole)
