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
from registry.auth.secret import is_token
from registry.auth.tokens import SERVICE, scope_of
from registry.content.names import parse_repository
from registry.errors import (
    DatabaseUnavailable,
    Denied,
    NameUnknown,
    TooManyLogins,
    TooManyNewImages,
    Unauthorized,
    never_pushed,
)
from registry.images.fairness import current_client
from registry.sources.hidden import NOWHERE
from registry.web.address import base_url
from registry.web.asgi.headers import RequestHeaders, client_address, headers_of
from registry.web.asgi.responses import quoted
from registry.web.noting import TOKEN, note
from registry.web.observe import USER
from registry.web.services import services_of

Result = TypeVar("Result")

#: Where tokens are given out.
TOKEN_PATH: Final = "/v2/token"  # noqa: S105 (an address)

#: The key of the scope under which it is left who sent a request, or why that is not known: what
#: is asked twice is verified, and counted if it fails, once.
_CALLER: Final = "pullforge.caller"


async def require(scope: Scope, *needs: Need) -> None:
    """Return if whoever sent a request may do all of ``needs``.

    Raises:
        Unauthorized: They have to log in, or to ask for a better token; says where.
        NameUnknown: They may not know of the repository.
        Denied: They may not.
        DatabaseUnavailable: It is not known whether they may.
        TooManyLogins: They have to wait before they log in again.
    """
    access = services_of(scope).access
    if access.is_open(needs):
        return
    headers = headers_of(scope)
    with _challenging(scope, headers, needs):
        access.check(await _caller_of(scope, headers, access), needs)


async def is_hidden(scope: Scope, repository: str) -> bool:
    """Tell whether a repository is, for whoever sent a request, one that was never pushed.

    Wrong credentials are none: whoever has none learns by :func:`ask_strangers` that they have to
    log in, after the same has been looked up as for what does not exist.

    Raises:
        DatabaseUnavailable: It is not known whether it is.
        TooManyLogins: They have to wait before they log in again.
    """
    access = services_of(scope).access
    if not access.is_hideable(repository):
        return False
    try:
        caller = await _caller_of(scope, headers_of(scope), access)
    except Unauthorized:
        caller = Caller(None)
    return access.is_hidden(caller, repository)


async def ask_strangers(scope: Scope, repository: str) -> None:
    """Ask whoever looks for what is not there to log in first: it may be there for them.

    Programs send credentials after such an answer alone. It is the same for what is private.

    Raises:
        Unauthorized: They sent no credentials, or wrong ones.
        TooManyLogins: They have to wait before they log in again.
    """
    access = services_of(scope).access
    if not access.hides:
        return
    need, headers = Need("pull", repository), headers_of(scope)
    with _challenging(scope, headers, (need,)):
        if await _caller_of(scope, headers, access) == Caller(None):
            raise Unauthorized(f"to {need.words}, log in first, for example with 'docker login'")


async def require_base(scope: Scope, repository: str) -> None:
    """Return if whoever sent a request may build on what was pushed to a repository.

    Where there may be repositories that they may not know of, there has to be one: else what is
    said of one that is not there would come later than of one that is hidden.

    Raises:
        Unauthorized: They have to log in.
        NameUnknown: There is none, or they may not know of it.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    services = services_of(scope)
    if services.access.hides and services.sources.of(repository).is_writable:
        is_secret = await is_hidden(scope, repository)
        name = NOWHERE if is_secret else parse_repository(repository)
        if not await services.repositories.exists(name):
            await ask_strangers(scope, repository)
            raise never_pushed(repository)
    await require(scope, Need("pull", repository))


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
        with suppress(Unauthorized, TooManyLogins, DatabaseUnavailable):
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
    except (Unauthorized, NameUnknown, Denied, DatabaseUnavailable):
        return False
    return True


async def caller_of(scope: Scope) -> Caller:
    """Return who sent a request, where everybody is answered by what they may see.

    Raises:
        Unauthorized: Their credentials are wrong, or have ended.
        TooManyLogins: They have to wait before they log in again.
    """
    try:
        return await _caller_of(scope, headers_of(scope), services_of(scope).access)
    except Unauthorized as error:
        raise challenge(error.message) from error


def act_as(scope: Scope, caller: Caller) -> None:
    """Have a request be that of somebody who is known already, whatever credentials it has."""
    scope[_CALLER] = _noted(scope, caller)


def challenge(message: str) -> Unauthorized:
    """Return what asks for a name and a password, or a token in the place of one.

    Unlike at ``/v2``, where a token for the purpose has to be asked for first.

    Source:
        RFC 7617.
    """
    return Unauthorized(message, challenge=f'Basic realm="{SERVICE}", charset="UTF-8"')


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
    if not access.takes_logins:
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
    access = services_of(scope).access
    try:
        caller = await access.log_in(name, secret, client_address(scope))
    except (Unauthorized, TooManyLogins) as error:
        # A name that nobody has may be a password in the wrong field.
        _note_failure(scope, error, name if name in access.policy.identities else None)
        raise
    _noted(scope, caller)
    note(scope, "login.succeeded", detail={"by": "password" if caller.token is None else "token"})
    return caller


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
    found: Caller | Unauthorized | None = scope.get(_CALLER)
    if found is None:
        try:
            found = await _find_caller(scope, headers, access)
        except Unauthorized as error:
            found = error
        scope[_CALLER] = found
    if isinstance(found, Unauthorized):
        raise found
    return found


async def _find_caller(scope: Scope, headers: RequestHeaders, access: Access) -> Caller:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if not access.takes_logins or not scheme:
        return Caller(None)
    if scheme.lower() == "bearer":
        return _with_token(scope, value.strip(), access)
    if scheme.lower() == "basic":
        return await log_in(scope, *basic_of(headers))
    raise Unauthorized("credentials have to be Basic, or a Bearer token")


def _with_token(scope: Scope, token: str, access: Access) -> Caller:
    try:
        caller = _noted(scope, access.read_token(token))
    except Unauthorized as error:
        if is_token(token):  # others end every few minutes, and are asked for again
            _note_failure(scope, error, None)
        raise
    if is_token(token):
        note(scope, "login.succeeded", detail={"by": "token"})
    return caller


def _note_failure(scope: Scope, error: Unauthorized | TooManyLogins, name: str | None) -> None:
    why = "too many failed before" if isinstance(error, TooManyLogins) else error.message
    note(scope, "login.failed", actor=name, detail={"sentence": why})


def _noted(scope: Scope, caller: Caller) -> Caller:
    if caller.token is not None:
        scope[TOKEN] = caller.token.id
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
