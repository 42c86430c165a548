"""Versions of an environment: asking for them, following them, activating one."""

import asyncio
from contextlib import suppress
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
from registry.web.api.catalog_documents import VersionDocument, version_document
from registry.web.api.endpoints import Call
from registry.web.api.exports import SBOMS, form_answer, package_answer
from registry.web.api.models import (
    Activation,
    FormQuery,
    NewVersionQuery,
    NoBody,
    NoQuery,
    PageQuery,
    SbomQuery,
    WaitedQuery,
    is_on,
)
from registry.web.api.parameters import wait_seconds
from registry.web.api.specifications import require_readable
from registry.web.api.version_progress import version_lines
from registry.web.asgi.disconnect import ClientGone, cancel_on_disconnect
from registry.web.asgi.responses import BytesResponse, StreamResponse, header

_TEXT: Final = [
    header("content-type", "text/plain; charset=utf-8"),
    header("x-content-type-options", "nosniff"),
    PRIVATE,
    VARY,
]
#: Forms that are all of an environment, or begin to be: to download one is a pull.
_IMAGES: Final[frozenset[ExportFormat]] = frozenset(
    {"archive.tar.gz", "archive.tar.zst", "image.tar", "installation.json"}
)
#: How often a version is looked at while a client waits for it, if nobody tells of changes.
_LOOK_SECONDS: Final = 0.5


async def get_versions(call: Call[PageQuery, NoBody]) -> ASGIApp:
    """List the versions of an environment, the newest first."""
    page = await call.catalog.versions.list(
        *call.place, after=call.query.after, limit=call.query.limit
    )
    documents = {one.number: await _document(call, one) for one in page.items}
    return page_answer(call, page, lambda one: documents[one.number])


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
        propose=is_on(call.query.propose),
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
    return answer(status, await _document(call, version), lines)


async def get_version(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a version."""
    return await _told(call, await call.catalog.versions.get(*call.place, call.number()))


async def delete_version(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete a version that is not active: its files go; making it active brings it back."""
    await call.catalog.versions.delete(call.actor, *call.place, call.number())
    return BytesResponse(204, [])


async def get_specification(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Answer the file by which a version was asked for."""
    data = await call.catalog.versions.specification(*call.place, call.number())
    return BytesResponse(200, _TEXT, data)


async def get_version_log(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Answer how a version was made, as text; what has happened so far, while it is."""
    version = await call.catalog.versions.get(*call.place, call.number())
    lines = await version_lines(call, version)
    return BytesResponse(200, _TEXT, "".join(f"{line}\n" for line in lines).encode())


async def get_version_form(call: Call[FormQuery, NoBody], *, form: ExportFormat) -> ASGIApp:
    """Answer a version in a form, as its build is; whoever may see the environment may have it."""
    key = await _key(call, "number")
    lines = [PRIVATE, VARY]
    answered = await form_answer(call.request, key, form, call.query.platform, lines)
    if form in _IMAGES and call.request.method == "GET" and _is_begun(answered):
        call.request.state["services"].pulls.count("/".join(call.place), key)
    return answered


async def get_version_sbom(call: Call[SbomQuery, NoBody]) -> ASGIApp:
    """Answer what a version is made of, in the format that is asked for."""
    return await get_version_form(call, form=SBOMS[call.query.format])


async def get_version_archive(call: Call[WaitedQuery, NoBody]) -> ASGIApp:
    """Answer the archive of a package of a version, for whoever may see the environment."""
    key = await _key(call, "number")
    return await package_answer(call.request, key, call.field("sha256"), [PRIVATE, VARY])


async def post_cancel(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Cancel a version; what others wait for goes on."""
    version = await call.catalog.versions.cancel(call.actor, *call.place, call.number())
    return await _told(call, version)


async def get_active(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of the active version."""
    environment = await call.catalog.environments.get(*call.place)
    if environment.active is None:
        raise NoActiveVersion(environment.path)
    version = await call.catalog.versions.get(*call.place, environment.active)
    document = await _document(call, version)
    return answer(200, document, [header("etag", f'"{environment.revision}"')])


async def put_active(call: Call[NoQuery, Activation]) -> ASGIApp:
    """Make a version the active one: ``:latest`` is that from now on, on every server."""
    chosen = await call.catalog.versions.get(*call.place, call.body.version)
    if chosen.key is not None:
        await call.request.state["services"].builds.locked.blocked.require(chosen.key)
    version = await call.catalog.versions.activate(
        call.actor, *call.place, call.body.version, revision=expected_revision(call.request)
    )
    environment = await call.catalog.environments.get(*call.place)
    document = await _document(call, version)
    return answer(200, document, [header("etag", f'"{environment.revision}"')])


def _is_begun(answered: ASGIApp) -> bool:
    """Tell whether a client gets a file, from its beginning on; a link to it has its ETag."""
    match answered:
        case StreamResponse(status=200):
            return True
        case StreamResponse(status=206, headers=lines):
            return any(name == b"content-range" and text[:8] == b"bytes 0-" for name, text in lines)
        case BytesResponse(status=307, headers=lines):
            return any(name == b"etag" for name, _ in lines)
        case _:
            return False


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


async def _told(call: Call[NoQuery, NoBody], version: Version) -> ASGIApp:
    return answer(200, await _document(call, version))


async def _document(call: Call[Any, Any], version: Version) -> VersionDocument:
    blocked = await call.request.state["services"].builds.locked.blocked.sentence(version.key)
    return version_document(version, *call.place, pull_host(call.request), blocked)
