"""Logging a browser in, by password or at a provider, and out."""

from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.types import ASGIApp

from registry.auth.secret import is_token
from registry.clients.address import client_at
from registry.clients.token_buckets import TokenBuckets
from registry.errors import ProviderUnavailable, TooManyLogins, Unauthorized
from registry.web.access import log_in
from registry.web.address import base_url
from registry.web.asgi.headers import client_address, headers_of
from registry.web.browser.forms import form_of, local_path, query_of, require_own_page
from registry.web.browser.session import (
    BrowserRequest,
    cookies_of,
    log_browser_in,
    log_browser_out,
    login_of,
    name_of,
    see_other,
)
from registry.web.login.screens import login_screen, logout_screen, outcome
from registry.web.noting import note

CALLBACK: Final = "/login/callback"
#: How often an address may begin or end a login at the provider: at once, and each minute.
MAX_AT_PROVIDER: Final = 60


class ProviderLimit:
    """Bounds what one address makes this server ask the provider; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._buckets = TokenBuckets(MAX_AT_PROVIDER, MAX_AT_PROVIDER, clock)

    def take(self, request: BrowserRequest) -> None:
        """Count a request.

        Raises:
            TooManyLogins: There were too many.
        """
        wait = self._buckets.take(client_at(client_address(request.scope)).encode())
        if wait:
            seconds = int(wait) + 1
            raise TooManyLogins(f"too many logins: try again in {seconds} s", seconds)


async def get_login(request: BrowserRequest) -> ASGIApp:
    """Answer the page where people log in, or see that they have."""
    login_of(request)
    if name_of(request) is not None:
        return logout_screen(request, "Logged in")
    cookies_of(request).require_safe()
    return login_screen(request, local_path(query_of(request).get("next")))


async def post_login(request: BrowserRequest) -> ASGIApp:
    """Log somebody in by name and password."""
    login = login_of(request)
    cookies_of(request).require_safe()
    form = await form_of(request)
    name, password = form.get("name", ""), form.get("password", "")
    next_path = local_path(form.get("next"))
    failed = partial(login_screen, request, next_path, name=name[:64])
    if is_token(password):
        return failed(why="a token is for programs: log in with your password")
    try:
        caller = await log_in(request.scope, name, password)
    except Unauthorized as problem:
        return failed(why=problem.message)
    if caller.identity is None:
        return failed(why="log in with a name and a password")
    await login.accounts.arrive_by_password(caller.identity.name, client_address(request.scope))
    return await log_browser_in(request, caller.identity.name, next_path)


async def get_provider(request: BrowserRequest, limit: ProviderLimit) -> ASGIApp:
    """Send the browser to the provider."""
    oidc = login_of(request).oidc
    if oidc is None:
        return see_other("/login")
    cookies = cookies_of(request)
    cookies.require_safe()
    limit.take(request)
    url, attempt = await oidc.begin(_callback(request))
    next_path = local_path(query_of(request).get("next"))
    return see_other(url, cookies.keep_attempt(attempt, next_path))


async def get_callback(request: BrowserRequest, limit: ProviderLimit) -> ASGIApp:
    """Log in whom the provider sends back; a browser that was not sent there is sent to begin."""
    login, cookies = login_of(request), cookies_of(request)
    kept = cookies.attempt
    if login.oidc is None or kept is None:
        why = "this login was begun elsewhere, or took too long: begin again"
        return outcome(request, "Not logged in", problem=why, status=400)
    cookies.require_safe()
    limit.take(request)
    attempt, next_path = kept
    done = await login.oidc.finish(attempt, query_of(request), _callback(request))
    name = await login.accounts.arrive(done.person, client_address(request.scope))
    note(request.scope, "login.succeeded", actor=name, detail={"by": "provider"})
    lines = [cookies.drop_attempt(), cookies.keep_hint(done.id_token)]
    return await log_browser_in(request, name, local_path(next_path), lines)


async def get_logout(request: BrowserRequest) -> ASGIApp:
    """Answer the page with the button: a link of another page logs nobody out."""
    login_of(request)
    if name_of(request) is None:
        return see_other("/login")
    return logout_screen(request, "Log out")


async def post_logout(request: BrowserRequest) -> ASGIApp:
    """Log the browser out, here and at the provider."""
    login, cookies = login_of(request), cookies_of(request)
    require_own_page(request)
    hint = cookies.hint
    await log_browser_out(request)
    lines = [cookies.drop_session(), cookies.drop_hint()]
    done = partial(
        outcome,
        request,
        "Logged out",
        "You have logged out.",
        lines=lines,
        onward=("/login", "Log in again"),
    )
    # Who logged in by password has no login at the provider.
    if login.oidc is None or hint is None:
        return done()
    try:
        url = await login.oidc.logout_url(hint, base_url(request.scope, headers_of(request.scope)))
    except ProviderUnavailable as problem:
        return done(problem=problem.message)
    return done(leaves_for=url)


def _callback(request: BrowserRequest) -> str:
    return base_url(request.scope, headers_of(request.scope)) + CALLBACK
