"""The same environment in every form, as files."""

import base64
from collections.abc import Mapping
from functools import partial
from typing import Final

from starlette.types import ASGIApp

from builder.exports import ExportedFile, ExportFormat
from builder.oci.digest import Digest, hex_of
from builder.platforms import Subdir
from registry.errors import ParameterInvalid, StillBuilding
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
    builds = request.state["services"].builds
    lock = await builds.locked.lock(key)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            file = await in_time(
                request, partial(builds.forms.get, lock, form, subdir), what=f"the {form}"
            )
            return await _answer(request, file, caching)
        except StillBuilding as error:
            last_segment = request.url.path.rpartition("/")[2]
            return waiting_redirect(last_segment, request.scope["query_string"], error)
        except KeyError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the loop returns or raises")


async def _answer(request: ApiRequest, file: ExportedFile, caching: RawHeaders) -> ASGIApp:
    """Answer a file of the store.

    Raises:
        KeyError: It is gone since a moment ago.
    """
    files = request.state["services"].builds.files
    download = Download(
        size_bytes=file.size_bytes,
        etag=f'"{file.key}.{file.size_bytes}"',
        media_type=file.media_type,
        about=[
            header("content-disposition", f"attachment; filename={quoted(file.file_name)}"),
            *([_repr_digest(file.digest)] if file.digest is not None else []),
        ],
        caching=caching,
        link=partial(files.link, file.key, file.file_name),
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
