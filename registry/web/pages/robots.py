"""Robots: what programs log in as, with tokens of their own."""

import asyncio
from typing import Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.fields import required
from registry.web.pages.tokens import form_key, make_token
from registry.web.pages.visit import Visit

#: What a form begins with.
_EMPTY: Final = {"user": "", "name": "", "scopes": "", "days": ""}


async def get_robots(visit: Visit) -> ASGIApp:
    """List robots and their tokens, and offer to make one."""
    return await _robots(visit)


async def post_robots(visit: Visit) -> ASGIApp:
    """Make a token of a robot, which is made with it, and show its secret once; or revoke one."""
    form = await visit.form()
    try:
        if form.get("do") == "revoke":
            await visit.ask("DELETE", f"/tokens/{visit.quoted(form.get('id', ''))}")
            return visit.see_other("/ui/robots", "The token is refused everywhere from now on.")
        sentence = "Say how the robot is called: roles are given to it by this name."
        robot = required(form, "user", sentence)
        token = await make_token(visit, form, {"kind": "robot", "user": robot})
    except ApiProblem as problem:
        typed = {name: form.get(name, "") for name in _EMPTY}
        return await _robots(visit, status=problem.status, problem=problem, typed=typed)
    return await _robots(visit, made=token)


async def _robots(
    visit: Visit,
    *,
    status: int = 200,
    problem: ApiProblem | None = None,
    typed: dict[str, str] | None = None,
    made: object = None,
) -> ASGIApp:
    robots, tokens = await asyncio.gather(
        visit.get("/users", kind="robot", after=visit.query.get("robots_after")),
        visit.get("/tokens", kind="robot", everybody="true", after=visit.query.get("after")),
    )
    return visit.render(
        "robots.html",
        status=status,
        robots=robots,
        tokens=tokens,
        problem=problem,
        typed=typed or _EMPTY,
        made=made,
        key=form_key(),
        may_change=visit.service_role == "administrator",
    )
