"""The page of an environment: how to use it now, what was asked for, its versions and events."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.address import base_url, host_of
from registry.web.api_client import unless
from registry.web.asgi.headers import headers_of
from registry.web.pages.activity import lines_of
from registry.web.pages.places import Shown, number_of, shown_of
from registry.web.pages.proposals import counts_of, open_proposal
from registry.web.pages.visit import Visit
from registry.web.pages.ways import PACKAGES, Wanted, Way, ways

#: Without a build, a blocked one, or one that is not known any more, nothing is told of contents.
_NO_CONTENTS: Final = (403, 404, 409)
#: Packages that tell how an environment is used, with what finds those beside them.
_TELLING: Final = {"python": "python", "jupyterhub": "jupyter"}
_RECENT: Final = 5


async def get_environment(visit: Visit) -> ASGIApp:
    """Tell what an environment is, and how to use it."""
    shown = await shown_of(visit)
    number = await number_of(visit, shown)
    versions, contents, schedule, proposal = await asyncio.gather(
        visit.get(f"{shown.place.api}/versions", limit=_RECENT),
        _contents(visit, shown, number),
        visit.find(f"{shown.place.api}/schedule"),
        open_proposal(visit, shown.environment),
    )
    names = await _names(visit, shown, number, contents)
    return visit.render(
        "environment.html",
        **shown.frame(),
        number=number,
        is_exact=_is_exact(visit, shown, number),
        contents=contents,
        ways=_ways(visit, shown, number, contents, names),
        versions=versions["items"],
        schedule=schedule,
        proposal=proposal,
        counts=counts_of(proposal) if proposal is not None else [],
    )


async def get_use(visit: Visit) -> ASGIApp:
    """Tell how to use one version of an environment."""
    shown = await shown_of(visit)
    number = await number_of(visit, shown)
    versions, contents = await asyncio.gather(
        visit.get(f"{shown.place.api}/versions", limit=100), _contents(visit, shown, number)
    )
    names = await _names(visit, shown, number, contents)
    return visit.render(
        "environment/use.html",
        **shown.frame(),
        number=number,
        is_exact=_is_exact(visit, shown, number),
        ways=_ways(visit, shown, number, contents, names),
        built=[one["number"] for one in versions["items"] if one["state"] == "built"],
    )


async def get_activity(visit: Visit) -> ASGIApp:
    """Tell what happened to an environment, and how much it is used."""
    shown = await shown_of(visit)
    api, after = shown.place.api, visit.query.get("after") or None
    events, usage = await asyncio.gather(
        visit.get(f"{api}/events", limit=50, after=after), visit.get(f"{api}/usage")
    )
    return visit.render(
        "environment/activity.html",
        **shown.frame("/-/activity"),
        events=lines_of(events["items"]),
        usage=usage,
        next=events["next"],
        base=base_url(visit.request.scope, headers_of(visit.request.scope)),
    )


async def _contents(visit: Visit, shown: Shown, number: int | None) -> Mapping[str, Any] | None:
    """Return what a version consists of; ``None``: nobody can tell."""
    if number is None:
        return None
    path = f"{shown.place.version_api(number)}/packages"
    found: Mapping[str, Any] | None = await unless(visit.get(path, limit=1), *_NO_CONTENTS)
    return found


async def _names(
    visit: Visit, shown: Shown, number: int | None, contents: Mapping[str, Any] | None
) -> frozenset[str]:
    """Return those of ``PACKAGES`` that a version has."""
    if number is None or contents is None:
        return frozenset()
    found = PACKAGES & {one["name"] for one in contents["requested"] if one["version"]}
    # Most environments are of Python, and few are for hubs: what was asked for says so.
    parts = [part for name, part in _TELLING.items() if name not in found]
    path = f"{shown.place.version_api(number)}/packages"
    answers = await asyncio.gather(
        *(unless(visit.get(path, search=part, limit=100), *_NO_CONTENTS) for part in parts)
    )
    more = {one["name"] for page in answers if page is not None for one in page["items"]}
    return found | (PACKAGES & more)


def _is_exact(visit: Visit, shown: Shown, number: int | None) -> bool:
    """Tell whether a version is meant, and not whichever is active."""
    return visit.query.get("exact") == "1" or number != shown.number


def _ways(
    visit: Visit,
    shown: Shown,
    number: int | None,
    contents: Mapping[str, Any] | None,
    names: frozenset[str],
) -> list[Way]:
    if number is None or contents is None:
        return []
    headers = headers_of(visit.request.scope)
    wanted = Wanted(
        base_url=base_url(visit.request.scope, headers),
        host=host_of(headers) or "HOST",
        path=shown.environment["path"],
        number=number,
        tag=f"v{number}" if _is_exact(visit, shown, number) else "",
        packages=names,
        has_wheels=any(one["manager"] == "pypi" for one in contents["requested"]),
        is_open=shown.access["is_open"],
        user=visit.name,
    )
    return list(ways(wanted))
