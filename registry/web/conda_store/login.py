"""Logging in and out, as conda-store's pages, its command line and scripts do it.

::

    GET  /login           a page with name and password; or on to the service's own page, where
                          people log in at a provider
    POST /login           by the page's form, or by a program with JSON or a form
    GET  /oauth_callback  back from the service's own page, with its login: here is the cookie
    POST /logout          of the browser, on all pages of the service

The cookie is a child of the browser's login, good as a Bearer token too, and ends with it.

Nobody is to be logged in as somebody else by a page of another host, so what a browser sends is
taken from pages of this host, or of those in the settings, alone. Browsers say with each POST which
page it is of; what says nothing is a program, which acts for nobody but itself. There is no secret
field in the form: scripts that send name and password alone go on working.

Source:
    conda-store-server 2025.2.2, ``_internal/server/views``, ``server/auth.py``.
"""

import re
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from starlette.types import ASGIApp

from registry.auth.child_tokens import ChildToken
from registry.auth.policy import Caller
from registry.auth.secret import is_token
from registry.auth.sessions import SESSION_SECONDS
from registry.errors import ParameterInvalid, Unauthorized
from registry.web.access import log_in
from registry.web.address import base_url
from registry.web.asgi.headers import client_address, headers_of
from registry.web.asgi.responses import json_answer
from registry.web.browser.forms import HOME, local_path, read_form
from registry.web.browser.page import page
from registry.web.browser.session import (
    SESSION_NUMBER,
    cookies_of,
    log_browser_in,
    log_browser_out,
    login_of,
    name_of,
    see_other,
)
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.identity import is_browser, require_trusted_page

_FORM: Final = "application/x-www-form-urlencoded"
_LOGIN: Final = "/login/"
_BACK: Final = "/oauth_callback/"
#: An address of a page: nothing in it that browsers read in two ways.
_PAGE: Final = re.compile(
    r"(?P<origin>https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?)(/[A-Za-z0-9._~/?&=%:@+,#-]{0,1000})?"
)
#: The most that is read of a name or a password.
_MAX_TEXT: Final = 4096


async def get_login(call: Call) -> ASGIApp:
    """Answer the page where people log in; whoever has goes on.

    Raises:
        LoginRefused: There is nothing to log in to, or it could be read on its way.
    """
    request, target = call.request, _target(call, call.first("next"))
    login, cookies = login_of(request), cookies_of(request)
    cookies.require_safe()
    if name_of(request) is not None:
        return _with_cookie(call, target)
    if login.oidc is not None:
        return see_other(f"/login?next={quote(_back(call, target), safe='')}")
    return _screen(call, target)


async def post_login(call: Call) -> ASGIApp:
    """Log somebody in by name and password.

    Raises:
        Unauthorized: They are wrong.
        FormRefused: A page of another host has sent them.
        ParameterInvalid: They are not sent as JSON, nor as a form.
        TooManyLogins: They have to wait before they log in again.
    """
    request = call.request
    require_trusted_page(request, call.face.origins)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _FORM and is_browser(request):
        return await _log_in_by_page(call)
    sent = await read_form(request) if kind == _FORM else await call.document()
    line = await _log_in(call, _text(sent, "username"), _text(sent, "password"))
    wanted = sent.get("next") if kind == _FORM else None
    target = _target(call, wanted or call.first("next"))
    if kind == _FORM:
        return see_other(target, line)
    if not _PAGE.fullmatch(target):
        target = base_url(request.scope, headers_of(request.scope)) + target
    return json_answer(200, {"status": "ok", "data": {"redirect_url": target}}, [line])


async def get_callback(call: Call) -> ASGIApp:
    """Give the cookie to whoever comes back from the service's own page, having logged in.

    Raises:
        LoginRefused: There is nothing to log in to, or it could be read on its way.
    """
    target = _target(call, call.first("next"))
    cookies_of(call.request).require_safe()
    login_of(call.request)
    if name_of(call.request) is None:
        return see_other(f"{call.face.prefix}{_LOGIN}?next={quote(target, safe='')}")
    return _with_cookie(call, target)


async def post_logout(call: Call) -> ASGIApp:
    """End the login of the browser, wherever in the service it was begun.

    Raises:
        FormRefused: A page of another host has sent this.
    """
    request = call.request
    login_of(request)
    require_trusted_page(request, call.face.origins)
    number = request.scope.get(SESSION_NUMBER)
    if number is not None:
        await call.api.ask("DELETE", f"/sessions/{number}")
    await log_browser_out(request)
    cookies = cookies_of(request)
    lines = [cookies.drop_conda_store(), cookies.drop_session()]
    return see_other(_target(call, call.first("next")), *lines)


