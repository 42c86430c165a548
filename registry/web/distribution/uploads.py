"""Pushing blobs (distribution-spec, "Pushing Blobs").

::

    POST  …/blobs/uploads/?digest=…            the whole blob at once       201
    POST  …/blobs/uploads/?mount=…[&from=…]    one that is here already     201, else 202
    POST  …/blobs/uploads/                     begin an upload              202
    PATCH …/blobs/uploads/<id>                 a chunk, or all of it        202, out of order 416
    GET   …/blobs/uploads/<id>                 how much there is            204
    PUT   …/blobs/uploads/<id>?digest=…        the end, with or without     201
                                               the last bytes
    DELETE …/blobs/uploads/<id>                forget it                    204
"""

import re
from typing import Final

from starlette.types import ASGIApp

from builder.errors import InvalidDigest
from builder.oci.digest import ALGORITHMS, Digest, parse_digest
from registry.auth.rights import Need
from registry.content.names import RepositoryName, parse_repository
from registry.content.uploads import Chunk
from registry.errors import NameInvalid, UploadInvalid
from registry.sources.hidden import HiddenSource
from registry.web.access import allows, is_hidden
from registry.web.asgi.body import body_pieces
from registry.web.asgi.responses import BytesResponse, RawHeaders, header
from registry.web.distribution.request import NO_STORE, RegistryRequest
from registry.web.noting import note_change

_CONTENT_RANGE: Final = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


async def post_upload(call: RegistryRequest) -> ASGIApp:
    """Begin an upload, or end it at once: with the blob itself, or one that is here already."""
    repository = call.repository()
    uploads = call.services.uploads
    algorithm = call.parameter("digest-algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise InvalidDigest(f"{algorithm}:…")
    digest, mounted = call.parameter("digest"), call.parameter("mount")
    if digest is not None:
        await uploads.put(repository, parse_digest(digest), _chunk(call))
        return _created(call, repository, parse_digest(digest))
    if mounted is not None and await _mount(call, repository, parse_digest(mounted)):
        return _created(call, repository, parse_digest(mounted), mounted=True)
    return _accepted(202, repository, await uploads.start(repository), 0)


async def get_upload(call: RegistryRequest) -> ASGIApp:
    """Answer the number of bytes received."""
    repository, upload = call.repository(), call.target.reference
    size = await call.services.uploads.size(repository, upload)
    return _accepted(204, repository, upload, size)


async def patch_upload(call: RegistryRequest) -> ASGIApp:
    """Take the next chunk of an upload, or all of it as a stream."""
    repository, upload = call.repository(), call.target.reference
    size = await call.services.uploads.append(repository, upload, _chunk(call))
    return _accepted(202, repository, upload, size)


async def put_upload(call: RegistryRequest) -> ASGIApp:
    """End an upload: what came is the blob if its digest is right."""
    repository, upload = call.repository(), call.target.reference
    digest = parse_digest(call.parameter("digest") or "")
    await call.services.uploads.finish(repository, upload, digest, _chunk(call))
    return _created(call, repository, digest)


async def delete_upload(call: RegistryRequest) -> ASGIApp:
    """Delete an upload."""
    await call.services.uploads.cancel(call.repository(), call.target.reference)
    return BytesResponse(204, [])


async def _mount(call: RegistryRequest, repository: RepositoryName, digest: Digest) -> bool:
    """Make a blob of another repository one of this repository's, if there is such a blob.

    Only from repositories that the client may pull from: whoever knows a digest does not have the
    blob. Without ``from``, any of those that it was pushed to will do; what is made here has no one
    name whose right would do, and needs ``from``.
    """
    services, source = call.services, call.parameter("from")
    if source is not None:
        try:
            sources = [parse_repository(source)]
        except NameInvalid:
            return False
    else:
        sources = [name async for name in services.pushed_blobs.holders(digest)]
    for name in sources:
        await services.sources.look(name)
        if await is_hidden(call.scope, name):
            # Looked up as what is not there is, so that it takes as long.
            await HiddenSource(services.sources.pushed).has_blob(name, digest)
            continue
        may_pull = await allows(call.scope, Need("pull", name))
        if may_pull and await services.sources.of(name).has_blob(name, digest):
            return await services.pushed_blobs.mount(repository, digest)
    return False


def _chunk(call: RegistryRequest) -> Chunk:
    """Return what the request brings.

    Raises:
        UploadInvalid: Its headers contradict each other, or are malformed.
    """
    text, length = call.headers.get("content-range"), call.headers.get("content-length")
    size = int(length) if length is not None and _LENGTH.fullmatch(length) else None
    if text is None:
        return Chunk(body_pieces(call.receive), None, size)
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise UploadInvalid(f"'{text[:50]}' is no range: write the first and the last byte, '0-99'")
    start, last = int(match[1]), int(match[2])
    if size is None:
        size = last - start + 1
    if size != last - start + 1:
        raise UploadInvalid(f"the range {text.strip()} has another length than the body")
    return Chunk(body_pieces(call.receive), start, size)


def _created(
    call: RegistryRequest, repository: RepositoryName, digest: Digest, *, mounted: bool = False
) -> BytesResponse:
    detail = {"digest": digest, "mounted": mounted}
    note_change(call.scope, "blob.pushed", repository, detail)
    lines = [
        header("location", f"/v2/{repository}/blobs/{digest}"),
        header("docker-content-digest", digest),
    ]
    return BytesResponse(201, lines)


def _accepted(
    status: int, repository: RepositoryName, upload: str, size_bytes: int
) -> BytesResponse:
    lines: RawHeaders = [
        header("location", f"/v2/{repository}/blobs/uploads/{upload}"),
        # The last byte that is there; of an empty upload nothing better can be said.
        header("range", f"0-{max(0, size_bytes - 1)}"),
        header("docker-upload-uuid", upload),
        NO_STORE,
    ]
    return BytesResponse(status, lines)
