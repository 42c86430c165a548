"""The address by which clients reach this server."""

import re
from typing import Final

from starlette.types import Scope

from registry.web.asgi.headers import RequestHeaders
from registry.web.services import services_of

_HOST: Final = re.compile(
    r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?"
)


def host_of(headers: RequestHeaders) -> str | None:
    """Return the host, with its port, that a request names; ``None`` if it is none.

    >>> host_of({"host": "registry.example:5000"}), host_of({"host": '"><script>'})
    ('registry.example:5000', None)
    """
    host = headers.get("host", "")
    return host if _HOST.fullmatch(host) else None


def base_url(scope: Scope, headers: RequestHeaders) -> str:
    """Return where clients find this server, without a slash at the end.

    It is what the administrator set, else what the request itself names. Its scheme is that of
    the proxy in front, if that is one whose headers are trusted.
    """
    public_url = services_of(scope).public_url
    return public_url or f"{scope['scheme']}://{host_of(headers) or 'localhost'}"
