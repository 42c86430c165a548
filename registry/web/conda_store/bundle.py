"""The finished interface of conda-store (conda-store-ui), where an administrator wants it.

It is for everybody, as it tells nothing: what it shows, it asks for as whoever has logged in.
Nothing of its directory is answered but its two files.
"""

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.errors import EndpointUnknown, RegistryError
from registry.web.api.errors import status_of
from registry.web.asgi.exact_route import exact_route
from registry.web.asgi.headers import headers_of
from registry.web.asgi.responses import BytesResponse, header
from registry.web.conda_store.answers import error_answer
from registry.web.conda_store.face import Face
from registry.web.observe import ROUTE
from registry.web.statuses import handler_for, lines_for_browsers

#: As conda-store has them.
_STATIC: Final = "/static/conda-store-ui"
_UI: Final = "/ui"
_CONFIG: Final = "config.js"
_TYPES: Final = {
    "main.js": "text/javascript; charset=utf-8",
    "main.css": "text/css; charset=utf-8",
    _CONFIG: "text/javascript; charset=utf-8",
}
#: It writes styles into its page as it runs. Fonts of another host are not fetched: who looks at
#: this page is nobody else's business.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_NOSNIFF: Final = header("x-content-type-options", "nosniff")
_PAGE_LINES: Final = (
    header("content-type", "text/html; charset=utf-8"),
    header("content-security-policy", _POLICY),
    _NOSNIFF,
    header("referrer-policy", "same-origin"),
    header("cache-control", "no-cache"),
)
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>conda-store</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<script src="{static}/config.js"></script>
<script defer src="{static}/main.js"></script>
<link href="{static}/main.css" rel="stylesheet">
<link href="data:," rel="icon">
</head>
<body></body>
</html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is answered from memory."""

    media_type: str
    content: bytes
    compressed: bytes
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "_File":
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(_TYPES[name], content, gzip.compress(content, 9, mtime=0), f'"{digest}"')

    def answer(self, scope: Scope) -> BytesResponse:
        lines = headers_of(scope)
        about = [
            header("etag", self.etag),
            header("cache-control", "no-cache"),
            header("vary", "accept-encoding"),
        ]
        if lines.get("if-none-match") == self.etag:
            return BytesResponse(304, about)
        headers = [header("content-type", self.media_type), _NOSNIFF, *about]
        if "gzip" in lines.get("accept-encoding", ""):
            headers.append(header("content-encoding", "gzip"))
            return BytesResponse(200, headers, self.compressed)
        return BytesResponse(200, headers, self.content)


class _Shown:
    """What one address answers to everybody.

    Args:
        path: The address, for metrics.
        answer: Returns what is answered.
    """

    def __init__(self, path: str, answer: Callable[[Scope], ASGIApp]) -> None:
        self._path = path
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        scope[ROUTE] = self._path
        try:
            handler = handler_for(scope["method"], {"GET": self._answer, "HEAD": self._answer})
            answer = handler(scope)
        except RegistryError as error:
            answer = error_answer(status_of(type(error)), error.message, lines_for_browsers(error))
        await answer(scope, receive, send)


def bundle_routes(face: Face) -> list[Route]:
    """Return the routes of the interface, and of whatever else is below the face's path.

    Args:
        face: Where it is, somewhere below the root.

    Raises:
        OSError: Its files cannot be read.
    """
    prefix = face.prefix
    home = _see_other(f"{prefix}{_UI}/" if face.ui is not None else "/")
    shown: dict[str, Callable[[Scope], ASGIApp]] = {prefix: home, f"{prefix}/": home}
    if face.ui is not None:
        files = {name: (face.ui / name).read_bytes() for name in ("main.js", "main.css")}
        files[_CONFIG] = _config(prefix)
        for name, content in files.items():
            shown[f"{prefix}{_STATIC}/{name}"] = _File.of(name, content).answer
        page = _page(prefix)
        shown |= {f"{prefix}{_UI}": page, f"{prefix}{_UI}/{{rest:path}}": page}
    shown[f"{prefix}/{{rest:path}}"] = _nothing
    return [exact_route(path, _Shown(path, answer)) for path, answer in shown.items()]


def _see_other(path: str) -> Callable[[Scope], ASGIApp]:
    """Return what sends a browser to another address of this host."""
    answer = BytesResponse(303, [header("location", path), header("cache-control", "no-cache")])
    return lambda _scope: answer


def _page(prefix: str) -> Callable[[Scope], ASGIApp]:
    """Return what answers the page, which finds out itself what its address shows."""
    text = _PAGE.format(static=f"{prefix}{_STATIC}").encode()
    answer = BytesResponse(200, [*_PAGE_LINES], text)
    return lambda _scope: answer


def _config(prefix: str) -> bytes:
    """Return the script that tells the interface where all is."""
    config = {
        "REACT_APP_CONTEXT": "single-page-app",
        "REACT_APP_AUTH_METHOD": "cookie",
        "REACT_APP_AUTH_TOKEN": "",
        "REACT_APP_STYLE_TYPE": "green-accent",
        "REACT_APP_SHOW_LOGIN_ICON": "true",
        "REACT_APP_API_URL": f"{prefix}/",
        "REACT_APP_LOGIN_PAGE_URL": f"{prefix}/login?next=",
        "REACT_APP_LOGOUT_PAGE_URL": f"{prefix}/logout?next={prefix}{_UI}/",
        "REACT_APP_URL_BASENAME": f"{prefix}{_UI}",
    }
    return f"var condaStoreConfig = {json.dumps(config, indent=2)};\n".encode()


def _nothing(scope: Scope) -> ASGIApp:
    """Say that there is nothing, as this face says it."""
    raise EndpointUnknown(
        f"there is nothing at '{scope['path'][:100]}': docs/conda-store.md has the addresses of"
        " conda-store that are answered here"
    )
