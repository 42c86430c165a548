"""Versions: all of an environment, and one, also while it is being made."""

import asyncio
import html
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from starlette.types import ASGIApp

from registry.web.api_client import ApiProblem, unless
from registry.web.asgi.event_stream import EventStreamResponse
from registry.web.browser.forms import Fields
from registry.web.html.rendering import render
from registry.web.pages.fields import unless_changed, whole
from registry.web.pages.places import Place, place_of, shown_of
from registry.web.pages.proposals import counts_of, open_proposal
from registry.web.pages.visit import Visit

#: A log is shown from its end; all of it is a file.
_LINES: Final = 400
#: What is longer is cut: a line of a log can have a megabyte.
_LINE: Final = 2000
#: So much of a specification is shown.
_SPECIFICATION: Final = 64 * 1024
#: What ends a line of an event: no text of others begins another one.
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_NOT_TOLD: Final = (403, 404, 409)


async def get_versions(visit: Visit) -> ASGIApp:
    """List the versions of an environment, the newest first."""
    shown, versions = await asyncio.gather(
        shown_of(visit),
        visit.get(
            f"{place_of(visit).api}/versions", limit=50, after=visit.query.get("after") or None
        ),
    )
    return visit.render(
        "versions.html",
        **shown.frame("/-/versions"),
        versions=versions["items"],
        before=_before(versions["items"]),
        next=versions["next"],
    )


async def get_version(visit: Visit) -> ASGIApp:
    """Tell of a version; while it is made, how far it is."""
    return await _version_page(visit)


async def post_version(visit: Visit) -> ASGIApp:
    """Activate or cancel a version, or have its specification solved again."""
    form = await visit.form()
    place, number = place_of(visit), visit.field("number")
    try:
        match form.get("do"):
            case "activate":
                return await _activate(visit, place, number, form)
            case "cancel":
                await visit.ask("POST", f"{place.version_api(number)}/cancel")
                return visit.see_other(place.version(number), f"v{number} is cancelled.")
            case "again":
                return await _again(visit, place, number)
            case _:
                return visit.see_other(place.version(number))
    except ApiProblem as problem:
        if problem.is_about_visitor:
            raise
        return await _version_page(visit, problem)


async def get_live(visit: Visit) -> ASGIApp:
    """Follow how a version is made: parts of its page, as server-sent events."""
    place, number = place_of(visit), visit.field("number")
    path = f"{place.version_api(number)}/progress"
    await visit.get(path)  # whoever may not follow is told so, and not by a stream
    last = visit.request.headers.get("last-event-id") or visit.query.get("after", "")
    last = last if whole(last) is not None else ""
    template = "version/_line.html" if visit.query.get("as") == "line" else "version/_progress.html"
    has_log = template != "version/_line.html"
    return EventStreamResponse(_pieces(visit, path, last, template, has_log=has_log))


async def _pieces(
    visit: Visit, path: str, last: str, template: str, *, has_log: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the events of the API, with HTML in the place of documents."""
    yield b": following\n\n"
    async with aclosing(visit.stream(path, last_event_id=last)) as events:
        async for event in events:
            match event.event:
                case "log" if has_log:
                    yield _event("log", f"{html.escape(_cut(event.data))}\n", event.id)
                case "again" if has_log:
                    yield _event("again", "<!-- -->")
                case "progress" | "end" as name:
                    yield _event(name, render(template, line=event.json()))


def _event(name: str, data: str, number: str | None = None) -> bytes:
    identity = f"id: {number}\n" if number is not None else ""
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(data))
    return f"{identity}event: {name}\n{lines}\n".encode()


async def _version_page(visit: Visit, problem: ApiProblem | None = None) -> ASGIApp:
    place, number = place_of(visit), visit.field("number")
    here = place.version_api(number)
    shown, version, progress, specification, log, earlier = await asyncio.gather(
        shown_of(visit),
        visit.get(here),
        unless(visit.get(f"{here}/progress"), *_NOT_TOLD),
        _text(visit, f"{here}/specification"),
        _text(visit, f"{here}/log"),
        _earlier(visit, place, number),
    )
    lines = log.splitlines()
    proposal = await open_proposal(visit, shown.environment)
    is_proposed = proposal is not None and proposal["version"] == version["number"]
    return visit.render(
        "version.html",
        status=problem.status if problem is not None else 200,
        **shown.frame("/-/versions"),
        version=version,
        line=progress,
        problem=problem,
        can_ask=_can_ask(visit, version),
        before=_compared(version, earlier, shown.number),
        took=_took(version),
        proposal=proposal if is_proposed else None,
        counts=counts_of(proposal) if proposal is not None and is_proposed else [],
        specification=specification[:_SPECIFICATION],
        log_lines=[_cut(line) for line in lines[-_LINES:]],
        left_out=max(0, len(lines) - _LINES),
        after=len(lines) - 1 if lines else "",
    )


async def _activate(visit: Visit, place: Place, number: str, form: Fields) -> ASGIApp:
    """Make a version the active one, unless somebody has changed the environment since."""
    body = {"version": _whole(number)}
    await visit.ask("PUT", f"{place.api}/active", json_body=body, headers=unless_changed(form))
    return visit.see_other(place.here, f"v{number} is active now.")


async def _again(visit: Visit, place: Place, number: str) -> ASGIApp:
    """Have the file of a version solved anew, with what the channels have now."""
    file = await visit.ask("GET", f"{place.version_api(number)}/specification")
    asked = await visit.ask(
        "POST",
        f"{place.api}/versions",
        body=file.body,
        content_type="application/octet-stream",
        query={"renew": "1", "note": f"as v{number}"},
    )
    return visit.see_other(place.version(asked.document["number"]))


def _whole(number: str) -> int | str:
    return int(number) if number.isascii() and number.isdigit() else number


async def _text(visit: Visit, path: str) -> str:
    answer = await unless(visit.ask("GET", path), *_NOT_TOLD)
    return answer.text if answer is not None else ""


async def _earlier(visit: Visit, place: Place, number: str) -> Mapping[str, Any] | None:
    """Return the version before one; ``None``: it is the first."""
    whole = _whole(number)
    if not isinstance(whole, int) or whole < 2:
        return None
    found: Mapping[str, Any] | None = await visit.find(place.version_api(whole - 1))
    return found


def _compared(
    version: Mapping[str, Any], earlier: Mapping[str, Any] | None, active: int | None
) -> int | None:
    """Return with which version one is compared: the one before, else the active one."""
    if earlier is not None and earlier["key"] is not None:
        number: int = earlier["number"]
        return number
    return active if active != version["number"] else None


def _can_ask(visit: Visit, version: Mapping[str, Any]) -> bool:
    """Tell whether a waiver can be asked for: whoever looks at it may be the one to do so."""
    return visit.name is not None and "waivers" in version["links"]


def _took(version: Mapping[str, Any]) -> str:
    """Return how long it took to make a version, in words."""
    if version["started_at"] is None or version["ended_at"] is None:
        return ""
    begin, end = (datetime.fromisoformat(version[name]) for name in ("started_at", "ended_at"))
    seconds = max(0, round((end - begin).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _before(versions: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Return, for each version that has a build, the one before it that has another."""
    built = [one for one in versions if one["key"] is not None and not one["blocked"]]
    return {after["number"]: before["number"] for after, before in pairwise(built)}


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[:_LINE]} … ({len(line)} characters)"
