"""What differs between two versions of an environment."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem
from registry.web.pages.fields import whole
from registry.web.pages.places import place_of, shown_of
from registry.web.pages.visit import Visit

#: In this order: what people look for first.
DIRECTIONS: Final = ("up", "down", "changed", "added", "removed")
#: Of each platform, so many packages are shown.
_SHOWN: Final = 1000
_NOT_HAD: Final = (400, 403, 409)


async def get_chosen_diff(visit: Visit) -> ASGIApp:
    """Send the browser to the difference of the two versions that a form names."""
    place = place_of(visit)
    a, b = (_number(visit.query.get(name, "")) for name in ("a", "b"))
    if not a or not b:
        return visit.see_other(f"{place.here}/-/versions", "Choose two versions by their numbers.")
    await visit.get(place.api)
    return visit.see_other(f"{place.here}/-/diff/{a}/{b}")


async def get_diff(visit: Visit) -> ASGIApp:
    """Tell what differs between two versions."""
    place = place_of(visit)
    a, b = visit.field("a"), visit.field("b")
    shown, versions = await asyncio.gather(
        shown_of(visit), visit.get(f"{place.api}/versions", limit=100)
    )
    document, problem = None, None
    try:
        # What would have to be made first is not waited for: the packages are what people look for.
        document = await visit.get(f"{place.api}/diff/{a}/{b}", quick=1)
    except ApiProblem as error:
        if error.status not in _NOT_HAD:
            raise
        problem = error
    return visit.render(
        "diff.html",
        status=problem.status if problem is not None else 200,
        **shown.frame("/-/versions"),
        a=a,
        b=b,
        problem=problem,
        document=document,
        platforms=platforms_of(document) if document is not None else [],
        has_build=[one["number"] for one in versions["items"] if one["key"]],
    )


def platforms_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what differs, for each platform on its own."""
    order = {direction: place for place, direction in enumerate(DIRECTIONS)}
    fetched = document["fetched_bytes"] or {}
    names = sorted({*document["packages"], *fetched})
    found = []
    for name in names:
        packages = document["packages"].get(name, [])
        packages = sorted(packages, key=lambda one: (order[one["direction"]], one["name"]))
        counts = document["counts"].get(name, {})
        found.append(
            {
                "name": name,
                "packages": packages[:_SHOWN],
                "left_out": max(0, len(packages) - _SHOWN),
                "counts": [(one, counts[one]) for one in DIRECTIONS if counts.get(one)],
                "licences": document["licences"].get(name, {"added": [], "removed": []}),
                "bytes": fetched.get(name),
            }
        )
    return found


def _number(text: str) -> str:
    """Return the number of a version that somebody has typed; empty if it is none."""
    number = whole(text.strip().removeprefix("v"))
    return str(number) if number else ""
