"""Finding what one may see: environments, those that have a package, namespaces, packages."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.pages.visit import Visit

#: How much there is of each kind where all are shown, and on a page of one kind.
_SOME: Final = 10
_MANY: Final = 50
_LONGEST: Final = 200
#: How the API is asked for a kind: address, the parameter for what was typed, and others.
_KINDS: Final[Mapping[str, tuple[str, str, Mapping[str, str]]]] = {
    "environments": ("/environments", "search", {"details": "true"}),
    "having": ("/environments", "package", {"details": "true"}),
    "namespaces": ("/namespaces", "search", {}),
    "packages": ("/packages", "search", {}),
}
_HEADINGS: Final = {
    "environments": "Environments",
    "having": "Environments that have the package",
    "namespaces": "Namespaces",
    "packages": "Packages of the channels",
}


async def get_search(visit: Visit) -> ASGIApp:
    """List what has in its name, or in its description, what was typed."""
    typed = visit.query.get("q", "").strip()[:_LONGEST]
    kind = visit.query.get("in", "")
    if kind not in _KINDS:
        kind = "" if typed else "environments"
    if visit.is_fragment:
        found = await _find(visit, "packages", typed, _SOME)
        return visit.fragment("search/_packages.html", packages=found)
    # The index of a channel may have to be fetched: what is at hand does not wait for it.
    kinds = [kind] if kind else [one for one in _KINDS if one != "packages"]
    parts = await asyncio.gather(
        *(_find(visit, one, typed, _MANY if kind else _SOME) for one in kinds)
    )
    return visit.render(
        "search.html",
        typed=typed,
        kind=kind,
        headings=_HEADINGS,
        parts=dict(zip(kinds, parts, strict=True)),
        found=any(part and part["items"] for part in parts),
    )


async def _find(visit: Visit, kind: str, typed: str, limit: int) -> Any:
    """Return a page of the API's list; ``None``: whoever asks may not ask for it."""
    path, parameter, more = _KINDS[kind]
    if kind in {"having", "packages"} and not typed:
        return None
    after = visit.query.get("after") if limit == _MANY and kind != "packages" else None
    return await visit.find(path, **{parameter: typed or None}, limit=limit, after=after, **more)
