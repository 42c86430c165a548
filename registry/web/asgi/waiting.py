"""Answering before clients lose patience, for builds that take longer than that.

Engines give up after 30 s without response headers, and follow at most ten redirects. So a pull
that is not ready is sent to the same address again, with a count of how often::

    GET …/manifests/latest          ── 19 s ──→ 307 latest?wait=1
    GET …/manifests/latest?wait=1   ── 19 s ──→ 307 latest?wait=2
      ⋮
    GET …/manifests/latest?wait=9   ── 19 s ──→ 429 Retry-After, or to HEAD 405: go on with GET

The count only rises and ends at nine, whatever the client writes into it. (Measured with docker,
podman, skopeo and containerd: docs/clients.md, section 2.)
"""

import re
from typing import Final
from urllib.parse import quote

from registry.errors import StillBuilding
from registry.web.asgi.responses import BytesResponse, header, json_answer

#: How long one request waits: answers are to come before 20 s.
HOP_SECONDS: Final = 19.0

#: How many redirects there are at most; at the tenth, clients stop.
MAX_HOPS: Final = 9

_COUNT: Final = re.compile(rb"[0-9]{1,4}")
#: What may stand in a query as it is (RFC 3986, 3.4), and escapes that are there already.
_QUERY_SAFE: Final = "!$&'()*+,;=:@/?%-._~"


def hops_of(query: bytes) -> int:
    """Return how often a pull was sent round already.

    >>> hops_of(b"ns=x&wait=3"), hops_of(b"wait=-1"), hops_of(b"wait=99"), hops_of(b"")
    (3, 0, 9, 0)
    """
    counts = [
        int(value)
        for name, _, value in (part.partition(b"=") for part in query.split(b"&"))
        if name == b"wait" and _COUNT.fullmatch(value)
    ]
    return min(max(counts, default=0), MAX_HOPS)


def waiting_redirect(reference: str, query: bytes, error: StillBuilding) -> BytesResponse:
    """Return a redirect to the same address, counted.

    Its address is relative to the last segment, so that it survives proxies that put something
    before ``/v2``. The body is not empty, since containerd counts bytes as progress.

    Args:
        reference: The last segment; with ``./`` in front where it has a colon, which would
            otherwise end the scheme of an absolute address.
        query: Of the request.
        error: Says how far the build is.

    Raises:
        StillBuilding: This was the last.
    """
    hops = hops_of(query)
    if hops >= MAX_HOPS:
        raise error
    others = [part for part in query.split(b"&") if part and part.partition(b"=")[0] != b"wait"]
    parts = [*(quote(part, safe=_QUERY_SAFE) for part in others), f"wait={hops + 1}"]
    headers = [
        header("location", f"{reference}?{'&'.join(parts)}"),
        (b"cache-control", b"no-store"),
    ]
    return json_answer(307, {"status": str(error.progress), "waited": hops + 1}, headers)
