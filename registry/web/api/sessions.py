"""Logins of browsers: one's own, and for administrators those of others."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.records import TokenInfo
from registry.errors import TokenUnknown
from registry.web.api.answers import answer, page_answer
from registry.web.api.endpoints import ApiRequest, Call, Further, NeedServiceRole, NeedWhole
from registry.web.api.models import EndedSessionsQuery, NoBody, NoQuery, SessionsQuery
from registry.web.api.people_documents import (
    EndedSessionsDocument,
    SessionDocument,
    session_document,
)
from registry.web.asgi.responses import BytesResponse
from registry.web.browser.session import SESSION_NUMBER

_WHOLE: Final = NeedWhole("sees and ends no logins of browsers")


async def get_sessions(call: Call[SessionsQuery, NoBody]) -> ASGIApp:
    """List the browsers in which you have logged in; as an administrator, those of others too."""
    page = await call.catalog.tokens.list(
        call.query.user or call.rights.require_login(),
        kinds=["session"],
        after=call.query.number,
        limit=call.query.limit,
    )
    addresses = await call.catalog.tokens.addresses(page.items)
    current = _current(call.request)

    def document(session: TokenInfo) -> SessionDocument:
        return session_document(session, addresses.get(session.id, ""), current)

    return page_answer(call, page, document)


async def needs_of_sessions(call: Call[SessionsQuery, NoBody]) -> Sequence[Further]:
    """Return what seeing logins needs beside."""
    is_own = call.query.user in {None, call.rights.name}
    return [_WHOLE] if is_own else [_WHOLE, NeedServiceRole("auditor")]


async def delete_sessions(call: Call[EndedSessionsQuery, NoBody]) -> ASGIApp:
    """Log out all your browsers but this one; as an administrator, all of somebody else's."""
    name = call.query.user or call.rights.require_login()
    ended = await call.catalog.tokens.end_sessions(call.actor, name, but=_current(call.request))
    document: EndedSessionsDocument = {"user": name, "ended": ended}
    return answer(200, document)


async def needs_of_ended_sessions(call: Call[EndedSessionsQuery, NoBody]) -> Sequence[Further]:
    """Return what ending logins needs beside."""
    is_own = call.query.user in {None, call.rights.name}
    return [_WHOLE] if is_own else [_WHOLE, NeedServiceRole("administrator")]


async def delete_session(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Log a browser out."""
    await call.catalog.tokens.revoke(call.actor, (await _session(call)).id)
    return BytesResponse(204, [])


async def needs_of_ended_session(_call: object) -> Sequence[Further]:
    """Return what ending a login needs beside; whose it may be is decided when it is looked up."""
    return [_WHOLE]


async def _session(call: Call[Any, NoBody]) -> TokenInfo:
    """Return the login of the address, if it is theirs or they are administrators.

    Raises:
        TokenUnknown: It is not, or there is none.
    """
    number = call.number("id")
    unknown = TokenUnknown(f"there is no login of a browser {number} here")
    try:
        session = await call.catalog.tokens.get(number)
    except TokenUnknown:
        raise unknown from None
    is_theirs = session.principal == call.rights.name
    if session.kind != "session" or not (is_theirs or call.rights.service_role == "administrator"):
        raise unknown
    return session


def _current(request: ApiRequest) -> int | None:
    """Return the number of the login whose browser sent a request; ``None``: none did."""
    number: int | None = request.scope.get(SESSION_NUMBER)
    return number
