"""Giving out bearer tokens (distribution, "Token Authentication Specification").

POST follows "Docker Registry v2 OAuth2", of which the grant type ``password`` is taken.
"""

import datetime
import time
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive

from registry.auth.policy import Caller
from registry.auth.tokens import LIFETIME_SECONDS, parse_scopes
from registry.errors import DatabaseUnavailable, EndpointUnknown, TooLarge, Unauthorized
from registry.web.access import basic_of, log_in
from registry.web.asgi.body import read_body
from registry.web.asgi.responses import json_answer
from registry.web.distribution.request import RegistryRequest

#: More than any client sends; what is read before anyone has logged in is bounded.
_MAX_FORM_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 256
#: No cache may keep a token (RFC 6749, 5.1).
_NO_STORE: Final = (b"cache-control", b"no-store")

#: How long the token of whoever cannot be known yet is kept, in seconds: the least there is.
_UNKNOWN_SECONDS: Final = 60

#: Every 401 has one (RFC 9110, 15.5.2).
_CHALLENGE: Final = 'Basic realm="pullforge"'

_Fields = list[tuple[str, str]]


async def give_token(call: RegistryRequest) -> ASGIApp:
    """Answer a token for what the caller may do of the scopes that are asked for.

    Who asks without credentials gets one too, for what is open to everyone: engines ask for tokens
    before they know what needs one.

    Raises:
        Unauthorized: Credentials were sent, and are wrong.
        TooManyLogins: The caller has to wait before the next try.
        EndpointUnknown: There is nothing to log in for.
    """
    caller: Caller | None
    access = call.services.access
    if not access.takes_logins:
        raise EndpointUnknown("nobody has to log in here: there are no users and no tokens")
    try:
        if call.scope["method"] == "POST":
            fields = _parse(await _read(call.receive))
            caller = await _caller_of_form(call, dict(fields))
        else:
            fields = _parse(call.scope["query_string"])
            caller = await log_in(call.scope, *basic_of(call.headers))
    except Unauthorized as error:
        raise Unauthorized(error.message, challenge=_CHALLENGE) from error
    except DatabaseUnavailable:  # engines that have logged in ask for tokens for everything
        caller = None
    asked = [scope for name, value in fields if name == "scope" for scope in value.split()]
    token = access.issue_token(caller, parse_scopes(asked))
    issued = datetime.datetime.fromtimestamp(int(time.time()), datetime.UTC)
    content = {
        "token": token,
        "access_token": token,
        "scope": " ".join(asked),
        "expires_in": LIFETIME_SECONDS if caller is not None else _UNKNOWN_SECONDS,
        "issued_at": issued.isoformat().replace("+00:00", "Z"),
    }
    return json_answer(200, content, [_NO_STORE])


async def _caller_of_form(call: RegistryRequest, form: dict[str, str]) -> Caller:
    if form.get("grant_type") != "password":
        # Clients that would rather show a refresh token go on with GET after a 401.
        raise Unauthorized("only the grant type 'password' is taken here: log in again")
    return await log_in(call.scope, form.get("username", ""), form.get("password", ""))


async def _read(receive: Receive) -> bytes:
    try:
        return await read_body(receive, "a login", _MAX_FORM_BYTES)
    except TooLarge as exc:
        raise Unauthorized(exc.message) from exc


def _parse(text: bytes) -> _Fields:
    try:
        return parse_qsl(text.decode("latin-1"), max_num_fields=_MAX_FIELDS)
    except ValueError as exc:
        raise Unauthorized(f"a login has at most {_MAX_FIELDS} fields") from exc
