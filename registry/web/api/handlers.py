"""What each address of the API answers; errors are raised, and told by the face."""

import re
from contextlib import suppress
from functools import partial
from typing import Final

from starlette.types import ASGIApp

from builder.errors import BaseImageError, PackageError
from builder.exports import diff
from registry.auth.rights import ALL_BUILDS, Need
from registry.errors import RequestUnknown, StillBuilding, TooManyLogins
from registry.requests.status import RequestStatus
from registry.web.access import allows, for_account, require, require_base
from registry.web.address import host_of
from registry.web.api.documents import (
    build_document,
    build_path,
    diff_document,
    request_path,
    status_document,
)
from registry.web.api.endpoints import ApiRequest
from registry.web.api.errors import failure_answer
from registry.web.api.events import follow
from registry.web.api.parameters import flag, read_body, wait_seconds
from registry.web.api.timeouts import in_time
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.event_stream import EventStreamResponse
from registry.web.asgi.responses import (
    BytesResponse,
    RawHeaders,
    header,
    json_answer,
)
from registry.web.asgi.waiting import waiting_redirect
from registry.web.noting import note, note_change
from registry.web.services import BuildServices

_ASK_AGAIN: Final = header("cache-control", "no-cache")
_TEXT: Final = header("content-type", "text/plain; charset=utf-8")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


async def post_build(request: ApiRequest) -> ASGIApp:
    """Take a request: answer its build, why there is none, or where to see how far it is."""
    builds = _builds(request)
    data = await read_body(request, builds.max_request_bytes)

    async def may_pull(repository: str) -> None:
        await require_base(request.scope, repository)

    renew, pin = flag(request, "renew"), await _is_pinned_for(request)
    ask = partial(builds.requests.ask, data, may_pull=may_pull, renew=renew, pin=pin)
    status = await for_account(request.scope, ask)
    was_there = status.has_ended
    if not was_there:
        note(request.scope, "build.asked", detail={"request": status.id, "renew": renew})
    wait = wait_seconds(request.headers)
    if wait and not was_there:
        status = await cancel_on_disconnect(request.receive, builds.requests.ended(status, wait))
    lines = [header("preference-applied", f"wait={wait}")] if wait else []
    if status.failure is not None:
        return failure_answer(status.failure, lines)
    if status.key is None or not status.has_ended:
        lines += [header("location", request_path(status.id)), header("retry-after", "1")]
        return json_answer(202, status_document(status), [*lines, _ASK_AGAIN])
    if pin and was_there:
        await _pin(request, status.key)
    # Who may ask for builds is not thereby told what all of them have.
    await require(request.scope, Need("pull", f"build/{status.key}"))
    lines.append(header("location", build_path(status.key)))
    return await _build_answer(request, status.key, lines, 200 if was_there else 201)


async def get_request(request: ApiRequest) -> ASGIApp:
    """Answer how far a request is."""
    return json_answer(200, status_document(await _status(request)), [_ASK_AGAIN])


async def get_request_events(request: ApiRequest) -> ASGIApp:
    """Answer what happens to a request until it ends."""
    status = await _status(request)
    last = request.headers.get("last-event-id", "")
    last_line = int(last) if _NUMBER.fullmatch(last) else -1
    return EventStreamResponse(follow(_builds(request).requests, status, last_line))


async def get_request_log(request: ApiRequest) -> ASGIApp:
    """Answer what has happened to a request so far, as text."""
    status = await _status(request)
    text = "".join(f"{line}\n" for line in status.log)
    return BytesResponse(200, [_TEXT, _ASK_AGAIN], text.encode())


async def get_build(request: ApiRequest) -> ASGIApp:
    """Answer what is known of a build."""
    return await _build_answer(request, request.path_params["key"], [], 200)


async def get_build_log(request: ApiRequest) -> ASGIApp:
    """Answer how a build was made, as text."""
    log = await _builds(request).locked.log(request.path_params["key"])
    return BytesResponse(200, [_TEXT, _ASK_AGAIN], log)


async def get_diff(request: ApiRequest) -> ASGIApp:
    """Answer how two builds differ, and what a node fetches that goes from one to the other."""
    builds = _builds(request)
    a = await builds.locked.lock(request.path_params["key"])
    b = await builds.locked.lock(request.path_params["other"])
    try:
        fetched = await in_time(
            request, partial(builds.forms.fetched_bytes, a, b), what="one of the two images"
        )
    except StillBuilding as error:
        return waiting_redirect(b.key, request.scope["query_string"], error)
    document = diff_document(a.key, b.key, diff(a, b), fetched)
    return json_answer(200, document, [_ASK_AGAIN])


async def post_pin(request: ApiRequest) -> ASGIApp:
    """Keep a build; what its making needs is in the store when this is answered."""
    builds = _builds(request)
    lock = await builds.locked.lock(request.path_params["key"])
    await in_time(request, partial(builds.pins.pin, lock), what=f"the archive of build {lock.key}")
    note_change(request.scope, "build.pinned", f"build/{lock.key}", {"key": lock.key})
    return json_answer(200, {"key": lock.key, "pinned": True}, [_ASK_AGAIN])


async def delete_pin(request: ApiRequest) -> ASGIApp:
    """Keep a build no longer."""
    builds = _builds(request)
    lock = await builds.locked.lock(request.path_params["key"])
    await builds.pins.unpin(lock.key)
    note_change(request.scope, "build.unpinned", f"build/{lock.key}", {"key": lock.key})
    return json_answer(200, {"key": lock.key, "pinned": False}, [_ASK_AGAIN])


async def _is_pinned_for(request: ApiRequest) -> bool:
    """Tell whether what is asked for is to be pinned: kept for ever, outside the cache's limit."""
    pins_of = _builds(request).pins_of
    if pins_of != "rightful":
        return pins_of == "everybody"
    try:
        return await allows(request.scope, Need("pin", ALL_BUILDS))
    except TooManyLogins:  # asking for a build needs none
        return False


async def _pin(request: ApiRequest, key: str) -> None:
    """Pin a build that somebody else had made, if its packages can still be had."""
    builds = _builds(request)
    if not await builds.pins.is_pinned(key):
        lock = await builds.locked.lock(key)
        with suppress(PackageError, BaseImageError, StillBuilding):
            await in_time(request, partial(builds.pins.pin, lock), what=f"the archive of {key}")


def _builds(request: ApiRequest) -> BuildServices:
    return request.state["services"].builds


async def _status(request: ApiRequest) -> RequestStatus:
    """Return the status of the request that the address names.

    Raises:
        RequestUnknown: There is none.
    """
    identity = request.path_params["id"]
    status = await _builds(request).requests.status(identity) if _ID.fullmatch(identity) else None
    if status is None:
        raise RequestUnknown(
            f"there is no request '{identity[:100]}' here; if it failed, send it again"
        )
    return status


async def _build_answer(request: ApiRequest, key: str, lines: RawHeaders, status: int) -> ASGIApp:
    description = await _builds(request).locked.describe(key)
    host = host_of(request.headers) or "HOST"
    return json_answer(status, build_document(description, host), [*lines, _ASK_AGAIN])
