"""Sources: where files are that define environments, and what they say.

Whoever sees all of a namespace sees its sources; its admins make and change them. Administrators of
the service alone have servers look into their own directories, and make sources without a
namespace. To all others there is none.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from registry.catalog.source_records import NewSource as Wanted
from registry.catalog.source_records import SourceRecord
from registry.catalog.source_shape import is_trusted_location
from registry.errors import ParameterInvalid, SourceInvalid, SourceUnknown
from registry.web.address import base_url
from registry.web.api.answers import answer, expected_revision, page_answer, revised
from registry.web.api.endpoints import Call, Further, NeedServiceRole, RoleThere
from registry.web.api.models import (
    NewSource,
    NoBody,
    NoQuery,
    SourceChange,
    SourceFileQuery,
    SourceFilesQuery,
    SourcesQuery,
    is_on,
)
from registry.web.api.rights import Rights
from registry.web.api.source_documents import (
    HookDocument,
    SourceDocument,
    hook_path,
    source_document,
    source_file_document,
)
from registry.web.api.specifications import may_pull_of
from registry.web.asgi.responses import BytesResponse


async def get_sources(call: Call[SourcesQuery, NoBody]) -> ASGIApp:
    """List the sources that you may see, the oldest first."""
    page = await call.catalog.sources.list(
        partial(sees_source, call.rights),
        namespace=call.query.namespace,
        has_problems=is_on(call.query.problems),
        after=call.query.number or 0,
        limit=call.query.limit,
    )
    return page_answer(call, page, partial(_document, call))


async def post_source(call: Call[NoQuery, NewSource]) -> ASGIApp:
    """Have files define environments from now on."""
    source = await call.catalog.sources.create(call.actor, _wanted(call.body))
    return revised(201, _document(call, source), source.revision)


async def needs_of_new_source(call: Call[NoQuery, NewSource]) -> Sequence[Further]:
    """Return what a new source needs: to be admin, or who runs the servers it looks into."""
    return _needs(_wanted(call.body))


async def get_source(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a source."""
    source = await _source(call)
    return revised(200, _document(call, source), source.revision)


async def patch_source(call: Call[NoQuery, SourceChange]) -> ASGIApp:
    """Change a source; it is looked at with what is changed at once."""
    source = await call.catalog.sources.update(
        call.actor, call.number("id"), _changed(call.body), revision=expected_revision(call.request)
    )
    return revised(200, _document(call, source), source.revision)


async def needs_of_source_change(call: Call[NoQuery, SourceChange]) -> Sequence[Further]:
    """Return what changing a source needs: to be admin of it, as it is and as it would be."""
    source = await _source(call)
    location = call.body.location if call.body.location is not None else source.location
    changed = Wanted(source.name, source.kind, location, source.namespace)
    return [*_needs_of(source), *_needs(changed)]


