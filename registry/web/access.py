"""Asking who sent a request, and whether they may do what it asks for: the same for every face.

Credentials come with the request, as Basic (name and password) or as a Bearer token, which
``/v2/token`` gives out. For what is open to everyone they are not looked at: an old token does not
stand in the way there, and nothing is verified.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from starlette.types import Scope

from registry.auth.access import Access
from registry.auth.policy import Caller
from registry.auth.rights import Need
from registry.auth.tokens import SERVICE, scope_of
from registry.errors import Denied, TooManyLogins, TooManyNewImages, Unauthorized
from registry.images.fairness import current_client
from registry.web.address import base_url
from registry.web.asgi.headers import RequestHeaders, headers_of
from registry.web.asgi.responses import quoted
from registry.web.observe import USER
from registry.web.services import services_of

Result = TypeVar("Result")

#: Where tokens are given out.
TOKEN_PATH: Final = "/v2/token"  # noqa: S105 (an address)


async def require(scope: Scope, *needs: Need) -> None:
    """Return if whoever sent a request may do all of ``needs``.

    Raises:
        Unauthorized: They have to log in, or to ask for a better token; says where.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    access = services_of(scope).access
    if access.is_open(needs):
        return
    headers = headers_of(scope)
    with _challenging(scope, headers, needs):
        access.check(await _caller_of(scope, headers, access), needs)


async def for_account(scope: Scope, work: Callable[[], Awaitable[Result]]) -> Result:
    """Return what ``work`` returns; if its address may have no more made, try as its account.

    So that those who have logged in are not held up by others behind the same address. For what
    everyone may ask for, :func:`require` looks at no credentials, and nor does this before it has
    to; those that are wrong or old change nothing.

    Raises:
        TooManyNewImages: Neither may.
    """
    try:
        return await work()
    except TooManyNewImages as error:
        headers = headers_of(scope)
        if USER in scope or "authorization" not in headers:
            raise
        with suppress(Unauthorized, TooManyLogins):
            await _caller_of(scope, headers, services_of(scope).access)
        if USER not in scope:
            raise error from None
    return await work()


async def allows(scope: Scope, need: Need) -> bool:
    """Tell whether whoever sent a request may do ``need`` too, where it goes on without.

    Raises:
        TooManyLogins: They have to wait before they log in again.
    """
    try:
        await require(scope, need)
    except (Unauthorized, Denied):
        return False
    return True


async def require_login(scope: Scope) -> None:
    """Return if a request has valid credentials, be it a token of somebody without a name.

    Docker decides by the answer to ``/v2/`` alone whether it ever sends credentials. So as soon as
    there are users, everybody has to ask for a token there; those who just pull get one without a
    name.

    Raises:
        Unauthorized: It has none; says where to get them.
        TooManyLogins: They have to wait before they log in again.
    """
    access = services_of(scope).access
    if not access.policy.takes_logins:
        return
    headers = headers_of(scope)
    with _challenging(scope, headers):
        if await _caller_of(scope, headers, access) == Caller(None):
            raise Unauthorized("ask for a token first, with or without a name and password")


async def log_in(scope: Scope, name: str, secret: str) -> Caller:
    """Return who has that name and secret; nobody in particular if both are empty.

    Raises:
        Unauthorized: Nobody has; without a challenge.
        TooManyLogins: They have to wait before they log in again.
    """
    if not name and not secret:  # what podman and skopeo send when they have no credentials
        return Caller(None)
    client = scope.get("client")
    caller = await services_of(scope).access.log_in(name, secret, client[0] if client else "")
    return _noted(scope, caller)


def basic_of(headers: RequestHeaders) -> tuple[str, str]:
    """Return name and password of a request with Basic credentials; empty if it has none.

    Raises:
        Unauthorized: They are garbled.
    """
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as exc:
        raise Unauthorized("the Basic credentials cannot be read") from exc
    return name, secret


async def _caller_of(scope: Scope, headers: RequestHeaders, access: Access) -> Caller:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if not access.policy.takes_logins or not scheme:
        return Caller(None)
    if scheme.lower() == "bearer":
        return _noted(scope, access.read_token(value.strip()))
    if scheme.lower() == "basic":
        return await log_in(scope, *basic_of(headers))
    raise Unauthorized("credentials have to be Basic, or a Bearer token")


def _noted(scope: Scope, caller: Caller) -> Caller:
    if caller.identity is not None:
        scope[USER] = caller.identity.name
        # No address looks like that.
        current_client.set(f"user {caller.identity.name}")
    return caller


@contextmanager
def _challenging(
    scope: Scope, headers: RequestHeaders, needs: tuple[Need, ...] = ()
) -> Iterator[None]:
    """Tell those who have to log in what to ask for, and where.

    Source: distribution, "Token Authentication Specification"; RFC 6750, section 3.
    """
    try:
        yield
    except Unauthorized as error:
        fields = {
            "realm": base_url(scope, headers) + TOKEN_PATH,
            "service": SERVICE,
            "scope": scope_of(needs),
            "error": error.problem,
        }
        written = ",".join(f"{name}={quoted(value)}" for name, value in fields.items() if value)
        challenge = f"Bearer {written}"
        raise Unauthorized(error.message, error.problem, challenge=challenge) from error
