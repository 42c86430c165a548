"""The same environment in every form, as files."""

import base64
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp

from builder.exports import ExportedFile, ExportFormat
from builder.lock import Lock
from builder.oci.digest import Digest, hex_of
from builder.platforms import Subdir
from builder.ports import ProgressListener
from builder.records import ArchiveRecord
from registry.errors import ArchiveUnknown, ParameterInvalid, StillBuilding
from registry.web.api.endpoints import ApiRequest
from registry.web.api.parameters import platform
from registry.web.api.timeouts import in_time
from registry.web.asgi.download import Download, answer_download
from registry.web.asgi.headers import headers_of
from registry.web.asgi.responses import RawHeaders, header, quoted
from registry.web.asgi.waiting import waiting_redirect

#: By what ``format`` says.
SBOMS: Final[Mapping[str, ExportFormat]] = {
    "spdx": "sbom.spdx.json",
    "cyclonedx": "sbom.cdx.json",
}
#: A newer server may write a form in another way.
_ASK_AGAIN: Final = header("cache-control", "no-cache")
#: How often a file is made again that was evicted before it could be opened.
_ATTEMPTS: Final = 3
#: What an archive may be called in a header: a lock that somebody sent may say anything.
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!~-]{0,250}")

#: Puts a file of a lock into the store, and says where it is.
_Make = Callable[[Lock, ProgressListener], Coroutine[Any, Any, ExportedFile]]


async def get_sbom(request: ApiRequest) -> ASGIApp:
    """Answer what a build is made of, in the format that is asked for."""
    name = request.query_params.get("format", "spdx")
    if name not in SBOMS:
        raise ParameterInvalid(f"the parameter 'format' is one of {', '.join(SBOMS)}")
    return await get_form(request, form=SBOMS[name])


async def get_form(request: ApiRequest, *, form: ExportFormat) -> ASGIApp:
    """Answer a build in a form, which is made when it is asked for the first time."""
    key = request.path_params["key"]
    return await form_answer(request, key, form, platform(request), [_ASK_AGAIN])


async def get_package(request: ApiRequest) -> ASGIApp:
    """Answer the archive of a package of a build."""
    fields = request.path_params
    return await package_answer(request, fields["key"], fields["sha256"], [_ASK_AGAIN])


async def package_answer(
    request: ApiRequest, key: str, sha256: str, caching: RawHeaders
) -> ASGIApp:
    """Return the archive of a package that a build has; as :func:`form_answer`.

    Raises:
        ArchiveUnknown: The build has none of that sha256.
    """
    forms = request.state["services"].builds.forms

    async def fetch(lock: Lock, on_progress: ProgressListener) -> ExportedFile:
        return await forms.archive(_record_of(lock, sha256), on_progress)

    return await _file_answer(request, key, fetch, "the package", caching)


async def form_answer(
    request: ApiRequest,
    key: str,
    form: ExportFormat,
    subdir: Subdir | None,
    caching: RawHeaders,
) -> ASGIApp:
    """Return a build in a form, for whoever may have it.

    A client waits for what is not made yet as pulls do: it is sent to the same address again until
    the file is there, at most nine times.

    Args:
        request: Says which part; the last segment of its address is that of the form.
        key: Of the build.
        form: Which.
        subdir: For which platform; ``None``: the first.
        caching: The header lines that say who may keep the answer.

    Raises:
        BuildUnknown: There is no such build.
        BuilderError: It cannot be made, or is not for that platform.
        StillBuilding: The client has been sent round for too long.
        RangeInvalid: The part lies outside the file.
    """
    forms = request.state["services"].builds.forms

    async def make(lock: Lock, on_progress: ProgressListener) -> ExportedFile:
        return await forms.get(lock, form, subdir, on_progress)

    return await _file_answer(request, key, make, f"the {form}", caching)


async def _file_answer(
    request: ApiRequest, key: str, make: _Make, what: str, caching: RawHeaders
) -> ASGIApp:
    """Return a file of a build that ``make`` makes; ``what`` it is, in words."""
    lock = await request.state["services"].builds.locked.lock(key)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _answer(
                request, await in_time(request, partial(make, lock), what=what), caching
            )
        except StillBuilding as error:
            last_segment = request.url.path.rpartition("/")[2]
            return waiting_redirect(last_segment, request.scope["query_string"], error)
        except KeyError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the loop returns or raises")


def _record_of(lock: Lock, sha256: str) -> ArchiveRecord:
    """Return the package, or wheel, of a lock that has a sha256."""
    groups: list[tuple[ArchiveRecord, ...]] = [*lock.platforms.values(), *lock.wheels.values()]
    for group in groups:
        for record in group:
            if record.sha256 == sha256:
                return record
    raise ArchiveUnknown(lock.key, sha256)


async def _answer(request: ApiRequest, file: ExportedFile, caching: RawHeaders) -> ASGIApp:
    """Answer a file of the store.

    Raises:
        KeyError: It is gone since a moment ago.
    """
    files = request.state["services"].builds.files
    name = file.file_name if _FILE_NAME.fullmatch(file.file_name) else "package"
    download = Download(
        size_bytes=file.size_bytes,
        etag=f'"{file.key}.{file.size_bytes}"',
        media_type=file.media_type,
        about=[
            header("content-disposition", f"attachment; filename={quoted(name)}"),
            *([_repr_digest(file.digest)] if file.digest is not None else []),
        ],
        caching=caching,
        link=partial(files.link, file.key, name),
        open=partial(files.open, file.key),
    )
    return await answer_download(request.method, headers_of(request.scope), download)


def _repr_digest(digest: Digest) -> tuple[bytes, bytes]:
    """Return what the whole file is, also where a part of it is answered.

    Source:
        RFC 9530, 3.
    """
    value = base64.b64encode(bytes.fromhex(hex_of(digest))).decode()
    return header("repr-digest", f"sha-256=:{value}:")
