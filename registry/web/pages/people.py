"""People and robots: who there is, what each may, and letting them in or not."""

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.fields import required, unknown_form
from registry.web.pages.visit import Visit

#: So many tokens and logins of somebody are on their page.
_SHOWN: Final = 100


async def get_users(visit: Visit) -> ASGIApp:
    """List people and robots, by what they are called and what they are."""
    search, kind = visit.query.get("search", ""), visit.query.get("kind", "")
    disabled = visit.query.get("disabled", "")
    users = await visit.get(
        "/users",
        search=search or None,
        kind=kind or None,
        disabled="true" if disabled else None,
        after=visit.query.get("after"),
    )
    filters = {"search": search, "kind": kind, "disabled": disabled}
    return visit.render("people.html", users=users, filters=filters)


async def get_user(visit: Visit) -> ASGIApp:
    """Tell of somebody: their groups and roles, logins and tokens."""
    return await _person(visit)


async def post_user(visit: Visit) -> ASGIApp:
    """Disable or enable somebody, change their groups, or end logins and tokens."""
    form = await visit.form()
    here = f"/ui/users/{visit.field('user')}"
    try:
        said = await _change(visit, form.get("do", ""), form)
    except ApiProblem as problem:
        return await _person(visit, status=problem.status, problem=problem.message)
    return visit.see_other(here, said)


async def _person(visit: Visit, *, status: int = 200, problem: str = "") -> ASGIApp:
    user = visit.field("user")
    name = str(visit.request.path_params["user"])
    account, roles, sessions, tokens = await asyncio.gather(
        visit.get(f"/users/{user}"),
        visit.get(f"/users/{user}/roles", after=visit.query.get("after")),
        visit.find("/sessions", user=name, limit=_SHOWN),
        visit.find("/tokens", user=name, limit=_SHOWN),
    )
    return visit.render(
        "people/person.html",
        status=status,
        account=account,
        roles=roles,
        sessions=sessions,
        tokens=tokens,
        problem=problem,
        is_self=visit.name == name,
        may_change=visit.service_role == "administrator",
    )


async def _change(visit: Visit, what: str, form: Any) -> str:
    """Do what a form of somebody's page says; return what was done.

    Raises:
        ApiProblem: It may not be, or cannot.
    """
    user, name = visit.field("user"), visit.request.path_params["user"]
    match what:
        case "disable":
            ends = form.get("end_tokens", "") == "on"
            body = {"disabled": True, "end_tokens": ends}
            await visit.ask("PATCH", f"/users/{user}", json_body=body)
            more = " Their tokens have ended." if ends else ""
            said = f"{name} is refused everywhere from now on.{more}"
        case "enable":
            await visit.ask("PATCH", f"/users/{user}", json_body={"disabled": False})
            said = f"{name} is let in again."
        case "join":
            group = required(form, "group", "Say the name of a group.")
            await visit.ask("PUT", f"/groups/{visit.quoted(group)}/members/{user}")
            said = f"{name} is in the group {group} now."
        case "leave":
            group = form.get("group", "")
            await visit.ask("DELETE", f"/groups/{visit.quoted(group)}/members/{user}")
            said = f"{name} is not in the group {group} any more."
        case "end_session":
            await visit.ask("DELETE", f"/sessions/{visit.quoted(form.get('id', ''))}")
            said = "That browser is logged out."
        case "end_sessions":
            answer = await visit.ask("DELETE", "/sessions", query={"user": name})
            said = f"{answer.document['ended']} browsers are logged out."
        case "revoke":
            await visit.ask("DELETE", f"/tokens/{visit.quoted(form.get('id', ''))}")
            said = "The token is refused everywhere from now on."
        case _:
            raise unknown_form()
    return said
