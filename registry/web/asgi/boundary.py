"""The last resort: what nobody foresaw becomes an answer that tells nothing of the inside."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger("registry.web")


class ErrorBoundary:
    """Logs what an application raises and answers ``failure``, which has status 500, instead.

    An answer that has begun is cut short: the error goes on to the server, which closes the
    connection.
    """

    def __init__(self, app: ASGIApp, *, failure: ASGIApp) -> None:
        self._app = app
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            _log.exception("failed to answer request", path=scope["path"][:300])
            await self._failure(scope, receive, send)
