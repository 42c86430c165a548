"""Blobs: pulling and deleting them."""

from functools import partial

from starlette.types import ASGIApp

from builder.oci.digest import parse_digest
from registry.errors import BlobUnknown
from registry.web.asgi.download import Download, answer_download
from registry.web.asgi.responses import BytesResponse, header
from registry.web.distribution.request import IMMUTABLE, RegistryRequest
from registry.web.noting import note_change


async def get_blob(call: RegistryRequest) -> ASGIApp:
    """Answer a blob, or the part of it that is asked for, or where the client can get it.

    Source: distribution-spec, "Pulling blobs".
    """
    services, repository = call.services, call.repository()
    digest = parse_digest(call.target.reference)
    if not await call.source.has_blob(repository, digest):
        raise BlobUnknown(f"'{repository}' has no blob {digest}")
    if call.method == "HEAD":
        await call.source.want_blob(repository, digest)
    size = await services.blobs.size(digest)
    file = Download(
        size_bytes=size,
        etag=f'"{digest}"',
        media_type="application/octet-stream",
        about=[header("docker-content-digest", digest)],
        caching=[IMMUTABLE],
        link=partial(services.blobs.link, digest, size),
        open=partial(services.blobs.open, digest),
    )
    return await answer_download(call.method, call.headers, file)


async def delete_blob(call: RegistryRequest) -> ASGIApp:
    """Take a blob out of a repository.

    Source: distribution-spec, "Deleting Blobs".
    """
    repository = call.repository()
    digest = parse_digest(call.target.reference)
    await call.services.pushed_blobs.delete(repository, digest)
    note_change(call.scope, "blob.deleted", repository, {"digest": digest})
    return BytesResponse(202, [])
