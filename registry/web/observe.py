"""One middleware around everything: request id, access log and metrics.

They are one so that each request is wrapped once: three layers were a third of the time that a warm
manifest takes.
"""

import random
import re
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.clients.address import client_at
from registry.images.fairness import current_client
from registry.telemetry import AccessLog, AnsweredRequest, StructuredAccessLog
from registry.web.asgi.headers import client_address
from registry.web.services import services_of

#: The key of the scope under which a face leaves the template of its route, for metrics.
ROUTE: Final = "pullforge.route"

#: The key of the scope under which the name of who sent the request is left, if they logged in.
USER: Final = "pullforge.user"

#: What proxies send: no blanks, no quotes, nothing that could forge a log line.
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
#: The methods that HTTP knows: no other becomes a label or a name.
METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
#: nginx's number for a client that left before its answer, or was left by a server that stops.
_CLIENT_GONE: Final = 499


class Observe:
    """Gives each request an id, and writes one log line and its metrics when it is answered.

    The id is the client's ``X-Request-Id`` if that is sane; it is answered, and bound to every log
    line written meanwhile.

    Args:
        app: Answers.
        access_log: Where the lines go; ``None``: to the other lines.
    """

    def __init__(self, app: ASGIApp, *, access_log: AccessLog | None = None) -> None:
        self._app = app
        self._access_log = access_log or StructuredAccessLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, user_agent = _identify(scope)
        observed = _Observed(send, request_id.encode("ascii"))
        metrics = services_of(scope).metrics
        # Whoever logs in is known by their name from then on.
        current_client.set(client_at(client_address(scope)) or "unknown")
        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        metrics.request_started()
        started = time.perf_counter()
        try:
            await self._app(scope, receive, observed.send)
        except Exception:
            observed.status = observed.status or 500
            raise
        finally:
            seconds = time.perf_counter() - started
            status = observed.status or _CLIENT_GONE
            method = scope["method"] if scope["method"] in METHODS else "other"
            metrics.request_ended(route_of(scope), method, status, seconds, observed.sent_bytes)
            self._access_log.answered(
                AnsweredRequest(
                    request_id,
                    method,
                    scope["path"],
                    status,
                    seconds,
                    observed.sent_bytes,
                    user_agent.decode("latin-1"),
                    scope.get(USER),
                )
            )
            structlog.contextvars.reset_contextvars(**tokens)


class _Observed:
    """Notes what is sent, and adds the request id to the headers."""

    __slots__ = ("_request_id", "_send", "sent_bytes", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        #: 0 until there is one.
        self.status = 0
        self.sent_bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            message = {**message, "headers": headers}
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


def new_request_id() -> str:
    """Return an id that no other request has; it is no secret."""
    return f"{random.getrandbits(64):016x}"


def sane_request_id(sent: bytes) -> str | None:
    """Return the id that a client sent, or ``None`` if it is not fit for a log line."""
    return sent.decode("ascii") if _REQUEST_ID.fullmatch(sent) else None


def _identify(scope: Scope) -> tuple[str, bytes]:
    """Return the request's id, and its User-Agent."""
    request_id, user_agent = None, b""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            user_agent = value
        elif name == b"x-request-id":
            request_id = sane_request_id(value) or request_id
    return request_id or new_request_id(), user_agent


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, e.g. ``"/healthz"``."""
    template = scope.get(ROUTE) or getattr(scope.get("route"), "path", None)
    return template if isinstance(template, str) else "other"
