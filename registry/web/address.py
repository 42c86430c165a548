"""The address by which clients reach this server."""

import re
from typing import Final

from registry.web.headers import RequestHeaders

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
