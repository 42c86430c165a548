"""What requests say beside their address: bodies, query parameters, preferences."""

import re
from typing import Final

from starlette.requests import Request

from builder.platforms import PLATFORMS, Subdir
from registry.errors import BodyTooLarge, ParameterInvalid
from registry.web.asgi.body import body_pieces
from registry.web.asgi.headers import RequestHeaders
from registry.web.services import AppState

#: The longest that an answer is waited for: proxies and clients give up after 30 s.
MAX_WAIT_SECONDS: Final = 25

_WAIT: Final = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,6})"?\s*(?:[,;]|$)', re.IGNORECASE)
_TRUE: Final = frozenset({"true", "1", ""})
_FALSE: Final = frozenset({"false", "0"})


async def read_body(request: Request[AppState], limit_bytes: int) -> bytes:
    """Return the body, of which no more is read than is allowed.

    Raises:
        BodyTooLarge: It has more than ``limit_bytes``.
        ParameterInvalid: It is compressed.
        ClientGone: The client went away.
        BodyTooSlow: It sent nothing, or very little, for too long.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise ParameterInvalid("the body is compressed; send it as it is")
    body = bytearray()
    if _announced(request.headers) <= limit_bytes:
        async for piece in body_pieces(request.receive):
            body += piece
            if len(body) > limit_bytes:
                break
        else:
            return bytes(body)
    raise BodyTooLarge(
        f"the body has more than {limit_bytes} bytes, which is all that this server takes"
        " (PULLFORGE_MAX_REQUEST_BYTES)"
    )


def wait_seconds(headers: RequestHeaders) -> int:
    """Return how long the client would like to wait for the end, at most 25 s; 0 for not at all.

    >>> wait_seconds({"prefer": "respond-async, wait=10"}), wait_seconds({"prefer": "wait=600"})
    (10, 25)

    Source: RFC 7240, section 4.3.
    """
    match = _WAIT.search(headers.get("prefer", ""))
    return min(int(match[1]), MAX_WAIT_SECONDS) if match else 0


def flag(request: Request[AppState], name: str) -> bool:
    """Return a query parameter that is true or false; it is false when it is not there.

    Raises:
        ParameterInvalid: It is neither.
    """
    text = request.query_params.get(name, "false").lower()
    if text not in _TRUE | _FALSE:
        raise ParameterInvalid(f"the parameter '{name}' is 'true' or 'false'")
    return text in _TRUE


def platform(request: Request[AppState]) -> Subdir | None:
    """Return the platform that is asked for, if any.

    Raises:
        ParameterInvalid: It is none that images can have.
    """
    text = request.query_params.get("platform")
    for subdir in PLATFORMS:
        if text == subdir:
            return subdir
    if text is None:
        return None
    raise ParameterInvalid(f"the parameter 'platform' is one of {', '.join(PLATFORMS)}")


def _announced(headers: RequestHeaders) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