async def delete_source(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Delete a source; its environments stay, and are edited here from then on."""
    revision = expected_revision(call.request)
    await call.catalog.sources.delete(call.actor, call.number("id"), revision=revision)
    return BytesResponse(204, [])


async def needs_of_source(call: Call[Any, Any]) -> Sequence[Further]:
    """Return what managing a source needs."""
    return _needs_of(await _source(call))


async def post_look(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Have a source looked at as soon as a server can."""
    source = await call.catalog.sources.look_now(call.number("id"))
    return answer(202, _document(call, source))


async def needs_of_look(call: Call[Any, Any]) -> Sequence[Further]:
    """Return what asking for a look, and sending a file, needs: to make versions there."""
    source = await _source(call)
    if source.namespace is None:
        return [NeedServiceRole("administrator")]
    return [RoleThere("editor", source.namespace)]


async def post_hook(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Make a secret by which a host tells of pushes; no secret of before is good any more."""
    number = call.number("id")
    secret = await call.catalog.sources.new_hook(call.actor, number)
    document: HookDocument = {
        "url": f"{base_url(call.request.scope, call.request.headers)}{hook_path(number)}",
        "secret": secret,
    }
    return answer(201, document)


async def delete_hook(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Have no host tell of pushes any more."""
    await call.catalog.sources.drop_hook(call.actor, call.number("id"))
    return BytesResponse(204, [])


async def get_files(call: Call[SourceFilesQuery, NoBody]) -> ASGIApp:
    """List the files of a source, what they define, and what is wrong with them, by path."""
    source = await _source(call)
    page = await call.catalog.source_files.list(
        source.id,
        has_problem=is_on(call.query.problems),
        after=call.query.after,
        limit=call.query.limit,
    )
    return page_answer(call, page, source_file_document)


async def put_file(call: Call[SourceFileQuery, bytes]) -> ASGIApp:
    """Take a file as it is now, or why it cannot be used where it is.

    What is wrong with it is its `problem`, which is answered with 200: it is kept, and shown.
    """
    source, query, files = await _source(call), call.query, call.catalog.source_files
    _require_remote(source)
    path = call.field("file")
    if query.problem:
        if call.body:
            raise ParameterInvalid("with 'problem', there is no body", field="problem")
        file = await files.fail(source.id, path, query.problem, actor=call.actor)
    elif query.environment is None:
        raise ParameterInvalid("say which 'environment' the file defines", field="environment")
    else:
        file = await files.put(
            source.id,
            path,
            call.body,
            environment=query.environment,
            namespace=query.namespace,
            actor=call.actor,
            may_pull=may_pull_of(call.request),
        )
    return answer(200, source_file_document(file))


async def delete_file(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Take that a file is gone; the source says what becomes of its environment."""
    source = await _source(call)
    _require_remote(source)
    await call.catalog.source_files.gone(source.id, call.field("file"), actor=call.actor)
    return BytesResponse(204, [])


def sees_source(rights: Rights, source: SourceRecord) -> bool:
    """Tell whether they see a source at this moment."""
    if rights.service_role is not None:
        return True
    return source.namespace is not None and rights.has_role("viewer", source.namespace)


def may_change_source(rights: Rights, source: SourceRecord) -> bool:
    """Tell whether they may change a source."""
    if is_trusted_location(_as_wanted(source)):
        return rights.service_role == "administrator"
    return source.namespace is not None and rights.has_role("admin", source.namespace)


def _document(call: Call[Any, Any], source: SourceRecord) -> SourceDocument:
    is_whole = may_change_source(call.rights, source) or source.kind == "remote"
    return source_document(source, is_whole=is_whole)


async def _source(call: Call[Any, Any]) -> SourceRecord:
    """Return the source of the address, if whoever asks may see it.

    Raises:
        SourceUnknown: They may not, or there is none.
    """
    number = call.number("id")
    source = await call.catalog.sources.get(number)
    if not sees_source(call.rights, source):
        raise SourceUnknown(number)
    return source


def _wanted(body: NewSource) -> Wanted:
    return Wanted(
        name=body.name,
        kind=body.kind,
        location=body.location,
        namespace=body.namespace,
        branch=body.branch,
        folder=body.folder,
        patterns=None if body.patterns is None else tuple(body.patterns),
        removed=body.removed,
        edits=body.edits,
        activate=body.activate,
    )


def _as_wanted(source: SourceRecord) -> Wanted:
    return Wanted(source.name, source.kind, source.location, source.namespace)


def _changed(body: SourceChange) -> dict[str, Any]:
    changed = {name: value for name, value in body if value is not None}
    if body.patterns is not None:
        changed["patterns"] = tuple(body.patterns) or None
    return changed


def _needs(wanted: Wanted) -> list[Further]:
    needs: list[Further] = []
    if wanted.namespace is not None:
        needs.append(RoleThere("admin", wanted.namespace))
    if is_trusted_location(wanted):
        needs.append(NeedServiceRole("administrator"))
    return needs


def _needs_of(source: SourceRecord) -> list[Further]:
    return _needs(_as_wanted(source))


def _require_remote(source: SourceRecord) -> None:
    """Return if another machine sends the files of a source.

    Raises:
        SourceInvalid: Servers look at it.
    """
    if source.kind != "remote":
        raise SourceInvalid(
            f"servers look at the source '{source.name}' themselves: make one of the kind 'remote'"
            " to send files"
        )
