"""Whose browser sent a request, and logging it in and out."""

import hmac
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from registry.errors import LoginRefused
from registry.web.asgi.headers import client_address, headers_of
from registry.web.asgi.responses import BytesResponse, header
from registry.web.browser.cookies import Cookies
from registry.web.observe import USER
from registry.web.services import AppState, LoginServices, services_of

BrowserRequest = Request[AppState]

#: In the scope of a request: the number of the login of the browser that sent it.
SESSION_NUMBER: Final = "pullforge.session"


def login_of(request: BrowserRequest) -> LoginServices:
    """Return what logins are answered from.

    Raises:
        LoginRefused: There is nothing to log in to.
    """
    login = services_of(request.scope).login
    if login is None:
        raise LoginRefused(
            "nobody can log in with a browser here: the administrator has to set PULLFORGE_DATABASE"
        )
    return login


def cookies_of(request: BrowserRequest) -> Cookies:
    """Return what the browser sent, and what changes it."""
    return Cookies(request.scope, headers_of(request.scope))


def name_of(request: BrowserRequest) -> str | None:
    """Return who has logged in with this browser; from memory, so that it ends at once."""
    services = services_of(request.scope)
    secret, _, generation = (cookies_of(request).session or "").partition(".")
    if services.login is None or not secret:
        return None
    name = services.login.sessions.owner(secret)
    if name is None or not hmac.compare_digest(_generation(request, name), generation):
        return None
    if services.access.named(name).identity is None:  # has expired, or is in the auth file no more
        return None
    request.scope[USER] = name
    request.scope[SESSION_NUMBER] = services.login.sessions.number(secret)
    return name


async def log_browser_in(
    request: BrowserRequest, name: str, next_path: str, lines: Sequence[tuple[bytes, bytes]] = ()
) -> BytesResponse:
    """Give the browser a new secret, and send it where it wanted to go.

    Whatever it sent before is worth nothing from then on: nobody can make others log in with a
    secret that he knows.

    Raises:
        LoginRefused: The secret could be read on its way.
        DatabaseUnavailable: It cannot be kept.
    """
    cookies = cookies_of(request)
    cookies.require_safe()
    sessions = login_of(request).sessions
    address = client_address(request.scope)
    await log_browser_out(request)
    secret = await sessions.open(name, address)
    request.scope[USER] = name
    generation = _generation(request, name)
    value = f"{secret}.{generation}" if generation else secret
    return see_other(next_path, cookies.keep_session(value), *lines)


def see_other(target: str, *lines: tuple[bytes, bytes]) -> BytesResponse:
    """Return an answer that sends the browser on."""
    headers = [header("location", target), header("cache-control", "no-store"), *lines]
    return BytesResponse(303, headers)


async def log_browser_out(request: BrowserRequest) -> None:
    """End the login of the browser; harmless if there is none.

    Raises:
        DatabaseUnavailable: It cannot be ended now.
    """
    secret = (cookies_of(request).session or "").partition(".")[0]
    sessions = login_of(request).sessions
    if secret and sessions.owner(secret) is not None:
        await sessions.close(secret, client_address(request.scope))


def _generation(request: BrowserRequest, name: str) -> str:
    """Return what changes with the password of a user of the auth file; empty for others."""
    identity = services_of(request.scope).access.policy.identities.get(name)
    return identity.generation if identity is not None else ""


def require_name(request: BrowserRequest) -> str:
    """Return who has logged in with this browser.

    Raises:
        LoginRefused: Nobody has.
    """
    name = name_of(request)
    if name is None:
        raise LoginRefused("your login has ended: log in again, and repeat what you did")
    return name
