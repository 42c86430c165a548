"""The queue: what is made, what waits, where it does not go on, and by whom it is made."""

from typing import Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.visit import Visit

_STATES: Final = ("building", "queued", "stuck")


async def get_queue(visit: Visit) -> ASGIApp:
    """Show the queue; a script asks for it again and again."""
    return await _queue(visit)


async def post_queue(visit: Visit) -> ASGIApp:
    """Cancel a version."""
    form = await visit.form()
    namespace, _, environment = form.get("environment", "").partition("/")
    number = form.get("number", "")
    path = (
        f"/namespaces/{visit.quoted(namespace)}/environments/{visit.quoted(environment)}"
        f"/versions/{visit.quoted(number)}/cancel"
    )
    try:
        await visit.ask("POST", path)
    except ApiProblem as problem:
        return await _queue(visit, status=problem.status, problem=problem.message)
    said = f"Version {number} of {namespace}/{environment} is cancelled."
    return visit.see_other("/ui/queue", said)


async def _queue(visit: Visit, *, status: int = 200, problem: str = "") -> ASGIApp:
    asked = visit.query.get("state", "")
    state = asked if asked in _STATES else ""
    queue = await visit.get("/queue", state=state or None, after=visit.query.get("after"))
    may_change = visit.service_role == "administrator"
    if visit.is_fragment:
        return visit.fragment("queue/_queue.html", queue=queue, state=state, may_change=may_change)
    return visit.render(
        "queue.html",
        status=status,
        queue=queue,
        state=state,
        problem=problem,
        may_change=may_change,
    )
