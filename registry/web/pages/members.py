"""The members of a namespace: who may do what, why, and giving and taking roles."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.browser.forms import Fields
from registry.web.pages.namespace_frame import Frame, framed, kept, place_of
from registry.web.pages.visit import Visit

_KINDS: Final = {
    "user": "A user",
    "group": "A group",
    "authenticated": "Everyone who has logged in",
    "everyone": "Everyone, logged in or not",
}
_ROLES: Final = {
    "viewer": "viewer: sees and pulls",
    "editor": "editor: also makes, changes, builds",
    "admin": "admin: also deletes, gives roles, changes the namespace",
    "owner": "owner: an admin that admins cannot remove",
}
_FIELDS: Final = ("kind", "subject", "role", "environment", "until")
_EMPTY: Final = {"kind": "user", "subject": "", "role": "viewer", "environment": "", "until": ""}


async def get_members(visit: Visit) -> ASGIApp:
    """Show who may do what."""
    return await _members(visit, {**_EMPTY, **kept(visit.query, *_FIELDS)})


async def post_members(visit: Visit) -> ASGIApp:
    """Give a role, or take one back."""
    form = await visit.form()
    try:
        said = await (_take(visit, form) if form.get("do") == "take" else _give(visit, form))
    except ApiProblem as problem:
        typed = {**_EMPTY, **kept(form, *_FIELDS)}
        return await _members(visit, typed, problem)
    return visit.see_other(f"/{visit.field('namespace')}/-/members", said=said)


async def _give(visit: Visit, form: Fields) -> str:
    kind, environment = form.get("kind", "user"), form.get("environment", "").strip() or "*"
    subject = form.get("subject", "").strip() if kind in {"user", "group"} else None
    until = form.get("until", "").strip()
    body = {
        "subject_kind": kind,
        "subject": subject or None,
        "role": form.get("role", ""),
        "environment": environment,
        "expires_at": f"{until}T23:59:59Z" if until else None,
    }
    await visit.ask("POST", f"{place_of(visit)}/grants", json_body=body)
    whom = {"user": subject, "group": f"The group {subject}"}.get(kind, _KINDS.get(kind, kind))
    there = "all environments here" if environment == "*" else environment
    return f"{whom} is {body['role']} of {there} now."


async def _take(visit: Visit, form: Fields) -> str:
    number = form.get("grant", "")
    path = f"{place_of(visit)}/grants/{number if number.isdecimal() else '0'}"
    await visit.ask("DELETE", path)
    return "The role is taken back."


async def _members(
    visit: Visit, typed: Mapping[str, str], problem: ApiProblem | None = None
) -> ASGIApp:
    listed = visit.get(f"{place_of(visit)}/members", limit=100, after=visit.query.get("after"))
    frame, members = await framed(visit, listed)
    return visit.render(
        "namespace/members.html",
        status=problem.status if problem is not None else 200,
        frame=frame,
        members=members,
        is_first=visit.query.get("after") is None,
        problem=problem,
        typed=typed,
        kinds=list(_KINDS.items()),
        roles=[one for one in _ROLES.items() if one[0] != "owner" or frame.is_owner],
        meanings=list(_ROLES.values()),
        is_open=problem is not None or bool(kept(visit.query, *_FIELDS)),
        may_take=lambda reason: _may_take(frame, reason),
    )


def _may_take(frame: Frame, reason: Mapping[str, Any]) -> bool:
    """Tell whether a button is of use: the API decides."""
    if reason["kind"] != "grant" or reason["is_wide"]:
        return False
    return frame.is_owner or (frame.is_admin and reason["role"] != "owner")
