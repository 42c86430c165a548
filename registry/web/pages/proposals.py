"""Proposals: versions that are built and wait, each with what it changes, decided in one click."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from starlette.types import ASGIApp

from registry.catalog.proposal_records import ProposalState
from registry.web.api_client import ApiProblem
from registry.web.browser.forms import local_path
from registry.web.pages.diffs import platforms_of
from registry.web.pages.fields import unknown_form
from registry.web.pages.visit import Visit

HERE: Final = "/ui/proposals"
STATES: Final = get_args(ProposalState)
#: Of a list, so many at once.
_SHOWN: Final = 20


async def get_proposals(visit: Visit) -> ASGIApp:
    """List proposals, those that wait for a decision first."""
    asked = visit.query.get("state", "open")
    state = asked if asked in STATES else None
    namespace = visit.query.get("namespace") or None
    query = {"state": state, "namespace": namespace, "after": visit.query.get("after")}
    proposals = await visit.get("/proposals", **query, limit=_SHOWN)
    kept = {"state": state or "all", "namespace": namespace}
    return visit.render(
        "proposals.html",
        proposals=proposals,
        state=state or "all",
        tabs=[(f"{HERE}?state={one}", one.capitalize()) for one in (*STATES, "all")],
        here=f"{HERE}?state={state or 'all'}",
        query={name: value for name, value in kept.items() if value},
        namespace=namespace or "",
    )


async def get_proposal(visit: Visit) -> ASGIApp:
    """Tell of a proposal all that has to be known to decide about it."""
    return await _page(visit)


async def post_proposal(visit: Visit) -> ASGIApp:
    """Activate or reject a proposal, or have its test run again."""
    form = await visit.form()
    number = visit.field("id")
    back = form.get("next", "")
    try:
        said = await _decide(visit, number, form)
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _page(visit, problem, form.get("reason", ""))
    return visit.see_other(local_path(back) if back else f"{HERE}/{number}", said)


async def _decide(visit: Visit, number: str, form: Mapping[str, str]) -> str:
    """Do what a form about a proposal says; return what was done.

    Raises:
        ApiProblem: It may not be, or cannot.
    """
    do = form.get("do")
    if do == "test":
        await visit.ask("POST", f"/proposals/{number}/test")
        return "The test runs again."
    if do not in {"activate", "reject"}:
        raise unknown_form()
    body = {"activate": do == "activate", "reason": form.get("reason", "").strip()}
    path = f"/proposals/{number}/decision"
    found = (await visit.ask("POST", path, json_body=body)).document
    what = f"v{found['version']} of {found['environment']}"
    return f"{what} is active now." if body["activate"] else f"{what} is rejected."


async def _page(visit: Visit, problem: ApiProblem | None = None, reason: str = "") -> ASGIApp:
    proposal = await visit.get(f"/proposals/{visit.field('id')}")
    return visit.render(
        "proposals/proposal.html",
        status=problem.status if problem is not None else 200,
        proposal=proposal,
        platforms=platforms_of(proposal["diff"]) if proposal["diff"] else [],
        counts=counts_of(proposal),
        problem=problem,
        reason=reason,
    )


async def open_proposal(visit: Visit, environment: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the proposal of an environment that is open, with what it changes; ``None``: none is.

    Args:
        visit: The request.
        environment: The API's document of it.
    """
    number: int | None = environment["proposal"]
    if number is None:
        return None
    found: Mapping[str, Any] | None = await visit.find(f"/proposals/{number}")
    return found


def counts_of(proposal: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how many packages a proposal changes how, on the platform where it changes most."""
    platforms = platforms_of(proposal["diff"]) if proposal["diff"] else []
    counts: list[list[tuple[str, int]]] = [one["counts"] for one in platforms]
    return max(counts, key=lambda one: sum(count for _, count in one), default=[])
