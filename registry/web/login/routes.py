"""The addresses of logging in, and their errors.

::

    GET POST   /login                        name and password, or on to the provider
    GET        /login/oidc                   to the provider
    GET        /login/callback               back from there
    GET POST   /logout                       here and there
    GET POST   /login/device                 confirm the code of a program
    POST       /api/v1/login/device          a program begins
    POST       /api/v1/login/device/token    it asks for its token

They are for everybody: who somebody is, and what they may do, is what they find out.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError, DomainError
from registry.errors import (
    BodyTooSlow,
    LoginRefused,
    RegistryError,
    Unauthorized,
    Unsupported,
)
from registry.web.asgi.disconnect import ClientGone
from registry.web.asgi.exact_route import exact_route
from registry.web.asgi.responses import BytesResponse, header, json_answer
from registry.web.browser.session import BrowserRequest
from registry.web.login import device, handlers
from registry.web.login.screens import outcome
from registry.web.noting import note_refusal
from registry.web.observe import ROUTE
from registry.web.statuses import STATUSES, answer_for, handler_for, lines_for_browsers
from registry.web.system_errors import machine_trouble

Handler = Callable[[BrowserRequest], Awaitable[ASGIApp]]

_API: Final = "/api/v1/"
_EXCEPTIONS: Final[dict[type[Exception], int]] = {
    BodyTooSlow: 408,
    Unauthorized: 401,
    Unsupported: 405,
}

#: The methods of each address.
METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "/login": ("GET", "POST"),
    "/login/oidc": ("GET",),
    handlers.CALLBACK: ("GET",),
    "/logout": ("GET", "POST"),
    device.PAGE: ("GET", "POST"),
    "/api/v1/login/device": ("POST",),
    "/api/v1/login/device/token": ("POST",),
}


def login_routes(clock: Callable[[], float] = time.monotonic) -> list[Route]:
    """Return the routes; those below ``/api/v1`` come before that face's own.

    Args:
        clock: Tells seconds that pass, by which tries are counted.
    """
    provider, devices = handlers.ProviderLimit(clock), device.DeviceLimits(clock)
    table: dict[tuple[str, str], Handler] = {
        ("GET", "/login"): handlers.get_login,
        ("POST", "/login"): handlers.post_login,
        ("GET", "/login/oidc"): partial(handlers.get_provider, limit=provider),
        ("GET", handlers.CALLBACK): partial(handlers.get_callback, limit=provider),
        ("GET", "/logout"): handlers.get_logout,
        ("POST", "/logout"): handlers.post_logout,
        ("GET", device.PAGE): partial(device.get_device, limits=devices),
        ("POST", device.PAGE): partial(device.post_device, limits=devices),
        ("POST", "/api/v1/login/device"): partial(device.begin, limits=devices),
        ("POST", "/api/v1/login/device/token"): partial(device.give_token, limits=devices),
    }
    return [
        exact_route(path, _Address(path, {method: table[method, path] for method in methods}))
        for path, methods in METHODS.items()
    ]


class _Address:
    """What one address answers."""

    def __init__(self, path: str, methods: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = {**methods, **({"HEAD": methods["GET"]} if "GET" in methods else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        scope[ROUTE] = self._path
        request: BrowserRequest = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except (BuilderError, RegistryError) as error:
            note_refusal(scope, error)
            answer = _error_answer(request, error, is_api=self._path.startswith(_API))
        except (ClientGone, ClientDisconnect):
            return
        await answer(scope, receive, send)

    async def _answer(self, request: BrowserRequest) -> ASGIApp:
        handler = handler_for(request.method, self._handlers)
        with machine_trouble():
            return await handler(request)


def status_of(error: type[DomainError]) -> int:
    """Return the HTTP status of an error class."""
    return answer_for(error, _EXCEPTIONS, STATUSES)


def _error_answer(
    request: BrowserRequest, error: BuilderError | RegistryError, *, is_api: bool
) -> BytesResponse:
    status, lines = status_of(type(error)), lines_for_browsers(error)
    if not is_api:
        heading = "Not logged in" if isinstance(error, LoginRefused) else "Not now"
        return outcome(request, heading, problem=error.message, status=status, lines=lines)
    # RFC 8628, 3.5 for programs that wait; all else is no answer of that protocol.
    code = "slow_down" if status == 429 else "invalid_request" if status < 500 else "server_error"
    content = {"error": code, "error_description": error.message}
    return json_answer(status, content, [*lines, header("cache-control", "no-store")])
