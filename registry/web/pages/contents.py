"""What a version consists of: its packages, its layers, and its files to take along."""

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.places import Shown, number_of, place_of, shown_of
from registry.web.pages.visit import Visit

#: A version that has no build, or whose build nobody may have.
_NOT_HAD: Final = (403, 409)
_PAGE: Final = 50

#: What files are asked for by.
_PARAMETERS: Final = ("platform", "format", "wait")
#: Texts that have no parameters.
_TEXTS: Final = frozenset({"log", "specification"})


async def get_packages(visit: Visit) -> ASGIApp:
    """List the packages of a version."""
    query = visit.query
    filters = {
        "search": query.get("search", "").strip() or None,
        "requested": "1" if query.get("requested") == "1" else None,
        "advisories": "1" if query.get("advisories") == "1" else None,
        "platform": query.get("platform") or None,
    }
    after = query.get("after") or None
    return await _page(visit, "packages", {**filters, "after": after, "limit": _PAGE}, filters)


async def get_layers(visit: Visit) -> ASGIApp:
    """Tell the layers of a version's image, and what a node fetches that has another."""
    before = visit.query.get("before", "")
    filters = {
        "platform": visit.query.get("platform") or None,
        "before": before if before.isascii() and before.isdigit() and int(before) else None,
    }
    return await _page(visit, "layers", filters, filters)


async def get_downloads(visit: Visit) -> ASGIApp:
    """List a version's files, with what each is for."""
    filters = {"platform": visit.query.get("platform") or None}
    return await _page(visit, "downloads", {**filters, "limit": 1}, filters, "packages")


async def get_file(visit: Visit) -> ASGIApp:
    """Pass on a file of a version, as the API gives it."""
    place, form = place_of(visit), visit.field("form")
    version = place.version_api(visit.field("number"))
    await visit.get(version)  # who has to log in is sent there
    query = {} if form in _TEXTS else {name: visit.query.get(name) for name in _PARAMETERS}
    return visit.passing(f"{version}/{form}", **query)


async def _page(
    visit: Visit,
    section: str,
    query: dict[str, Any],
    filters: dict[str, str | None],
    asked: str | None = None,
) -> ASGIApp:
    """Return the page of a section, which shows a document of a version."""
    shown = await shown_of(visit)
    number, versions = await asyncio.gather(
        number_of(visit, shown), visit.get(f"{shown.place.api}/versions", limit=100)
    )
    document, problem = await _document(visit, shown, number, asked or section, query)
    kept = {"version": visit.query.get("version"), **filters}
    return visit.render(
        f"environment/{section}.html",
        status=problem.status if problem is not None else 200,
        **shown.frame(f"/-/{section}"),
        number=number,
        built=[one["number"] for one in versions["items"] if one["state"] == "built"],
        document=document,
        problem=problem,
        filters={name: value or "" for name, value in filters.items()},
        kept={name: value for name, value in kept.items() if value},
    )


async def _document(
    visit: Visit, shown: Shown, number: int | None, what: str, query: dict[str, Any]
) -> tuple[Any, ApiProblem | None]:
    if number is None:
        return None, None
    try:
        return await visit.get(f"{shown.place.version_api(number)}/{what}", **query), None
    except ApiProblem as problem:
        if problem.status in _NOT_HAD or problem.status == 400:
            return None, problem
        raise
