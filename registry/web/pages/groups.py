"""Groups: who is in them, and what they may."""

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.fields import required, unknown_form
from registry.web.pages.visit import Visit

#: So many roles of a group are on its page.
_SHOWN: Final = 100


async def get_groups(visit: Visit) -> ASGIApp:
    """List groups, and offer to make one."""
    return await _groups(visit)


async def post_groups(visit: Visit) -> ASGIApp:
    """Make a group."""
    form = await visit.form()
    name = form.get("name", "").strip()
    try:
        required(form, "name", "Say how the group is called.")
        await visit.ask("PUT", f"/groups/{visit.quoted(name)}")
    except ApiProblem as problem:
        return await _groups(visit, status=problem.status, problem=problem.message, typed=name)
    return visit.see_other(f"/ui/groups/{visit.quoted(name)}", f"There is a group {name} now.")


async def get_group(visit: Visit) -> ASGIApp:
    """Tell who is in a group, and what it may."""
    return await _group(visit)


async def post_group(visit: Visit) -> ASGIApp:
    """Put somebody in or take them out, or delete the group."""
    form = await visit.form()
    group, name = visit.field("group"), visit.request.path_params["group"]
    user = form.get("user", "").strip()
    try:
        match form.get("do", ""):
            case "add":
                required(form, "user", "Say who is to be in it.")
                await visit.ask("PUT", f"/groups/{group}/members/{visit.quoted(user)}")
                said = f"{user} is in {name} now."
            case "remove":
                await visit.ask("DELETE", f"/groups/{group}/members/{visit.quoted(user)}")
                said = f"{user} is not in {name} any more."
            case "delete":
                await visit.ask("DELETE", f"/groups/{group}")
                return visit.see_other("/ui/groups", f"The group {name} is deleted.")
            case _:
                raise unknown_form()
    except ApiProblem as problem:
        return await _group(visit, status=problem.status, problem=problem.message, typed=user)
    return visit.see_other(f"/ui/groups/{group}", said)


async def _groups(
    visit: Visit, *, status: int = 200, problem: str = "", typed: str = ""
) -> ASGIApp:
    search = visit.query.get("search", "")
    groups = await visit.get("/groups", search=search or None, after=visit.query.get("after"))
    return visit.render(
        "groups.html",
        status=status,
        groups=groups,
        search=search,
        problem=problem,
        typed=typed,
        may_change=visit.service_role == "administrator",
    )


async def _group(visit: Visit, *, status: int = 200, problem: str = "", typed: str = "") -> ASGIApp:
    group = visit.field("group")
    found: tuple[Any, Any, Any] = await asyncio.gather(
        visit.get(f"/groups/{group}"),
        visit.get(f"/groups/{group}/members", after=visit.query.get("after")),
        visit.get("/grants", group=str(visit.request.path_params["group"]), limit=_SHOWN),
    )
    return visit.render(
        "groups/group.html",
        status=status,
        group=found[0],
        members=found[1],
        grants=found[2],
        problem=problem,
        typed=typed,
        may_change=visit.service_role == "administrator",
    )
