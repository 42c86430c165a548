"""Answers of the catalog's addresses: documents, pages of lists, revisions."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp

from registry.catalog.records import Page
from registry.errors import ParameterInvalid
from registry.web.address import host_of
from registry.web.api.endpoints import ApiRequest, Call
from registry.web.asgi.responses import RawHeaders, header, json_answer

Item = TypeVar("Item")

#: What one may see differs by who asks, and may change at any time.
PRIVATE: Final = header("cache-control", "private, no-cache")
VARY: Final = header("vary", "authorization")
_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,15})"')


def answer(status: int, document: Mapping[str, Any], lines: RawHeaders | None = None) -> ASGIApp:
    """Return a document; one that was made has its address in ``Location``."""
    headers = [*(lines or []), PRIVATE, VARY]
    if status in {201, 202} and "self" in document.get("links", {}):
        headers.append(header("location", document["links"]["self"]))
    if status == 202:
        headers.append(header("retry-after", "1"))
    return json_answer(status, document, headers)


def revised(status: int, document: Mapping[str, Any], revision: int) -> ASGIApp:
    """Return a document with the revision by which it can be changed."""
    return answer(status, document, [header("etag", f'"{revision}"')])


def page_answer(
    call: Call[Any, Any], page: Page[Item], document: Callable[[Item], Mapping[str, Any]]
) -> ASGIApp:
    """Return a part of a list; where it goes on is in the document and in ``Link``."""
    items = [document(one) for one in page.items]
    return answer(200, {"items": items, "next": page.next}, page_links(call, page.next))


def page_links(call: Call[Any, Any], cursor: str | None) -> RawHeaders:
    """Return the header line that says where a list goes on, if it does."""
    return [] if cursor is None else [header("link", f'<{_next(call, cursor)}>; rel="next"')]


def expected_revision(request: ApiRequest) -> int | None:
    """Return the revision that what is changed must have (``If-Match``); ``None``: any.

    Raises:
        ParameterInvalid: It is no revision of anything here.

    Source:
        RFC 9110, 13.1.1.
    """
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    match = _TAG.fullmatch(text)
    if match is None:
        raise ParameterInvalid("If-Match is the ETag that reading it answered, or '*'")
    return int(match[1])


def pull_host(request: ApiRequest) -> str:
    """Return the host, with its port, from which images are pulled."""
    return host_of(request.headers) or "HOST"


def _next(call: Call[Any, Any], cursor: str) -> str:
    pairs = parse_qsl(call.request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name != "after"]
    query = urlencode([*kept, ("after", cursor)])
    return f"{quote(call.request.scope['path'], safe='/')}?{query}"
