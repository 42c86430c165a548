"""Whoever asks, and the tokens that programs log in with."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from starlette.types import ASGIApp

from registry.catalog.records import TokenInfo, TokenKind
from registry.catalog.slugs import slug_of
from registry.errors import (
    CatalogNameInvalid,
    CatalogNameTaken,
    Denied,
    PrincipalUnknown,
    TokenInvalid,
    TokenUnknown,
)
from registry.web.api.answers import answer, page_answer
from registry.web.api.catalog_documents import (
    NewTokenDocument,
    UserDocument,
    namespace_path,
    token_document,
)
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import Call, Further, NeedServiceRole, NeedWhole
from registry.web.api.models import NewToken, NoBody, NoQuery, TokensQuery, is_on
from registry.web.api.reading import note_reading
from registry.web.asgi.responses import BytesResponse


async def get_me(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell who you are here."""
    name = call.rights.require_login()
    links = {"tokens": f"{PREFIX}/tokens"}
    with suppress(CatalogNameInvalid):
        links["namespace"] = namespace_path(slug_of(name))
    document: UserDocument = {
        "name": name,
        "display_name": "",
        "email": "",
        "kind": "human",
        "groups": call.rights.groups(),
        "service_role": call.rights.service_role,
        "token": call.actor.token,
        "links": links,
    }
    # Who is in the auth file alone has no account.
    with suppress(PrincipalUnknown):
        principal = await call.catalog.principals.get(name)
        document["display_name"] = principal.display_name
        document["email"] = principal.email
        document["kind"] = principal.kind
    return answer(200, document)


async def get_tokens(call: Call[TokensQuery, NoBody]) -> ASGIApp:
    """List your tokens, the newest first; as an administrator, those of others too."""
    is_own = not is_on(call.query.everybody)
    whose = call.query.user or (call.rights.require_login() if is_own else None)
    kinds: Sequence[TokenKind] = [call.query.kind] if call.query.kind else ["personal", "robot"]
    page = await call.catalog.tokens.list(
        whose,
        kinds=kinds,
        include_ended=is_on(call.query.ended),
        after=call.query.number,
        limit=call.query.limit,
    )
    return page_answer(call, page, token_document)


async def needs_of_tokens(call: Call[TokensQuery, NoBody]) -> Sequence[Further]:
    """Return what listing tokens of others needs beside."""
    is_own = call.query.user in {None, call.rights.name} and not is_on(call.query.everybody)
    return [] if is_own else [NeedServiceRole("auditor")]


async def post_token(call: Call[NoQuery, NewToken]) -> ASGIApp:
    """Make a token; its secret is told this once. A token that ends makes none that ends later."""
    expires_at = _end_of_new_token(call)
    whose = call.body.user or call.rights.require_login()
    with suppress(CatalogNameTaken):  # robots, and people of the auth file, get an account by this
        if call.body.kind == "robot":
            await call.catalog.principals.create(call.actor, whose, kind="robot")
        else:
            await call.catalog.principals.create(call.actor, whose, source="file")
    if call.body.kind == "robot":
        await _require_robot(call, whose)
    token, secret = await call.catalog.tokens.create(
        call.actor,
        whose,
        call.body.name,
        kind=call.body.kind,
        scopes=call.body.scopes,
        expires_at=expires_at,
    )
    document: NewTokenDocument = {**token_document(token), "secret": secret}
    return answer(201, document)


async def needs_of_new_token(call: Call[NoQuery, NewToken]) -> Sequence[Further]:
    """Return what making a token needs beside: no limited token makes a better one."""
    is_own = call.body.user in {None, call.rights.name} and call.body.kind == "personal"
    return [NeedWhole()] if is_own else [NeedWhole(), NeedServiceRole("administrator")]


async def get_token(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell of a token."""
    token = await _token(call)
    if token.principal != call.rights.name:
        note_reading(call)
    return answer(200, token_document(token))


async def delete_token(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Revoke a token: it is refused at every door from now on."""
    await call.catalog.tokens.revoke(call.actor, (await _token(call)).id)
    return BytesResponse(204, [])


async def needs_of_ended_token(call: Call[NoQuery, NoBody]) -> Sequence[Further]:
    """Return what revoking a token needs beside: a limited one ends itself alone."""
    is_own = call.rights.caller.child is None and (await _token(call)).id == call.rights.token
    return [] if is_own else [NeedWhole()]


async def delete_current_token(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Revoke the token that was sent, as a program does that logs out."""
    if call.actor.token is None or call.rights.caller.child is not None:
        raise TokenUnknown("no token of an account was sent: there is none to end")
    await call.catalog.tokens.revoke(call.actor, call.actor.token)
    return BytesResponse(204, [])


async def _require_robot(call: Call[NoQuery, NewToken], name: str) -> None:
    """Return if an account is no person's: by a robot's token, IT would act as that person.

    Raises:
        TokenInvalid: It is.
    """
    if (await call.catalog.principals.get(name)).kind != "robot":
        raise TokenInvalid(f"'{name[:100]}' is a person: give the robot a name of its own")


def _end_of_new_token(call: Call[NoQuery, NewToken]) -> datetime | None:
    """Return when a token is to end that is made with one that ends: with it, or before.

    Raises:
        Denied: It was to end later.
    """
    own, asked = call.rights.ends_at, call.body.expires_at
    if own is not None and asked is not None and asked > own:
        raise Denied(
            f"a token that ends at {own:%Y-%m-%d %H:%M:%S} UTC makes none that ends later: leave"
            " 'expires_at' out, or log in with a password"
        )
    return asked or own


async def _token(call: Call[NoQuery, NoBody]) -> TokenInfo:
    """Return the token of the address, if it is theirs or they are administrators.

    Raises:
        TokenUnknown: It is not, or there is none.
    """
    number = call.number("id")
    token = await call.catalog.tokens.get(number)
    if token.principal != call.rights.name and call.rights.service_role != "administrator":
        raise TokenUnknown(f"there is no token {number} here")
    return token
