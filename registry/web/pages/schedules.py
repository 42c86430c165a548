"""Schedules: when environments are solved anew; the list of them, and the form for one."""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem, unless
from registry.web.browser.forms import Fields
from registry.web.pages.fields import unknown_form, unless_changed
from registry.web.pages.places import Place, place_of, shown_of
from registry.web.pages.visit import Visit

HERE: Final = "/ui/schedules"
#: Stands for five fields that are typed; no schedule is called so.
FIELDS: Final = "fields"
#: Choices of how often; text for people.
TIMES: Final = (
    ("hourly", "every hour"),
    ("daily", "every day"),
    ("weekly", "every week"),
    ("monthly", "every month"),
    ("yearly", "every year"),
    (FIELDS, "at times of your own"),
)
#: What a form begins with.
_EMPTY: Final = {
    "often": "weekly",
    "cron": "",
    "timezone": "UTC",
    "then": "propose",
    "on_advisories": "on",
    "paused": "",
}


async def get_schedules(visit: Visit) -> ASGIApp:
    """List the schedules of environments that one may see."""
    asked = list_query(visit)
    schedules = await visit.get(
        "/schedules", **asked, limit=50, after=visit.query.get("after") or None
    )
    return visit.render(
        "schedules.html",
        schedules=schedules,
        query={name: value for name, value in asked.items() if value},
        here=HERE,
    )


def list_query(visit: Visit) -> dict[str, str | None]:
    """Return what a list of schedules is filtered by."""
    is_filtered = visit.query.get("problems") in {"1", "on", "true"}
    return {
        "namespace": visit.query.get("namespace") or None,
        "problems": "1" if is_filtered else None,
    }


async def get_schedule(visit: Visit) -> ASGIApp:
    """Tell when an environment is solved anew."""
    return await _page(visit)


async def post_schedule(visit: Visit) -> ASGIApp:
    """Set, carry out, or delete the schedule of an environment."""
    form, place = await visit.form(), place_of(visit)
    acts = {"save": _save, "run": _run, "delete": _delete}
    act = acts.get(form.get("do", ""))
    try:
        if act is None:
            raise unknown_form()
        return await act(visit, place, form)
    except ApiProblem as problem:
        if problem.status == 401:
            raise
        return await _page(visit, problem, form)


async def _save(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    often = form.get("often", "")
    body = {
        "cron": form.get("cron", "").strip() if often == FIELDS else often,
        "timezone": form.get("timezone", "").strip() or "UTC",
        "then": form.get("then", "propose"),
        "on_advisories": bool(form.get("on_advisories")),
        "paused": bool(form.get("paused")),
    }
    path = f"{place.api}/schedule"
    headers = unless_changed(form)
    saved = (await visit.ask("PUT", path, json_body=body, headers=headers)).document
    said = "It is paused." if saved["paused"] else f"It is solved anew {saved['in_words']}."
    return visit.see_other(f"{place.here}/-/schedule", said)


async def _run(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    _ = form
    version = (await visit.ask("POST", f"{place.api}/schedule/run")).document
    return visit.see_other(place.version(version["number"]))


async def _delete(visit: Visit, place: Place, form: Fields) -> ASGIApp:
    path = f"{place.api}/schedule"
    await visit.ask("DELETE", path, headers=unless_changed(form))
    return visit.see_other(f"{place.here}/-/schedule", "It is not solved anew by itself any more.")


async def _page(
    visit: Visit, problem: ApiProblem | None = None, form: Fields | None = None
) -> ASGIApp:
    place = place_of(visit)
    shown, schedule = await asyncio.gather(
        shown_of(visit), unless(visit.get(f"{place.api}/schedule"), 404)
    )
    typed = _typed(schedule)
    if form is not None and form.get("do") == "save":
        typed |= {name: form.get(name, "") for name in typed}
    return visit.render(
        "schedules/schedule.html",
        status=problem.status if problem is not None else 200,
        **shown.frame("/-/schedule"),
        schedule=schedule,
        typed=typed,
        times=TIMES,
        zones=_zones(),
        problem=problem,
    )


def _typed(schedule: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what the fields of the form have at first."""
    if schedule is None:
        return dict(_EMPTY)
    is_word = schedule["cron"] in dict(TIMES)
    return {
        "often": schedule["cron"] if is_word else FIELDS,
        "cron": "" if is_word else schedule["cron"],
        "timezone": schedule["timezone"],
        "then": schedule["then"],
        "on_advisories": "on" if schedule["on_advisories"] else "",
        "paused": "on" if schedule["paused"] else "",
    }


@cache
def _zones() -> tuple[str, ...]:
    """Return the names of time zones that people look for: those of places."""
    places = (one for one in available_timezones() if "/" in one)
    return tuple(sorted(one for one in places if not one.startswith(("Etc/", "SystemV/", "US/"))))
