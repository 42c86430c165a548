"""The ASGI application at ``/v2``.

It routes by itself: Starlette's path patterns match names that the protocol does not know, and its
404 and 405 are no OCI errors.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError
from registry.distribution import handlers
from registry.distribution.errors import FAILURE, error_answer
from registry.distribution.handlers import Call
from registry.distribution.healing import healing
from registry.distribution.paths import TEMPLATES, Kind, belongs_here, parse_path
from registry.errors import BlobUnavailable, RegistryError, Unsupported
from registry.web.boundary import ErrorBoundary
from registry.web.gone import ClientGone
from registry.web.headers import RequestHeaders, headers_of
from registry.web.observe import ROUTE
from registry.web.services import services_of
from registry.web.waiting import HOP_SECONDS

Handler = Callable[[Call], Awaitable[ASGIApp]]

_READ_ONLY: Final = (
    "nothing can be pushed or deleted here: this registry makes its images itself,"
    " from the conda packages that their names list"
)


class Distribution:
    """Answers everything below ``/v2``; each error is an OCI error, whatever the address."""

    def __init__(self, *, hop_seconds: float = HOP_SECONDS) -> None:
        """Make the face.

        Args:
            hop_seconds: How long a pull waits for its image before it is sent round again.
        """
        self._handlers: dict[Kind, Handler] = {
            "api": handlers.get_api,
            "manifest": healing(
                partial(handlers.get_manifest, hop_seconds=hop_seconds), hop_seconds=hop_seconds
            ),
            "blob": healing(handlers.get_blob, hop_seconds=hop_seconds),
            "tags": handlers.list_tags,
            "referrers": handlers.list_referrers,
            "upload": handlers.get_upload,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = headers_of(scope)
        try:
            answer = await self._answer(scope, receive, headers)
        except (BuilderError, RegistryError) as error:
            answer = error_answer(error, method=scope["method"], headers=headers)
        except ClientGone:
            return
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, headers: RequestHeaders) -> ASGIApp:
        if scope["method"] not in {"GET", "HEAD"}:
            raise Unsupported(_READ_ONLY)
        target = parse_path(scope["path"])
        scope[ROUTE] = TEMPLATES[target.kind]
        call = Call(scope, receive, target, headers, services_of(scope))
        try:
            return await self._handlers[target.kind](call)
        except BuilderError as exc:
            # The client has the manifest already: it is to come again for the rest.
            if target.kind == "blob" and exc.transient:
                raise BlobUnavailable(exc.message) from exc
            raise


class DistributionFirst:
    """Middleware that takes what is addressed to ``/v2`` out of the way of the other routes.

    A ``Mount`` would not match ``/v2`` itself, nor names with a line break in them.
    """

    def __init__(self, app: ASGIApp, *, face: ASGIApp) -> None:
        self._app = app
        self._face = ErrorBoundary(face, failure=FAILURE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        is_ours = scope["type"] == "http" and belongs_here(scope["path"])
        await (self._face if is_ours else self._app)(scope, receive, send)
