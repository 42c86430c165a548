"""A span for each request; around everything else, and only where traces are recorded."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.web.observe import METHODS, route_of
from registry.web.services import services_of

#: What probes and Prometheus ask every few seconds.
_UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
#: How a client names the trace that its request is part of.
_CONTEXT: Final = frozenset({b"traceparent", b"tracestate"})


class Traced:
    """Records each request as a span, part of the client's trace if it names one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        status = 0

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "other"
        parent = {
            name.decode("ascii"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _CONTEXT
        }
        known = {"http.request.method": method, "url.path": scope["path"]}
        with services_of(scope).traces.span(method, "server", parent, known) as span:
            try:
                await self._app(scope, receive, noting_send)
            finally:
                route = route_of(scope)
                span.rename(f"{method} {route}")
                span.note({"http.route": route})
                if status:
                    span.note({"http.response.status_code": status})
                if status >= 500:
                    span.fail(f"the answer is {status}")
