"""Logging in a program that has no browser: the page where a person confirms, and what it asks.

Source:
    RFC 8628, whose names of errors these answers have.
"""

import math
import re
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp

from registry.auth.device_logins import (
    INTERVAL_SECONDS,
    LIFETIME_SECONDS,
    DeviceLogin,
    digest_of,
    read_user_code,
    shown_user_code,
)
from registry.clients.address import client_at
from registry.clients.token_buckets import TokenBuckets
from registry.errors import LoginRefused, TooManyLogins
from registry.web.address import base_url
from registry.web.asgi.headers import client_address, headers_of
from registry.web.asgi.responses import BytesResponse, header, json_answer
from registry.web.browser.forms import form_of, query_of, read_form
from registry.web.browser.session import (
    BrowserRequest,
    login_of,
    name_of,
    require_name,
    see_other,
)
from registry.web.login.screens import device_screen, outcome
from registry.web.noting import note

PAGE: Final = "/login/device"
#: How many codes one person, or one address, may try that do not exist: at once, and each minute.
MAX_WRONG_CODES: Final = 10
#: How many logins a client may begin.
MAX_BEGUN: Final = 20
#: How many device codes one address may ask for that do not exist: at once, and each minute.
MAX_LOST_CODES: Final = 60
_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
#: What a program may call itself: it is shown to whoever confirms.
_CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@()/-]{0,63}")
_NO_STORE: Final = header("cache-control", "no-store")
_LONGEST_CODE: Final = 256


class DeviceLimits:
    """Bounds how often codes are made, guessed and asked for; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._begun = TokenBuckets(MAX_BEGUN, MAX_BEGUN, clock)
        self._wrong = TokenBuckets(MAX_WRONG_CODES, MAX_WRONG_CODES, clock)
        self._asked = TokenBuckets(2, 60 / INTERVAL_SECONDS * 1.5, clock)
        self._lost = TokenBuckets(MAX_LOST_CODES, MAX_LOST_CODES, clock)

    def begin(self, request: BrowserRequest) -> None:
        """Count a login that is begun.

        Raises:
            TooManyLogins: There were too many from that address.
        """
        _require(self._begun.take(_client(request)), "too many logins were begun")

    def guess(self, request: BrowserRequest, name: str) -> None:
        """Count a code that is about to be looked up.

        Raises:
            TooManyLogins: There were too many that do not exist.
        """
        for key in (_client(request), b"user " + name.encode()):
            _require(self._wrong.take(key), "too many codes were wrong")

    def was_right(self, request: BrowserRequest, name: str) -> None:
        """Count the code no more: it exists."""
        for key in (_client(request), b"user " + name.encode()):
            self._wrong.give_back(key)

    def asks_too_often(self, request: BrowserRequest, device_code: str) -> bool:
        """Count a question of a program, and tell whether it came too soon.

        Questions are counted by their code, and by their address until it is known to exist: each
        is looked up in the database, and random codes come as fast as they are sent.
        """
        if self._asked.take(digest_of(device_code).encode()) > 0:
            return True
        return self._lost.take(_client(request)) > 0

    def was_there(self, request: BrowserRequest) -> None:
        """Count the question's code no more for its address: it exists."""
        self._lost.give_back(_client(request))


async def get_device(request: BrowserRequest, limits: DeviceLimits) -> ASGIApp:
    """Answer the page where a code is typed, or what is known of the program that has it."""
    login = login_of(request)
    typed = query_of(request).get("code")
    code = read_user_code(typed) if typed else None
    name = name_of(request)
    if name is None:
        target = PAGE if code is None else f"{PAGE}?code={code}"
        return see_other(f"/login?next={target.replace('?', '%3F').replace('=', '%3D')}")
    if typed is None:
        return device_screen(request)
    limits.guess(request, name)
    found = await login.devices.find(code) if code is not None else None
    if found is None:
        return _unknown(request)
    limits.was_right(request, name)
    return device_screen(request, found)


async def post_device(request: BrowserRequest, limits: DeviceLimits) -> ASGIApp:
    """Take the decision of whoever has logged in with this browser."""
    login = login_of(request)
    form = await form_of(request)
    name = require_name(request)
    code, decision = read_user_code(form.get("code", "")), form.get("decision")
    if decision not in {"grant", "deny"}:
        raise LoginRefused("say yes or no: open the page again")
    limits.guess(request, name)
    is_granted = decision == "grant"
    if code is None or not await login.devices.decide(code, name if is_granted else None):
        return _unknown(request)
    limits.was_right(request, name)
    note(request.scope, "login.confirmed", actor=name, detail={"granted": is_granted})
    said = f"It acts as {name} in a moment." if is_granted else "It has got no access."
    heading = "Logged in" if is_granted else "Refused"
    return outcome(request, heading, said, "You can close this page.", onward=None)


async def begin(request: BrowserRequest, limits: DeviceLimits) -> ASGIApp:
    """Answer the codes of a new login."""
    login = login_of(request)
    limits.begin(request)
    client = (await read_form(request)).get("client_id", "pullforge")
    if not _CLIENT.fullmatch(client):
        return _oauth_error("invalid_request", "client_id has up to 64 letters, digits and blanks")
    device_code, waiting = await login.devices.begin(client, client_address(request.scope))
    page = base_url(request.scope, headers_of(request.scope)) + PAGE
    shown = shown_user_code(waiting.user_code)
    content = {
        "device_code": device_code,
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?code={shown}",
        "expires_in": LIFETIME_SECONDS,
        "interval": INTERVAL_SECONDS,
    }
    return json_answer(200, content, [_NO_STORE])


async def give_token(request: BrowserRequest, limits: DeviceLimits) -> ASGIApp:
    """Answer a personal token, or why there is none yet."""
    login = login_of(request)
    form = await read_form(request)
    device_code = form.get("device_code", "")
    if form.get("grant_type") != _GRANT:
        return _oauth_error("unsupported_grant_type", f"grant_type has to be {_GRANT}")
    if not 0 < len(device_code) <= _LONGEST_CODE:
        return _oauth_error("invalid_request", "there is no device_code")
    if limits.asks_too_often(request, device_code):
        return _oauth_error("slow_down", f"ask every {INTERVAL_SECONDS + 5} seconds")
    found = await login.devices.take(device_code)
    if found is not None:
        limits.was_there(request)
    if found is None or found.name is None:
        return _oauth_error(*_why_none(found))
    token = await login.sessions.create_token(
        found.name, found.client, client_address(request.scope)
    )
    content = {"access_token": token, "token_type": "Bearer", "name": found.name}
    return json_answer(200, content, [_NO_STORE])


def _why_none(found: DeviceLogin | None) -> tuple[str, str]:
    """Return why there is no token, as RFC 8628 calls it and as a sentence."""
    if found is None:
        return "expired_token", "the code is not valid any more: begin again"
    if found.state == "waiting":
        return "authorization_pending", "nobody has confirmed the code yet"
    return "access_denied", "whoever was asked said no"


def _unknown(request: BrowserRequest) -> BytesResponse:
    why = "no program waits with this code: it may have expired, or be mistyped"
    return device_screen(request, problem=why, status=404)


def _oauth_error(code: str, description: str) -> BytesResponse:
    content = {"error": code, "error_description": description}
    return json_answer(400, content, [_NO_STORE])


def _client(request: BrowserRequest) -> bytes:
    return client_at(client_address(request.scope)).encode()


def _require(wait: float, what: str) -> None:
    if wait:
        seconds = math.ceil(wait)
        raise TooManyLogins(f"{what}: try again in {seconds} s", seconds)
