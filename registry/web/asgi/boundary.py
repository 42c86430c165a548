"""The last resort: what nobody foresaw becomes an answer that tells nothing of the inside."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger("registry.web")


class ErrorBoundary:
    """Logs what an application raises and answers ``failure`` instead.

    Once an answer has begun it can only be cut short: then the error goes on to the server, which
    closes the connection, and the client sees that bytes are missing.

    Args:
        app: What may fail.
        failure: Sends the answer with status 500.
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
