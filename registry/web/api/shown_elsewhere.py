"""Answers that other pages and programs show, again and again: badges and feeds."""

from hashlib import sha256
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api.answers import PRIVATE, VARY
from registry.web.api.endpoints import Call
from registry.web.asgi.headers import headers_of
from registry.web.asgi.ranges import is_not_modified
from registry.web.asgi.responses import BytesResponse, header

#: For what everybody may see: a page that is read by many asks once a minute.
_SHORT: Final = header("cache-control", "public, max-age=60")
#: Whoever opens it by itself has a document of ours that does nothing.
_STILL: Final = header("content-security-policy", "default-src 'none'; frame-ancestors 'none'")


def shown_elsewhere(call: Call[Any, Any], media_type: str, body: bytes) -> ASGIApp:
    """Return what is told of an environment, or that it is as the client has it.

    Args:
        call: Of an address of the environment.
        media_type: Of ``body``.
        body: What is shown.
    """
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    is_open = call.rights.is_open(*call.place)
    lines = [header("etag", etag), *([_SHORT] if is_open else [PRIVATE]), VARY]
    if is_not_modified(headers_of(call.request.scope), etag):
        return BytesResponse(304, lines)
    lines += [
        header("content-type", media_type),
        header("x-content-type-options", "nosniff"),
        _STILL,
    ]
    return BytesResponse(200, lines, body)
