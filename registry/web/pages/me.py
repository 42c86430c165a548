"""Me: what I may and why, the browsers that I am logged in with, my tokens."""

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.tokens import form_key, make_token
from registry.web.pages.visit import Visit

#: So many logins are on the page.
_SHOWN: Final = 100


async def get_me(visit: Visit) -> ASGIApp:
    """Tell who I am, what I may and why, and where I am logged in."""
    return await _me(visit)


async def post_me(visit: Visit) -> ASGIApp:
    """Log browsers out."""
    form = await visit.form()
    try:
        if form.get("do") == "end_others":
            ended = (await visit.ask("DELETE", "/sessions")).document["ended"]
            said = f"{ended} other browsers are logged out."
        else:
            await visit.ask("DELETE", f"/sessions/{visit.quoted(form.get('id', ''))}")
            said = "That browser is logged out."
    except ApiProblem as problem:
        return await _me(visit, status=problem.status, problem=problem.message)
    return visit.see_other("/me", said)


async def get_tokens(visit: Visit) -> ASGIApp:
    """List my tokens, and offer to make one."""
    return await _tokens(visit)


async def post_tokens(visit: Visit) -> ASGIApp:
    """Make a token, whose secret is shown this once; or revoke one."""
    form = await visit.form()
    try:
        if form.get("do") == "revoke":
            await visit.ask("DELETE", f"/tokens/{visit.quoted(form.get('id', ''))}")
            return visit.see_other("/me/tokens", "The token is refused everywhere from now on.")
        token = await make_token(visit, form, {})
    except ApiProblem as problem:
        return await _tokens(visit, status=problem.status, problem=problem, typed=dict(form))
    return await _tokens(visit, made=token)


async def _me(visit: Visit, *, status: int = 200, problem: str = "") -> ASGIApp:
    me, roles, sessions = await asyncio.gather(
        visit.get("/users/me"),
        visit.get("/users/me/roles", after=visit.query.get("after")),
        visit.get("/sessions", limit=_SHOWN),
    )
    return visit.render(
        "me.html", status=status, me=me, roles=roles, sessions=sessions, problem=problem
    )


async def _tokens(
    visit: Visit,
    *,
    status: int = 200,
    problem: ApiProblem | None = None,
    typed: dict[str, str] | None = None,
    made: Any = None,
) -> ASGIApp:
    ended = visit.query.get("ended", "")
    tokens = await visit.get(
        "/tokens", ended="true" if ended else None, after=visit.query.get("after")
    )
    return visit.render(
        "me/tokens.html",
        status=status,
        tokens=tokens,
        ended=ended,
        problem=problem,
        typed={"name": "", "scopes": "", "days": ""} | (typed or {}),
        made=made,
        key=form_key(),
    )
