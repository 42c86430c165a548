"""Waivers: those that wait for a decision first, each decided in one click, and asking for one."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from starlette.types import ASGIApp

from registry.catalog.records import WaiverState
from registry.web.api_client import ApiProblem
from registry.web.browser.forms import local_path
from registry.web.pages.fields import MAX_DAYS, unknown_form, whole
from registry.web.pages.visit import Visit

HERE: Final = "/ui/waivers"
#: How long a waiver holds if whoever decides says nothing else.
DAYS: Final = "30"
#: Choices of how long; text for people.
UNTIL: Final = (
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "a year"),
    ("", "no end"),
)
_STATES: Final = get_args(WaiverState)


async def get_waivers(visit: Visit) -> ASGIApp:
    """List waivers: to those who decide, what waits; to others, what they asked for."""
    decides = visit.service_role is not None
    asked = visit.query.get("state", "waiting" if decides else "all")
    state = asked if asked in _STATES else None
    query = {"state": state, "namespace": visit.query.get("namespace") or None}
    waivers = await visit.get("/waivers", **query, limit=20, after=visit.query.get("after"))
    kept = {"state": state or "all", "namespace": query["namespace"]}
    tabs = [(f"{HERE}?state={one}", one.capitalize()) for one in (*_STATES, "all")]
    return visit.render(
        "waivers.html",
        waivers=waivers["items"],
        next=waivers["next"],
        state=state or "all",
        tabs=tabs,
        here=f"{HERE}?state={state or 'all'}",
        query={name: value for name, value in kept.items() if value},
        namespace=query["namespace"] or "",
        is_overview=decides,
        until=UNTIL,
    )


async def get_waiver(visit: Visit) -> ASGIApp:
    """Tell of a waiver all that has to be known to decide about it."""
    return await _waiver_page(visit, {})


async def post_waiver(visit: Visit) -> ASGIApp:
    """Grant, refuse or withdraw a waiver."""
    form = await visit.form()
    number = visit.field("id")
    back = form.get("next", "")
    then = local_path(back) if back else f"{HERE}/{number}"
    try:
        await _require_unchanged(visit, number, form.get("seen", ""))
        said = await _decide(visit, number, form)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _waiver_page(visit, form, problem)
    return visit.see_other(then, said)


async def get_new_waiver(visit: Visit) -> ASGIApp:
    """Show what was refused, and what is asked for by saying why."""
    # Who has not logged in could not ask: they are sent to do so first.
    await visit.get("/waivers", limit=1)
    return await _asking_page(visit, visit.query)


async def post_new_waiver(visit: Visit) -> ASGIApp:
    """Ask for what a version was refused, or for a package that everybody may have."""
    form = await visit.form()
    body: dict[str, Any] = {"reason": form.get("reason", "").strip()}
    for name in ("environment", "policy", "spec", "manager"):
        if value := form.get(name, "").strip():
            body[name] = value
    if number := whole(form.get("version", "")):
        body["version"] = number
    try:
        answer = await visit.ask("POST", "/waivers", json_body=body)
    except ApiProblem as problem:
        if problem.status == 401:
            raise
        return await _asking_page(visit, form, problem)
    found = answer.document["items"]
    if len(found) == 1:
        return visit.see_other(f"{HERE}/{found[0]['id']}", _asked(found[0]))
    return visit.see_other(f"{HERE}?state=all", f"{len(found)} waivers are asked for.")


async def _require_unchanged(visit: Visit, number: str, seen: str) -> None:
    """Return if a waiver is as whoever decides has seen it: to refuse one that is granted ends it.

    Raises:
        ApiProblem: Somebody else has decided meanwhile.
    """
    state = (await visit.get(f"/waivers/{number}"))["state"] if seen else seen
    if state != seen:
        message = f"This waiver is {state} since you opened the page: decide by what is shown now."
        raise ApiProblem(412, {"message": message})


async def _decide(visit: Visit, number: str, form: Mapping[str, str]) -> str:
    """Do what a form about a waiver says; return what was done.

    Raises:
        ApiProblem: It may not be, or cannot.
    """
    reason = form.get("reason", "").strip()
    match form.get("do"):
        case "grant":
            body: dict[str, Any] = {"grant": True, "reason": reason}
            body["expires_at"] = _end(form.get("days", ""))
            for name in ("scope", "spec"):
                if value := form.get(name, "").strip():
                    body[name] = value
        case "refuse":
            if not reason:
                message = "Say in the note why it is refused: whoever asked reads it."
                raise ApiProblem(400, {"message": message, "field": "reason"})
            body = {"grant": False, "reason": reason}
        case "withdraw":
            await visit.ask("DELETE", f"/waivers/{number}")
            return f"Waiver {number} is withdrawn."
        case _:
            raise unknown_form()
    answer = await visit.ask("POST", f"/waivers/{number}/decision", json_body=body)
    return _decided(answer.document)


async def _waiver_page(
    visit: Visit, typed: Mapping[str, str], problem: ApiProblem | None = None
) -> ASGIApp:
    waiver = await visit.get(f"/waivers/{visit.field('id')}")
    return visit.render(
        "waivers/waiver.html",
        status=problem.status if problem is not None else 200,
        waiver=waiver,
        typed=typed,
        problem=problem,
        until=UNTIL,
    )


async def _asking_page(
    visit: Visit, typed: Mapping[str, str], problem: ApiProblem | None = None
) -> ASGIApp:
    path, number = typed.get("environment", ""), whole(typed.get("version", ""))
    version = held = None
    if path:
        namespace, _, environment = (visit.quoted(part) for part in path.partition("/"))
        here = f"/namespaces/{namespace}/environments/{environment}/versions"
        version, held = await asyncio.gather(
            _refused(visit, here, number), visit.find(f"/namespaces/{namespace}/policy")
        )
    return visit.render(
        "waivers/new.html",
        status=problem.status if problem is not None else 200,
        path=visit.request.scope["path"],
        environment=path,
        version=version,
        held=_of(held, version),
        typed=typed,
        problem=problem,
    )


async def _refused(visit: Visit, versions: str, number: int | None) -> Any:
    """Return the version that a waiver is asked for: the newest that a policy refused.

    Raises:
        ApiProblem: There is none that whoever asks may see.
    """
    if number is not None:
        return await visit.get(f"{versions}/{number}")
    page = await visit.get(versions, limit=50)
    return next((one for one in page["items"] if one["refusal"]), None)


def _of(held: Any, version: Any) -> Any:
    """Return the policy that has refused a version, as it holds there now."""
    if held is None or version is None or not version["refusal"]:
        return None
    name = version["refusal"]["policy"]
    return next((one for one in held["holds"] if one["name"] == name), None)


def _end(days: str) -> str | None:
    """Return when a waiver of so many days ends; ``None``: never.

    Raises:
        ApiProblem: It is no number of days.
    """
    if not days.strip():
        return None
    count = whole(days.strip())
    if not count or count > MAX_DAYS:
        message = f"'{days[:20]}' is no number of days from 1 to {MAX_DAYS}"
        raise ApiProblem(400, {"message": message, "field": "expires_at"})
    return (datetime.now(UTC) + timedelta(days=count)).isoformat()


def _asked(waiver: Mapping[str, Any]) -> str:
    if waiver["state"] == "granted":
        return f"{waiver['spec']} passes already: ask for the version again."
    return f"{waiver['spec']} is asked for. What was refused goes on by itself once it is granted."


def _decided(waiver: Mapping[str, Any]) -> str:
    what = f"{waiver['spec']} of waiver {waiver['id']}"
    if waiver["state"] != "granted":
        return f"{what} is refused." if waiver["state"] == "refused" else f"{what} passes no more."
    number = waiver["version"]
    again = f" What v{number} was to be is built by itself, as a new version." if number else ""
    return f"{what} passes for {waiver['holds_for']}.{again}"
