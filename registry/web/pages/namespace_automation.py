"""What goes on by itself in a namespace: proposals, schedules, sources, webhooks."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages import sources, webhooks
from registry.web.pages.namespace_frame import Frame, framed, kept
from registry.web.pages.proposals import STATES
from registry.web.pages.schedules import list_query
from registry.web.pages.tokens import form_key
from registry.web.pages.visit import Visit

_SHOWN: Final = 50


async def get_proposals(visit: Visit) -> ASGIApp:
    """Show the versions that wait for a decision, or have waited for one."""
    asked = visit.query.get("state", "open")
    state = asked if asked in STATES else None
    query = {"state": state, "namespace": _slug(visit), "after": visit.query.get("after") or None}
    frame, proposals = await framed(visit, visit.find("/proposals", **query, limit=20))
    return _render(
        visit,
        frame,
        "proposals",
        proposals=proposals,
        state=state or "all",
        states=[*((one, one.capitalize()) for one in STATES), ("all", "All")],
    )


async def get_schedules(visit: Visit) -> ASGIApp:
    """Show when the environments are solved anew."""
    query = {**list_query(visit), "namespace": _slug(visit)}
    after = visit.query.get("after") or None
    frame, schedules = await framed(
        visit, visit.get("/schedules", **query, limit=_SHOWN, after=after)
    )
    return _render(
        visit, frame, "schedules", schedules=schedules, query=kept(visit.query, "problems")
    )


async def get_sources(visit: Visit) -> ASGIApp:
    """Show where files are that define environments."""
    return await _sources(visit)


async def post_sources(visit: Visit) -> ASGIApp:
    """Have the files of a place define environments."""
    form = await visit.form()
    try:
        made = await sources.make_source(visit, form, _slug(visit))
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _sources(visit, problem, sources.typed_in(form))
    return visit.see_other(f"{sources.HERE}/{made['id']}", "It is looked at from now on.")


async def get_webhooks(visit: Visit) -> ASGIApp:
    """Show whom events are sent to."""
    return await _webhooks(visit)


async def post_webhooks(visit: Visit) -> ASGIApp:
    """Have events sent somewhere; the secret is shown this once."""
    form = await visit.form()
    try:
        made = await webhooks.make_webhook(visit, form, _slug(visit))
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _webhooks(visit, problem=problem, typed=webhooks.typed_in(form))
    return await _webhooks(visit, made=made)


async def _sources(
    visit: Visit, problem: ApiProblem | None = None, typed: Mapping[str, str] | None = None
) -> ASGIApp:
    after = visit.query.get("after") or None
    listed = visit.find("/sources", namespace=_slug(visit), limit=_SHOWN, after=after)
    frame, found = await framed(visit, listed)
    is_administrator = visit.service_role == "administrator"
    return _render(
        visit,
        frame,
        "sources",
        problem,
        sources=found,
        typed=typed or sources.EMPTY,
        kinds=sources.KINDS if is_administrator else sources.KINDS[:1],
        choices=sources.choices(),
    )


async def _webhooks(
    visit: Visit,
    *,
    made: Mapping[str, Any] | None = None,
    problem: ApiProblem | None = None,
    typed: Mapping[str, str] | None = None,
) -> ASGIApp:
    after = visit.query.get("after") or None
    listed = visit.find("/webhooks", namespace=_slug(visit), limit=_SHOWN, after=after)
    frame, found = await framed(visit, listed)
    return _render(
        visit,
        frame,
        "webhooks",
        problem,
        webhooks=found,
        made=made,
        typed=typed or webhooks.EMPTY,
        ways=webhooks.WAYS,
        key=form_key(),
    )


def _render(
    visit: Visit,
    frame: Frame,
    what: str,
    problem: ApiProblem | None = None,
    **context: Any,
) -> ASGIApp:
    return visit.render(
        f"namespace/{what}.html",
        status=problem.status if problem is not None else 200,
        frame=frame,
        tab=frame.automation[0][0],
        here=f"{frame.path}/-/{what}",
        problem=problem,
        **context,
    )


def _slug(visit: Visit) -> str:
    return str(visit.request.path_params["namespace"])