async def _log_in(call: Call, name: str, password: str) -> tuple[bytes, bytes]:
    """Log a program in, or a page's script, and return the line with its cookie."""
    request = call.request
    login, cookies = login_of(request), cookies_of(request)
    if is_browser(request):
        cookies.require_safe()
    caller = await log_in(request.scope, name, password)
    if caller.identity is None:
        raise Unauthorized("send a username and a password")
    if is_token(password):
        child = _of_token(call, caller)
    else:
        address = client_address(request.scope)
        await login.accounts.arrive_by_password(caller.identity.name, address)
        secret = await login.sessions.open(caller.identity.name, address)
        child = _of_session(call, caller.identity.name, login.sessions.number(secret))
    return cookies.keep_conda_store(*_value(call, child))


async def _log_in_by_page(call: Call) -> ASGIApp:
    """Log a browser in, on all pages of the service, and show what was wrong if it is."""
    request = call.request
    login, cookies = login_of(request), cookies_of(request)
    cookies.require_safe()
    form = await read_form(request)
    name, password = form.get("username", ""), form.get("password", "")
    target = _target(call, form.get("next") or call.first("next"))
    if is_token(password):
        return _screen(call, target, name, "a token is for programs: log in with your password")
    try:
        caller = await log_in(request.scope, name, password)
    except Unauthorized as problem:
        return _screen(call, target, name, problem.message)
    if caller.identity is None:
        return _screen(call, target, name, "log in with a name and a password")
    await login.accounts.arrive_by_password(caller.identity.name, client_address(request.scope))
    return await log_browser_in(request, caller.identity.name, _back(call, target))


def _screen(call: Call, target: str, name: str = "", why: str = "") -> ASGIApp:
    return page(
        call.request,
        "conda_store_login.html",
        status=401 if why else 200,
        action=call.face.prefix + _LOGIN,
        next_page=target,
        name=name[:64],
        why=why,
    )


def _target(call: Call, text: str | None) -> str:
    """Return where to go: a page of this host, or of one in the settings; else the usual one."""
    home = f"{call.face.prefix}/ui/" if call.face.ui is not None else HOME
    if text is None:
        return home
    if local_path(text) == text:
        return text
    found = _PAGE.fullmatch(text)
    own = base_url(call.request.scope, headers_of(call.request.scope))
    return text if found and found["origin"] in {own, *call.face.origins} else home


def _back(call: Call, target: str) -> str:
    return f"{call.face.prefix}{_BACK}?next={quote(target, safe='')}"


def _with_cookie(call: Call, target: str) -> ASGIApp:
    """Send a browser on that has logged in, with the cookie."""
    request = call.request
    name = name_of(request)
    assert name is not None, "whoever has not logged in has none"
    child = _of_session(call, name, request.scope[SESSION_NUMBER])
    line = cookies_of(request).keep_conda_store(*_value(call, child))
    if _PAGE.fullmatch(target):
        return page(request, "conda_store_onward.html", lines=[line], target=target)
    return see_other(target, line)


def _of_session(call: Call, name: str, number: int | None) -> ChildToken:
    access = call.services.access
    identity = access.named(name).identity
    parent = access.entitlements.parent_token(number) if number is not None else None
    if identity is None or parent is None:
        raise Unauthorized("the login has ended: log in again")
    ends = parent.expires_at or _usual_end(call)
    return ChildToken(name, parent.id, identity.generation, (), ends, is_login=True)


def _usual_end(call: Call) -> datetime:
    now = call.services.access.entitlements.now()
    return datetime.fromtimestamp(now + SESSION_SECONDS, UTC)


def _of_token(call: Call, caller: Caller) -> ChildToken:
    """Return the child of a token that was sent in the place of a password."""
    assert caller.identity is not None
    child, known = caller.child, [at for at in (caller.expires_at, caller.identity.expires) if at]
    return ChildToken(
        caller.identity.name,
        caller.token.id if caller.token is not None else None,
        caller.identity.generation,
        child.limits if child is not None else (),
        min([_usual_end(call), *known]),
        child.primary_namespace if child is not None else None,
    )


def _value(call: Call, child: ChildToken) -> tuple[str, int]:
    left = child.expires_at.timestamp() - call.services.access.entitlements.now()
    return call.services.access.write_child(child), max(0, int(left))


def _text(document: Any, name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ParameterInvalid(f'\'{name}\' has to be a text, such as {{"{name}": "ada"}}')
    return value


ROUTES: Final[Routes] = MappingProxyType(
    {
        "/login": {"GET": get_login, "POST": post_login},
        "/logout": {"POST": post_logout},
        "/oauth_callback": {"GET": get_callback},
    }
)
