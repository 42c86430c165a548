"""What happened, as a list and while it happens.

::

    id: number of the event    event: version.built    data: the event

Events have ids, so that a client that comes again (``Last-Event-ID``) gets those that it missed.

Source:
    HTML standard, "Server-sent events".
"""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from starlette.types import ASGIApp

from registry.catalog.records import Event, Page
from registry.errors import ParameterInvalid
from registry.web.api.answers import page_answer
from registry.web.api.catalog_documents import EventDocument, event_document
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, NumberPageQuery
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
    return page_answer(call, page, lambda event: _document(call, event))


def _stream(
    call: Call[NumberPageQuery, NoBody], namespace: str | None, environment: str | None
) -> ASGIApp:
    last = call.request.headers.get("last-event-id")
    if last is not None and not _NUMBER.fullmatch(last):
        raise ParameterInvalid("Last-Event-ID is the id of the last event that you got")
    batches = call.catalog.events.follow(
        # Asked each time: who loses a role is told of nothing more.
        visible=call.rights.visible,
        namespace=namespace,
        environment=environment,
        after_id=int(last) if last is not None else None,
    )
    return EventStreamResponse(_pieces(call, batches))


async def _pieces(
    call: Call[NumberPageQuery, NoBody], batches: AsyncGenerator[Sequence[Event], None]
) -> AsyncGenerator[bytes, None]:
    try:
        yield b": following\n\n"
        async for events in batches:
            yield "".join(_piece(_document(call, event)) for event in events).encode() or (
                b": still there\n\n"
            )
    finally:
        await batches.aclose()


def _piece(event: EventDocument) -> str:
    return f"id: {event['id']}\nevent: {event['action']}\ndata: {json.dumps(event)}\n\n"


def _document(call: Call[NumberPageQuery, NoBody], event: Event) -> EventDocument:
    """Return what is told of an event: to admins alone, from where it was done."""
    is_whole = call.rights.service_role is not None or (
        event.namespace is not None and call.rights.has_role("admin", event.namespace)
    )
    return event_document(event, is_whole=is_whole)
