"""Blobs: pulling and deleting them."""

from starlette.types import ASGIApp

from builder.oci.digest import parse_digest
from registry.distribution.access import is_readable_blob
from registry.distribution.call import FOR_EVER, SHORT_LIVED, Call, digest_lines
from registry.errors import BlobUnknown
from registry.web.answer import Answer, StreamAnswer, header, json_answer
from registry.web.ranges import is_not_modified, range_of


async def get_blob(call: Call) -> ASGIApp:
    """Answer a blob, or the part of it that is asked for, or where the client can get it.

    Whoever is sent elsewhere asks there for the same part: HTTP clients repeat ``Range`` when they
    follow a redirect, and engines leave out ``Authorization``.

    Source:
        distribution-spec, "Pulling blobs"; RFC 9110, section 14.
    """
    services, repository = call.services, call.repository()
    digest = parse_digest(call.target.reference)
    if not await is_readable_blob(services, repository, digest):
        raise BlobUnknown(f"'{repository}' has no blob {digest}")
    if call.method == "HEAD" and not services.pulls.is_generated(repository):
        await services.pushed_blobs.want(repository, digest)
    size = await services.blobs.size(digest)
    etag = f'"{digest}"'
    lines = [*digest_lines(digest), FOR_EVER, header("accept-ranges", "bytes")]
    if is_not_modified(call.headers, etag):
        return Answer(304, lines)
    lines.append(header("content-type", "application/octet-stream"))
    if call.method == "HEAD":  # which knows no ranges (RFC 9110, 14.2)
        return StreamAnswer(200, lines, size, None)
    elsewhere = await services.blobs.link(digest, size)
    if elsewhere is not None:
        lines = [*digest_lines(digest), header("location", elsewhere), SHORT_LIVED]
        return json_answer(307, {"size": size}, lines)
    part = range_of(call.headers, etag, size)
    if part is None:
        return StreamAnswer(200, lines, size, await services.blobs.open(digest))
    lines.append(header("content-range", part.content_range(size)))
    body = await services.blobs.open(digest, part.start, part.stop)
    return StreamAnswer(206, lines, part.stop - part.start, body)


async def delete_blob(call: Call) -> ASGIApp:
    """Take a blob out of a repository.

    Source:
        distribution-spec, "Deleting Blobs".
    """
    repository = call.repository()
    await call.services.pushed_blobs.delete(repository, parse_digest(call.target.reference))
    return Answer(202, [])
