"""How environments are doing, as lists and their pages show it."""

from collections.abc import Mapping, Sequence
from typing import Any

from builder.concurrency.single_flight import together
from registry.catalog.overviews import Newest, Overview
from registry.catalog.records import Environment
from registry.web.api.catalog_documents import (
    EnvironmentDetails,
    NewestVersion,
    time_or_none,
    time_text,
)
from registry.web.api.endpoints import Call


async def details_of(
    call: Call[Any, Any], environments: Sequence[Environment]
) -> Mapping[int, EnvironmentDetails]:
    """Return how environments are doing, by their ids.

    The database is asked once for all of them; the store, about those that are being built.
    """
    overviews = await call.catalog.overviews.of([one.id for one in environments])
    found = list(overviews.items())
    documents = await together(_details(call, overview) for _, overview in found)
    return {number: document for (number, _), document in zip(found, documents, strict=True)}


async def _details(call: Call[Any, Any], overview: Overview) -> EnvironmentDetails:
    builds = call.request.state["services"].builds
    newest = None
    if overview.newest is not None:
        newest = _newest(overview.newest, await _percent(call, overview.newest))
    return {
        "versions": overview.versions,
        "newest": newest,
        "active_since": time_or_none(overview.active_since),
        "packages": max(overview.packages.values(), default=None),
        "platforms": list(overview.packages),
        "size_bytes": overview.size_bytes,
        "last_used_at": time_or_none(overview.last_used_at),
        "findings": overview.findings,
        "blocked": await builds.locked.blocked.sentence(overview.active_key),
    }


async def _percent(call: Call[Any, Any], newest: Newest) -> int | None:
    """Return how far a version is; ``None``: it has ended."""
    if newest.state not in {"queued", "building"}:
        return None
    if newest.request is None:
        return 0
    requests = call.request.state["services"].builds.requests
    status = await requests.status(newest.request)
    return status.percent if status is not None else 0


def _newest(newest: Newest, percent: int | None) -> NewestVersion:
    return {
        "number": newest.number,
        "state": newest.state,
        "percent": percent,
        "message": next(iter(newest.message.splitlines()), ""),
        "requested_by": newest.requested_by,
        "created_at": time_text(newest.created_at),
        "ended_at": time_or_none(newest.ended_at),
    }
