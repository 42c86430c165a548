"""What browsers send: fields, where they want to go afterwards, and from which page they come."""

import re
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from registry.errors import FormRefused
from registry.web.address import base_url
from registry.web.asgi.body import read_body
from registry.web.asgi.headers import headers_of
from registry.web.services import AppState

#: The fields of a form or an address: by its name the last of each, all by ``getlist``.
Fields = ImmutableMultiDict[str, str]

#: Where those go who did not say.
HOME: Final = "/"
#: What no form of ours has more of, but those that say so.
_MAX_FORM_BYTES: Final = 16 * 1024
_MAX_FIELDS: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"
#: A path of this host. Browsers read ``//host``, ``/\host`` and ``/<tab>/host`` as another host.
_LOCAL_PATH: Final = re.compile(r"/(?![/])[A-Za-z0-9._~/?&=%:@+-]{0,1000}")


def local_path(text: str | None) -> str:
    r"""Return where to go on this host, or where everybody goes if ``text`` leads elsewhere.

    >>> local_path("/ui/analytics?page=2"), local_path("//evil.example"), local_path("/\\evil")
    ('/ui/analytics?page=2', '/', '/')
    >>> local_path("https://evil.example"), local_path(None)
    ('/', '/')
    """
    return text if text is not None and _LOCAL_PATH.fullmatch(text) else HOME


def query_of(request: Request[AppState]) -> Fields:
    """Return the fields of the address.

    Raises:
        FormRefused: There are too many.
    """
    return _parse(request.scope["query_string"])


async def form_of(
    request: Request[AppState], max_bytes: int = _MAX_FORM_BYTES, max_fields: int = _MAX_FIELDS
) -> Fields:
    """Return the fields of a form that this host's own page has sent.

    Args:
        request: It.
        max_bytes: No more are read.
        max_fields: No more are taken.

    Raises:
        FormRefused: Another page has sent it, or it is no form.
        TooLarge: It is larger than any of ours.
        ClientGone: As :func:`read_body` raises it, and so for its other errors.
    """
    require_own_page(request)
    return await read_form(request, max_bytes, max_fields)


async def read_form(
    request: Request[AppState], max_bytes: int = _MAX_FORM_BYTES, max_fields: int = _MAX_FIELDS
) -> Fields:
    """Return the fields of a form, whoever sent it.

    Raises:
        FormRefused: It is no form.
        TooLarge: It is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise FormRefused(f"send a form here: {_FORM}")
    return _parse(await read_body(request.receive, "a form", max_bytes), max_fields)


def require_own_page(request: Request[AppState]) -> None:
    """Return if a page of this host has sent the request: browsers say which has, always.

    Raises:
        FormRefused: Another has, or nothing says which.
    """
    own = base_url(request.scope, headers_of(request.scope))
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    if request.headers.get("origin") != own or fetched != "same-origin":
        raise FormRefused(
            f"this was not sent by a page of {own}: open the page here, and try again"
        )


def _parse(data: bytes, max_fields: int = _MAX_FIELDS) -> Fields:
    try:
        text = data.decode("latin-1")
        return Fields(parse_qsl(text, keep_blank_values=True, max_num_fields=max_fields))
    except ValueError as exc:
        raise FormRefused(f"a form has at most {max_fields} fields") from exc
