"""What happened in a namespace, and what it takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.pages.activity import lines_of
from registry.web.pages.namespace_frame import framed, place_of
from registry.web.pages.visit import Visit

_DAYS: Final = ("7", "30", "90", "365")
#: So many days stand side by side; of more, weeks do.
_MAX_BARS: Final = 31


async def get_activity(visit: Visit) -> ASGIApp:
    """Show what happened, the newest first."""
    listed = visit.get(f"{place_of(visit)}/events", limit=50, after=visit.query.get("after"))
    frame, events = await framed(visit, listed)
    return visit.render(
        "namespace/activity.html",
        frame=frame,
        happened=lines_of(events["items"], frame.slug),
        next=events["next"],
        is_first=not visit.query.get("after"),
    )


async def get_usage(visit: Visit) -> ASGIApp:
    """Show what a namespace was used for, takes, and may have."""
    place = place_of(visit)
    days = visit.query.get("days", "30")
    days = days if days in _DAYS else "30"
    used = visit.get(f"{place}/usage", days=days, limit=50, after=visit.query.get("after"))
    frame, usage, quota = await framed(visit, used, visit.find(f"{place}/quota"))
    return visit.render(
        "namespace/usage.html",
        frame=frame,
        usage=usage,
        quota=quota,
        limits=_limits(quota) if quota is not None else [],
        days=days,
        choices=[(one, f"{one} days") for one in _DAYS],
        weeks=_bars(usage["days"]),
    )


def _limits(quota: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what may be had and is had, of each kind."""
    words = {
        "size_bytes": "Size of all images",
        "environments": "Environments",
        "builds_a_day": "Builds of today",
        "builds_at_once": "Builds at this moment",
    }
    return [
        {
            "name": name,
            "words": words[name],
            "used": quota["used"][name],
            "limit": limit,
            "is_default": quota["quota"][name] is None,
        }
        for name, limit in quota["limits"].items()
    ]


def _bars(days: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return pulls of each day, or of each week where there are many days, the oldest first."""
    by_day = sorted(days, key=lambda one: str(one["day"]))
    step = 7 if len(by_day) > _MAX_BARS else 1
    parts = [by_day[start : start + step] for start in range(0, len(by_day), step)]
    found = [
        {
            "day": part[0]["day"],
            "pulls": sum(one["pulls"] for one in part),
            "builds": sum(one.get("builds", 0) for one in part),
        }
        for part in parts
    ]
    most = max((one["pulls"] for one in found), default=0)
    # The heights are steps of a scale: pages have no styles of their own.
    return [{**one, "step": -(-one["pulls"] * 10 // most) if most else 0} for one in found]
