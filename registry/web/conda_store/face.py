"""Where conda-store's wire is, and which pages of other hosts may use it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.web.asgi.headers import headers_of
from registry.web.asgi.responses import BytesResponse, header

#: What a page of another host may send, beside what every page may.
_METHODS: Final = "GET, HEAD, POST, PUT, DELETE"
_HEADERS: Final = "Authorization, Content-Type"
#: How long a browser need not ask again, in seconds.
_MAX_AGE: Final = "600"


@dataclass(frozen=True, slots=True)
class Face:
    """Where it is, and for whom."""

    #: What comes before its addresses; of a request at the root, empty. ``None``: it is nowhere.
    path: str | None = "/conda-store"
    #: Whether it also answers at the root what means nothing else there.
    is_at_root: bool = False
    #: The directory with the interface of conda-store; ``None``: there is none.
    ui: Path | None = None
    #: From which hosts pages may use it, as browsers write them.
    origins: frozenset[str] = frozenset()
    #: The directory of the store, whose disk boards show; ``None``: it is in a bucket.
    disk: Path | None = None

    @property
    def prefix(self) -> str:
        """What comes before its addresses, as text."""
        return self.path or ""


def is_for_root(address: str) -> bool:
    """Tell whether an address of conda-store, without its slash, is answered at the root, too.

    Each address there keeps one meaning: none of these is one of the service's own.

    >>> is_for_root("/api/v1/build/{build_id}"), is_for_root("/metrics")
    (True, False)
    """
    return address.startswith(("/api/", "/oauth_callback", *WITH_SLASH))


#: Without a slash, these are the service's own: with one, they are conda-store's.
WITH_SLASH: Final = ("/login", "/logout", "/api/v1/usage")


class CrossOrigin:
    """Lets pages of some other hosts read answers, as conda-store lets pages of all hosts.

    Of what is sent from elsewhere, nothing is answered otherwise than to programs: browsers keep
    the answer from the page.

    Args:
        app: Answers.
        origins: The hosts, as browsers write them.

    Source:
        Fetch Standard, 3.3 (CORS protocol).
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        lines = headers_of(scope)
        origin = lines.get("origin")
        if origin is None or origin not in self._origins:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and "access-control-request-method" in lines:
            await _allowed(origin)(scope, receive, send)
            return

        async def send_with_lines(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["access-control-allow-origin"] = origin
                headers["access-control-allow-credentials"] = "true"
                headers.add_vary_header("Origin")
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, send_with_lines)


def _allowed(origin: str) -> BytesResponse:
    """Return what a browser asks for before it sends what a page wants."""
    return BytesResponse(
        204,
        [
            header("access-control-allow-origin", origin),
            header("access-control-allow-credentials", "true"),
            header("access-control-allow-methods", _METHODS),
            header("access-control-allow-headers", _HEADERS),
            header("access-control-max-age", _MAX_AGE),
            header("vary", "Origin"),
        ],
    )
