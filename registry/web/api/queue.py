"""The queue: what is made and waits in all namespaces, and where it does not go on."""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp

from registry.web.api.answers import answer
from registry.web.api.catalog_documents import time_or_none
from registry.web.api.endpoints import Call
from registry.web.api.models import NoBody, QueueQuery
from registry.web.api.people_documents import (
    QueueDocument,
    TasksDocument,
    queued_document,
    server_document,
)
from registry.web.services import QueueGauges

#: How long Redis is waited for; without it the rest is told.
_GAUGE_SECONDS: Final = 2


async def get_queue(call: Call[QueueQuery, NoBody]) -> ASGIApp:
    """Tell what is made and what waits in all namespaces, and which servers there are."""
    queue = call.catalog.queue
    counts, page, servers, tasks = await asyncio.gather(
        queue.counts(),
        queue.list(call.query.state, after=call.query.number, limit=call.query.limit),
        queue.servers(),
        _tasks(call.request.state["services"].queue),
    )
    document: QueueDocument = {
        "building": counts.building,
        "queued": counts.queued,
        "stuck": counts.stuck,
        "oldest_at": time_or_none(counts.oldest_at),
        "tasks": tasks,
        "servers": [server_document(one) for one in servers],
        "items": [queued_document(one) for one in page.items],
        "next": page.next,
    }
    return answer(200, document)


async def _tasks(gauges: QueueGauges | None) -> TasksDocument | None:
    if gauges is None:
        return None
    with suppress(Exception):  # what Redis says is told beside, and never instead of the rest
        async with asyncio.timeout(_GAUGE_SECONDS):
            waiting, oldest_seconds = await gauges()
            return {"waiting": waiting, "oldest_seconds": round(oldest_seconds, 1)}
    return None
