"""Whose request it is: by a header, or by conda-store's cookie.

A header is what programs send, and wins. A cookie is what browsers send unasked, so that what
changes something is taken with one only from pages of this host, or of those in the settings. It
holds a child token (``registry.auth.child_tokens``) of the browser's login, and ends with it; one
that has ended is none: whoever has such a one has to be able to log in.

Source:
    conda-store-server 2025.2.2, ``Authentication.authenticate_request``.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from registry.auth.policy import Caller
from registry.auth.roles import common
from registry.auth.secret import is_token
from registry.catalog.records import Visibility
from registry.catalog.services import CatalogServices
from registry.errors import FormRefused, Unauthorized
from registry.web.access import act_as
from registry.web.address import base_url
from registry.web.api.rights import Rights, rights_of
from registry.web.asgi.headers import headers_of
from registry.web.browser.session import SESSION_NUMBER, cookies_of
from registry.web.conda_store.calls import Call, CondaStoreRequest
from registry.web.services import services_of

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_JWT: Final = "'jwt' is no token of an account here, or has ended: ask for one by POST token"


async def identify(
    request: CondaStoreRequest, catalog: CatalogServices, origins: Collection[str] = ()
) -> Rights:
    """Return what whoever sent a request may do.

    Args:
        request: It.
        catalog: In which they may do it.
        origins: Of the hosts whose pages may use a browser's login, beside this one.

    Raises:
        Unauthorized: Their credentials are wrong, or have ended.
        FormRefused: A page of another host has had a browser send it.
        TooManyLogins: They have to wait before they log in again.
    """
    if "authorization" not in headers_of(request.scope):
        caller = _caller_by_cookie(request, origins)
        if caller is not None:
            act_as(request.scope, caller)
    return await rights_of(request, catalog.directory)


def require_trusted_page(request: CondaStoreRequest, origins: Collection[str]) -> None:
    """Return if no page of another host has had a browser send a request.

    Browsers say of all that changes something which page sent it; programs say nothing.

    Raises:
        FormRefused: One has.
    """
    headers = headers_of(request.scope)
    own = base_url(request.scope, headers)
    origin, fetched = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and fetched in {None, "same-origin", "none"}:
        return
    if origin is None or (origin != own and origin not in origins):
        raise FormRefused(
            f"this was not sent by a page of {own}: open the page here, and try again; an"
            " administrator can allow other hosts by PULLFORGE_CONDA_STORE_ORIGINS"
        )


def is_browser(request: CondaStoreRequest) -> bool:
    """Tell whether a browser has sent a request of a page."""
    headers = headers_of(request.scope)
    return "origin" in headers or "sec-fetch-site" in headers


def ends_at(call: Call) -> datetime | None:
    """Return when what a request came with ends; ``None``: it does not by itself."""
    caller, access = call.rights.caller, call.services.access
    number = call.request.scope.get(SESSION_NUMBER)
    login = access.entitlements.parent_token(number) if number is not None else None
    ends = [
        caller.expires_at,
        caller.identity.expires if caller.identity is not None else None,
        login.expires_at if login is not None else None,
    ]
    return min((at for at in ends if at is not None), default=None)


def own_namespace(call: Call) -> str | None:
    """Return the namespace of their token, or else of their name; ``None``: nobody knows either."""
    child = call.rights.caller.child
    if child is not None and child.primary_namespace is not None:
        return child.primary_namespace
    return call.rights.name


def seen_with(call: Call, token: str | None) -> Visibility:
    """Return what whoever sent a request may see and a token, too; ``None``: they alone.

    Services ask so for what they show to somebody else.

    Raises:
        Unauthorized: The token is none, or has ended.
    """
    mine = call.visible
    if token is None:
        return mine
    access = call.services.access
    try:
        caller = access.read_token(token)
    except Unauthorized as exc:
        raise Unauthorized(_NO_JWT) from exc
    if caller.identity is None or caller.scope is not None:
        raise Unauthorized(_NO_JWT)
    theirs = access.visible(caller)
    if theirs.is_everything:
        return mine
    if mine.is_everything:
        return Visibility(theirs.globs)
    both = {common(one, other) for one in mine.globs for other in theirs.globs}
    return Visibility(tuple(sorted(globs for globs in both if globs is not None)))


def _caller_by_cookie(request: CondaStoreRequest, origins: Collection[str]) -> Caller | None:
    secret = cookies_of(request).conda_store
    access = services_of(request.scope).access
    if secret is None or not is_token(secret):
        return None
    try:
        caller = access.read_token(secret)
    except Unauthorized:
        return None
    if request.method not in _READING:
        require_trusted_page(request, origins)
    child = caller.child
    if child is None or not child.is_login:
        return caller
    # It is the browser's login itself, which may what its owner may: what was made with it may end
    # sooner, and does not end it.
    request.scope[SESSION_NUMBER] = child.parent
    return caller.unlimited
