"""What is to be wherever environments are kept as directories; asked for again and again."""

import asyncio
from collections.abc import Hashable
from functools import partial
from typing import Annotated, Final

from pydantic import Field
from starlette.types import ASGIApp
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.catalog.active_versions import Listing, Wish
from registry.catalog.active_waiting import MAX_STRANGERS_WAITING, MAX_WAITING
from registry.web.access import challenge
from registry.web.api.answers import PRIVATE, VARY
from registry.web.api.catalog_events import counted_as
from registry.web.api.endpoints import Call
from registry.web.api.models import ActiveVersionsQuery, NoBody
from registry.web.api.parameters import wait_seconds
from registry.web.api.rights import Rights
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.event_stream import STOPPING
from registry.web.asgi.ranges import is_not_modified
from registry.web.asgi.responses import BytesResponse, header

_JSON: Final = header("content-type", "application/json")


class ActiveVersionDocument(TypedDict):
    """A version that is built, and can be had."""

    namespace: str
    environment: str
    number: int
    key: str
    is_active: bool
    created_at: str


class ActiveVersionsDocument(TypedDict):
    """All of them, by namespace, environment and number."""

    items: list[ActiveVersionDocument]
    blocked: Annotated[
        list[str],
        Field(description="keys of environments that you may see that nobody may have any more"),
    ]


async def get_active_versions(call: Call[ActiveVersionsQuery, NoBody]) -> ASGIApp:
    """List the active versions that you may see, or wait until these are others.

    Raises:
        ParameterInvalid: These are too many.
        TooManyWaiting: As many of theirs wait already as may.
        Unauthorized: Their token was revoked while they waited.
    """
    versions = call.catalog.active_versions
    wait = wait_seconds(call.request.headers) if call.request.method == "GET" else 0
    listing = await versions.list(_wish(call, call.rights))
    if not (wait and is_not_modified(call.request.headers, listing.etag)):
        return _answer(call, listing)
    await cancel_on_disconnect(call.request.receive, _wait(call, wait))
    rights = call.rights.renewed()
    if rights is None:
        raise challenge("your token or password has ended while you waited: log in again")
    return _answer(call, await versions.list(_wish(call, rights)), wait)


async def _wait(call: Call[ActiveVersionsQuery, NoBody], seconds: int) -> None:
    """Return when there is something else to be told, in time, or when the server stops."""
    waiting = call.catalog.active_waiting

    def wish() -> Wish | None:
        rights = call.rights.renewed()
        return None if rights is None else _wish(call, rights)

    is_known = partial(is_not_modified, call.request.headers)
    most = MAX_WAITING if call.rights.name is not None else MAX_STRANGERS_WAITING
    with waiting.room(counted_as(call), most):
        work = asyncio.ensure_future(waiting.wait(_question(call), wish, is_known, seconds))
        stopping: asyncio.Event | None = call.request.scope.get("state", {}).get(STOPPING)
        ends = [work] if stopping is None else [work, asyncio.ensure_future(stopping.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


def _question(call: Call[ActiveVersionsQuery, NoBody]) -> Hashable:
    """Return what is equal for all requests that are told the same at every moment."""
    caller = call.rights.caller
    identity, uses = caller.identity, (call.rights.token, caller.child)
    who = None if identity is None else (identity.name, identity.hashed, uses)
    return who, call.query.only, call.query.versions


def _wish(call: Call[ActiveVersionsQuery, NoBody], rights: Rights) -> Wish:
    only = sorted({(one, two) for one, _, two in (glob.partition("/") for glob in call.query.only)})
    versions = None if call.query.versions == "all" else call.query.versions
    return Wish(rights.visible(), tuple(only), versions)


def _answer(
    call: Call[ActiveVersionsQuery, NoBody], listing: Listing, waited: int = 0
) -> BytesResponse:
    lines = [header("etag", f"W/{listing.etag}"), PRIVATE, VARY]
    if waited:
        lines.append(header("preference-applied", f"wait={waited}"))
    if is_not_modified(call.request.headers, listing.etag):
        return BytesResponse(304, lines)
    return BytesResponse(200, [_JSON, *lines], listing.data)
