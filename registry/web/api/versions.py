"""Versions of an environment: asking for them, following them, activating one."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp

from builder.exports import ExportFormat
from registry.catalog.records import Version
from registry.errors import NoActiveVersion, VersionNotBuilt
from registry.web.api.answers import (
    PRIVATE,
    VARY,
    answer,
    expected_revision,
    page_answer,
    pull_host,
)
from registry.web.api.catalog_documents import version_document
from registry.web.api.documents import diff_document
from registry.web.api.endpoints import Call
from registry.web.api.exports import SBOMS, form_answer
from registry.web.api.models import (
    Activation,
    FormQuery,
    NewVersionQuery,
    NoBody,
    NoQuery,
    PageQuery,
    SbomQuery,
    is_on,
)
from registry.web.api.parameters import wait_seconds
from registry.web.api.specifications import require_readable
from registry.web.api.timeouts import in_time
from registry.web.asgi.disconnect import ClientGone, cancel_on_disconnect
from registry.web.asgi.responses import BytesResponse, header

_TEXT: Final = [
    header("content-type", "text/plain; charset=utf-8"),
    header("x-content-type-options", "nosniff"),
    PRIVATE,
    VARY,
]
#: How often a version is looked at while a client waits for it, if nobody tells of changes.
_LOOK_SECONDS: Final = 0.5


async def get_versions(call: Call[PageQuery, NoBody]) -> ASGIApp:
    """List the versions of an environment, the newest first."""
    page = await call.catalog.versions.list(
        *call.place, after=call.query.after, limit=call.query.limit
    )
    host = pull_host(call.request)
    return page_answer(call, page, lambda one: version_document(one, *call.place, host))


async def post_version(call: Call[NewVersionQuery, bytes]) -> ASGIApp:
    """Ask for a version: the body is any file that ``POST /api/v1/builds`` takes."""
    await require_readable(call.request, call.body)
    version, is_new = await call.catalog.versions.ask(
        call.actor,
        *call.place,
        call.body,
        reason="rebuild" if is_on(call.query.renew) else "person",
        note=call.query.note,
        activate=is_on(call.query.activate),
        renew=is_on(call.query.renew),
    )
    wait = wait_seconds(call.request.headers)
    if wait and not version.has_ended:
        # It is asked for: whoever left before it was made gets that answer when they come again.
        with suppress(ClientGone):
            version = await cancel_on_disconnect(
                call.request.receive, _ended(call, version.number, wait)
            )
    lines = [header("preference-applied", f"wait={wait}")] if wait else []
    status = (201 if is_new else 200) if version.has_ended else 202
    return answer(status, version_document(version, *call.place, pull_host(call.request)), lines)


async def get_version(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a version."""
    return _told(call, await call.catalog.versions.get(*call.place, call.number()))


async def get_specification(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Answer the file by which a version was asked for."""
    data = await call.catalog.versions.specification(*call.place, call.number())
    return BytesResponse(200, _TEXT, data)


async def get_version_log(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Answer how a version was made, as text; what has happened so far, while it is."""
    builds = call.request.state["services"].builds
    version = await call.catalog.versions.get(*call.place, call.number())
    status = await builds.requests.status(version.request) if version.request else None
    if status is not None and status.log:
        text = "".join(f"{line}\n" for line in status.log).encode()
    else:
        text = await builds.locked.log(version.key) if version.key else b""
    if version.message and version.message.encode() not in text:
        text += f"{version.message}\n".encode()
    return BytesResponse(200, _TEXT, text)


async def get_version_form(call: Call[FormQuery, NoBody], *, form: ExportFormat) -> ASGIApp:
    """Answer a version in a form, as its build is; whoever may see the environment may have it."""
    key = await _key(call, "number")
    return await form_answer(call.request, key, form, call.query.platform, [PRIVATE, VARY])


async def get_version_sbom(call: Call[SbomQuery, NoBody]) -> ASGIApp:
    """Answer what a version is made of, in the format that is asked for."""
    return await get_version_form(call, form=SBOMS[call.query.format])


async def post_cancel(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Cancel a version; what others wait for goes on."""
    return _told(call, await call.catalog.versions.cancel(call.actor, *call.place, call.number()))


async def get_active(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of the active version."""
    environment = await call.catalog.environments.get(*call.place)
    if environment.active is None:
        raise NoActiveVersion(environment.path)
    version = await call.catalog.versions.get(*call.place, environment.active)
    document = version_document(version, *call.place, pull_host(call.request))
    return answer(200, document, [header("etag", f'"{environment.revision}"')])


async def put_active(call: Call[NoQuery, Activation]) -> ASGIApp:
    """Make a version the active one: ``:latest`` is that from now on, on every server."""
    version = await call.catalog.versions.activate(
        call.actor, *call.place, call.body.version, revision=expected_revision(call.request)
    )
    environment = await call.catalog.environments.get(*call.place)
    document = version_document(version, *call.place, pull_host(call.request))
    return answer(200, document, [header("etag", f'"{environment.revision}"')])


async def get_version_diff(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell how two versions differ, and what a node fetches that goes from one to the other."""
    builds = call.request.state["services"].builds
    a = await builds.locked.lock(await _key(call, "a"))
    b = await builds.locked.lock(await _key(call, "b"))
    fetched = await in_time(
        call.request, partial(builds.forms.fetched_bytes, a, b), what="one of the two images"
    )
    return answer(200, diff_document(a, b, fetched))


async def _key(call: Call[Any, NoBody], field: str) -> str:
    """Return the key of a version that the address names.

    Raises:
        VersionNotBuilt: It has none.
    """
    version = await call.catalog.versions.get(*call.place, call.number(field))
    if version.key is None:
        path = "/".join(call.place)
        raise VersionNotBuilt(
            f"version {version.number} of '{path}' is {version.state}: there is no build of it"
        )
    return version.key


async def _ended(call: Call[NewVersionQuery, bytes], number: int, seconds: float) -> Version:
    """Return a version once it has ended, or as it is when time is over."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        version = await call.catalog.versions.get(*call.place, number)
        left = deadline - clock()
        if version.has_ended or left <= 0:
            return version
        await call.catalog.follower.changed(min(left, _LOOK_SECONDS))


def _told(call: Call[NoQuery, NoBody], version: Version) -> ASGIApp:
    return answer(200, version_document(version, *call.place, pull_host(call.request)))
