"""Roles that were given, in every namespace and in the service."""

from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.fields import end_of, required
from registry.web.pages.visit import Visit

#: What a form begins with.
_EMPTY: Final = {
    "subject_kind": "user",
    "subject": "",
    "role": "viewer",
    "namespace": "",
    "environment": "*",
    "days": "",
}


async def get_grants(visit: Visit) -> ASGIApp:
    """List roles, and offer to give one."""
    return await _grants(visit)


async def post_grants(visit: Visit) -> ASGIApp:
    """Give a role, or take one back."""
    form = await visit.form()
    typed = {name: form.get(name, "").strip() for name in _EMPTY}
    try:
        if form.get("do") == "take":
            await visit.ask("DELETE", f"/grants/{visit.quoted(form.get('id', ''))}")
            return visit.see_other("/ui/grants", "The role is taken back.")
        grant = (await visit.ask("POST", "/grants", json_body=_body(typed))).document
    except ApiProblem as problem:
        return await _grants(visit, status=problem.status, problem=problem, typed=typed)
    whom = grant["subject"] or {"everyone": "Everyone"}.get(
        grant["subject_kind"], "Whoever has logged in"
    )
    return visit.see_other("/ui/grants", f"{whom} is {grant['role']} now.")


def _body(typed: dict[str, str]) -> dict[str, Any]:
    """Return what a form asks for, as the API takes it.

    Raises:
        ApiProblem: It makes no sense.
    """
    kind, role = typed["subject_kind"], typed["role"]
    is_of_service = role in {"administrator", "auditor"}
    body: dict[str, Any] = {
        "subject_kind": kind,
        "role": role,
        "namespace": "*" if is_of_service else typed["namespace"],
        "environment": "*" if is_of_service else typed["environment"] or "*",
    }
    if not is_of_service:
        sentence = "Say in which namespace: '*' stands for any characters, and alone for all."
        required(typed, "namespace", sentence)
    if kind in {"user", "group"}:
        sentence = f"Say the name of the {kind} who gets the role."
        body["subject"] = required(typed, "subject", sentence)
    ends = end_of(typed)
    if ends is not None:
        body["expires_at"] = ends
    return body


async def _grants(
    visit: Visit,
    *,
    status: int = 200,
    problem: ApiProblem | None = None,
    typed: dict[str, str] | None = None,
) -> ASGIApp:
    filters = {name: visit.query.get(name, "").strip() for name in ("role", "user", "group")}
    asked = {name: value or None for name, value in filters.items()}
    grants = await visit.get("/grants", after=visit.query.get("after"), **asked)
    return visit.render(
        "grants.html",
        status=status,
        grants=grants,
        filters=filters,
        problem=problem,
        typed=typed or _EMPTY | {"subject": filters["user"] or filters["group"]},
        may_change=visit.service_role == "administrator",
    )
