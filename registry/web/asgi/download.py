"""Answering a file: whole, in part, as an address where the client can get it, or not again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from registry.web.asgi.headers import RequestHeaders
from registry.web.asgi.ranges import is_not_modified, range_of
from registry.web.asgi.responses import (
    Body,
    BytesResponse,
    RawHeaders,
    StreamResponse,
    header,
    json_answer,
)

#: An address with a signature works for a while only.
_SHORT_LIVED: Final = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is known to be there."""

    size_bytes: int
    #: With its quotes; the same bytes have the same one, and others another.
    etag: str
    media_type: str
    #: What says something about the file, and comes with every answer.
    about: RawHeaders
    #: Who may keep an answer that is the file, and how long.
    caching: RawHeaders
    #: Returns where the client gets it itself, or ``None`` if it has to read it here.
    link: Callable[[], Awaitable[str | None]]
    #: Opens the bytes from the first number to the second (exclusive; ``None``: the end).
    open: Callable[[int, int | None], Awaitable[Body]]


async def answer_download(method: str, headers: RequestHeaders, file: Download) -> ASGIApp:
    """Return the answer to a request for ``file``.

    Whoever is sent elsewhere asks there for the same part: HTTP clients repeat ``Range`` when they
    follow a redirect, and engines leave out ``Authorization``.

    Raises:
        RangeInvalid: The part that is asked for lies outside the file.
        Exception: Whatever opening the file raises.

    Source: RFC 9110, sections 13 and 14.
    """
    about = [*file.about, header("etag", file.etag)]
    lines = [*about, *file.caching, header("accept-ranges", "bytes")]
    if is_not_modified(headers, file.etag):
        return BytesResponse(304, lines)
    lines.append(header("content-type", file.media_type))
    if method == "HEAD":  # which knows no ranges (RFC 9110, 14.2)
        return StreamResponse(200, lines, file.size_bytes, None)
    elsewhere = await file.link()
    if elsewhere is not None:
        lines = [*about, header("location", elsewhere), _SHORT_LIVED]
        return json_answer(307, {"size": file.size_bytes}, lines)
    part = range_of(headers, file.etag, file.size_bytes)
    if part is None:
        return StreamResponse(200, lines, file.size_bytes, await file.open(0, None))
    lines.append(header("content-range", part.content_range(file.size_bytes)))
    return StreamResponse(
        206, lines, part.stop - part.start, await file.open(part.start, part.stop)
    )
