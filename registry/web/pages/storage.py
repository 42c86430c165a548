"""Storage: what namespaces take, and how much they are used."""

from typing import Final

from starlette.types import ASGIApp

from registry.web.pages.visit import Visit

#: Over which days pulls can be counted.
_DAYS: Final = ("7", "30", "90", "365")


async def get_storage(visit: Visit) -> ASGIApp:
    """List namespaces, what takes most first."""
    sort = "name" if visit.query.get("sort") == "name" else "size"
    asked = visit.query.get("days", "")
    days = asked if asked in _DAYS else "30"
    usage = await visit.get("/usage", sort=sort, days=days, after=visit.query.get("after"))
    rows = usage["items"]
    largest = max((one["own_bytes"] + one["shared_bytes"] for one in rows), default=0)
    return visit.render("storage.html", usage=usage, sort=sort, days=days, largest=largest)
