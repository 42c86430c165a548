"""Builds that administrators keep from everybody."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.visit import Visit

HERE: Final = "/ui/blocks"


async def get_blocks(visit: Visit) -> ASGIApp:
    """List the builds that nobody gets; ``?key=`` is one that is to be blocked."""
    return await _page(visit, visit.query)


async def post_blocks(visit: Visit) -> ASGIApp:
    """Block a build, or let it be had again."""
    form = await visit.form()
    key = form.get("key", "").strip().lower()
    try:
        if form.get("do") == "unblock":
            await visit.ask("DELETE", f"/blocks/{visit.quoted(key)}")
            return visit.see_other(HERE, f"Build {key} can be had again.")
        body = {"key": key, "reason": form.get("reason", "").strip()}
        await visit.ask("POST", "/blocks", json_body=body)
    except ApiProblem as problem:
        if problem.status == 401:
            raise
        return await _page(visit, form, problem)
    return visit.see_other(HERE, f"Nobody gets build {key} from now on.")


async def _page(
    visit: Visit, typed: Mapping[str, str], problem: ApiProblem | None = None
) -> ASGIApp:
    key = typed.get("key", "").strip()
    blocks, build = await asyncio.gather(
        visit.get("/blocks", after=visit.query.get("after")), _build(visit, key)
    )
    return visit.render(
        "blocks.html",
        status=problem.status if problem is not None else 200,
        blocks=blocks["items"],
        next=blocks["next"],
        key=key,
        build=build,
        typed=typed,
        problem=problem,
        may_change=visit.service_role == "administrator",
    )


async def _build(visit: Visit, key: str) -> Any:
    """Return the build that is to be blocked, if there is one."""
    if not key:
        return None
    try:
        return await visit.get(f"/builds/{visit.quoted(key)}")
    except ApiProblem:  # also: it is blocked already
        return None
