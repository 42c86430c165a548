"""What policies have against the builds of a namespace, and the exceptions that were asked for."""

from typing import Final, get_args

from starlette.types import ASGIApp

from registry.catalog.records import WaiverState
from registry.web.pages.namespace_frame import framed, kept, place_of
from registry.web.pages.visit import Visit

_STATES: Final = get_args(WaiverState)


async def get_findings(visit: Visit) -> ASGIApp:
    """Show what policies have against what there is, the newest first."""
    query = kept(visit.query, "policy", "environment", "active")
    listed = visit.get(
        f"{place_of(visit)}/findings", limit=50, after=visit.query.get("after"), **query
    )
    frame, findings = await framed(visit, listed)
    return visit.render("namespace/findings.html", frame=frame, findings=findings, query=query)


async def get_waivers(visit: Visit) -> ASGIApp:
    """Show the waivers for environments of a namespace that the visitor may see."""
    query = kept(visit.query, "state")
    slug = str(visit.request.path_params["namespace"])
    listed = visit.find(
        "/waivers", namespace=slug, limit=50, after=visit.query.get("after"), **query
    )
    frame, waivers = await framed(visit, listed)
    return visit.render(
        "namespace/waivers.html",
        frame=frame,
        waivers=waivers,
        query=query,
        states=[("", "All"), *((one, one.capitalize()) for one in _STATES)],
    )
