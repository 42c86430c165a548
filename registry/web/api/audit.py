"""The audit log: a list, or all of it as lines of JSON.

::

    Accept: application/x-ndjson      every event that fits, the oldest first, one on each line
    …?follow=true                     and then those that happen, until the client leaves; an empty
                                      line now and then says that the connection holds
"""

import json
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from starlette.types import ASGIApp

from registry.catalog.audit import AuditFilter
from registry.catalog.records import EVERYTHING, Event, Visibility
from registry.errors import DatabaseUnavailable, ParameterInvalid, TooManyStreams
from registry.web.api.answers import page_answer
from registry.web.api.catalog_documents import audit_document
from registry.web.api.endpoints import Call
from registry.web.api.models import AuditQuery, NoBody, is_on
from registry.web.api.rights import Rights
from registry.web.asgi.event_stream import EventStreamResponse

LINES: Final = "application/x-ndjson"


async def get_audit(call: Call[AuditQuery, NoBody]) -> ASGIApp:
    """List everything that was done and refused, the newest first; or all of it, line by line."""
    wanted = _filter(call.query)
    is_followed = is_on(call.query.follow)
    if LINES in call.request.headers.get("accept", ""):
        who = f"user {call.rights.name}"
        if is_followed:
            call.catalog.events.require_room(who)
        return EventStreamResponse(_lines(call, wanted, who), LINES)
    if is_followed:
        raise ParameterInvalid(f"what goes on is told as lines: send 'Accept: {LINES}'")
    page = await call.catalog.audit.page(wanted, after=call.query.after, limit=call.query.limit)
    return page_answer(call, page, audit_document)


def _filter(query: AuditQuery) -> AuditFilter:
    return AuditFilter(
        query.actor,
        query.action,
        query.namespace,
        query.environment,
        query.address,
        query.via,
        query.since,
        query.until,
        is_change=is_on(query.changes),
    )


async def _lines(
    call: Call[AuditQuery, NoBody], wanted: AuditFilter, who: str
) -> AsyncGenerator[bytes, None]:
    """Yield what fits; then, if that is wanted, what happens.

    A database that is gone in the middle cuts the answer: what was sent is no whole export.
    """
    newest = await call.catalog.events.newest()
    async for events in call.catalog.audit.all(wanted, up_to=newest):
        if not _may(call.rights):
            return
        yield _written(events)
    if not is_on(call.query.follow):
        return
    batches = call.catalog.events.follow(
        who,
        visible=lambda: EVERYTHING if _may(call.rights) else Visibility(),
        sees=wanted.fits,
        after_id=newest,
    )
    try:
        async for events in batches:
            if not _may(call.rights):
                return
            yield _written(events) or b"\n"
    except (TooManyStreams, DatabaseUnavailable):  # the client comes again
        return
    finally:
        await batches.aclose()


def _may(rights: Rights) -> bool:
    """Tell whether they are administrators or auditors at this moment."""
    renewed = rights.renewed()
    return renewed is not None and renewed.service_role is not None


def _written(events: Iterable[Event]) -> bytes:
    return "".join(f"{json.dumps(audit_document(event))}\n" for event in events).encode()
