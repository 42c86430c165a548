"""How far a version is, as a document and as server-sent events.

::

    event: log         id: number of the line    data: the line
    event: again                                 the log begins anew: forget its lines
    event: progress                              data: the document
    event: end                                   data: the same, and the stream is over

Everything is read from the database and the store: a stream goes on where it was, by
``Last-Event-ID``, on any server and whichever server makes the version.

Source:
    HTML standard, "Server-sent events".
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.records import Version
from registry.catalog.waiver_rows import refusal_of
from registry.errors import (
    BuildBlocked,
    BuildUnknown,
    DatabaseUnavailable,
    EnvironmentUnknown,
    ParameterInvalid,
    TooManyStreams,
    VersionUnknown,
)
from registry.images.failure import Failure
from registry.requests.phases import PHASES, phase_of, phase_states
from registry.requests.status import RequestStatus
from registry.requests.suggestions import suggestion_for
from registry.web.api.answers import answer
from registry.web.api.catalog_documents import (
    environment_path,
    time_or_none,
    time_text,
    version_path,
)
from registry.web.api.catalog_events import EVENT_STREAM, counted_as
from registry.web.api.endpoints import Call
from registry.web.api.errors import error_document, refusal_document
from registry.web.api.models import NoBody, NoQuery
from registry.web.api.progress_documents import VersionFailureDocument, VersionProgressDocument
from registry.web.asgi.event_stream import EventStreamResponse

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
#: Proxies close a connection on which nothing is sent for some time; 30 s is the least of those.
_KEEP_ALIVE_SECONDS: Final = 15
#: A version is looked at again after so long although nothing told of a change.
_LOOK_SECONDS: Final = 5
#: A build that is done becomes a version that is built within moments.
_ENDING_SECONDS: Final = 0.5
#: No client is told more often: what happens meanwhile is told together.
_PAUSE_SECONDS: Final = 0.1
_IMPORTED: Final = "it was built elsewhere and is imported: how it was built is not known here"


@dataclass(frozen=True, slots=True)
class _Sight:
    """A version as it is at one moment, with all that is known of how it is made."""

    version: Version
    status: RequestStatus | None
    lines: Sequence[str]
    document: VersionProgressDocument


async def get_version_progress(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Tell how far a version is; or follow it to its end, with its log."""
    version = await call.catalog.versions.get(*call.place, call.number())
    if EVENT_STREAM not in call.request.headers.get("accept", ""):
        return answer(200, (await _sight(call, version)).document)
    last = call.request.headers.get("last-event-id")
    if last is not None and not _NUMBER.fullmatch(last):
        raise ParameterInvalid("Last-Event-ID is the id of the last line that you got")
    who = counted_as(call)
    call.catalog.events.require_room(who)
    return EventStreamResponse(_pieces(call, who, int(last) + 1 if last is not None else 0))


async def version_lines(call: Call[Any, Any], version: Version) -> Sequence[str]:
    """Return the log of a version: what has happened so far, and why it failed.

    Raises:
        BuildBlocked: Nobody may have its build.
        BuildUnknown: The store has lost it.
    """
    return await _lines(call, version, await _status(call, version))


async def _pieces(call: Call[NoQuery, NoBody], who: str, sent: int) -> AsyncGenerator[bytes, None]:
    """Yield what is new, from line ``sent`` on, until the version has ended.

    It ends also when whoever follows may see the version no more, or nobody can tell.
    """
    told: VersionProgressDocument | None = None
    try:
        async with call.catalog.events.following(who, *call.place) as woken:
            yield b": following\n\n"
            while True:
                woken.clear()
                if not _may_follow(call):
                    return
                version = await call.catalog.versions.get(*call.place, call.number())
                sight = await _sight(call, version)
                text, sent = _log(sight.lines, sent)
                if sight.document != told:
                    name = "end" if version.has_ended else "progress"
                    text += _event(name, json.dumps(sight.document))
                    told = sight.document
                yield text.encode() or b": still there\n\n"
                if version.has_ended:
                    return
                await _changed(call, sight, woken)
    except (DatabaseUnavailable, EnvironmentUnknown, VersionUnknown, TooManyStreams):
        return  # the client comes again, and is told then


def _log(lines: Sequence[str], sent: int) -> tuple[str, int]:
    """Return the events of lines from ``sent`` on, and how many have been sent then.

    A request that another server takes up begins its log anew.
    """
    text = ""
    if sent > len(lines):
        text, sent = _event("again", "{}"), 0
    text += "".join(_event("log", lines[number], number) for number in range(sent, len(lines)))
    return text, len(lines)


async def _changed(call: Call[NoQuery, NoBody], sight: _Sight, woken: asyncio.Event) -> None:
    """Return when there may be something new, at the latest when a sign of life is due."""
    requests = call.request.state["services"].builds.requests
    status = sight.status
    waits: list[asyncio.Task[Any]] = [asyncio.create_task(woken.wait())]
    seconds: float = _KEEP_ALIVE_SECONDS
    if status is None:
        seconds = _LOOK_SECONDS
    elif status.has_ended:
        seconds = _ENDING_SECONDS
    else:
        waits.append(asyncio.create_task(requests.next(status, seconds)))
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    await asyncio.sleep(_PAUSE_SECONDS)


def _may_follow(call: Call[NoQuery, NoBody]) -> bool:
    """Tell whether whoever follows may see the environment at this moment."""
    rights = call.rights.renewed()
    return rights is not None and rights.has_role("viewer", *call.place)


async def _sight(call: Call[NoQuery, NoBody], version: Version) -> _Sight:
    status = await _status(call, version)
    try:
        lines = await _lines(call, version, status)
    except (BuildBlocked, BuildUnknown):  # how far it is may be known nevertheless
        lines = []
    ahead = None
    if version.state == "queued":
        ahead = await call.catalog.overviews.ahead(version.environment_id, version.number)
    document = _document(version, status, call.place, len(lines), ahead)
    return _Sight(version, status, lines, document)


async def _status(call: Call[Any, Any], version: Version) -> RequestStatus | None:
    if version.request is None:
        return None
    requests = call.request.state["services"].builds.requests
    status: RequestStatus | None = await requests.status(version.request)
    return status


async def _lines(
    call: Call[Any, Any], version: Version, status: RequestStatus | None
) -> Sequence[str]:
    lines: list[str] = []
    if status is not None and status.log:
        lines = list(status.log)
    elif version.key is not None:
        locked = call.request.state["services"].builds.locked
        lines = (await locked.log(version.key)).decode().splitlines()
    if not lines and version.reason == "import":
        lines = [_IMPORTED]
    if version.has_ended and version.message and version.message not in "\n".join(lines):
        lines += version.message.splitlines()
    return lines


def _document(
    version: Version,
    status: RequestStatus | None,
    place: tuple[str, str],
    log_lines: int,
    ahead: int | None,
) -> VersionProgressDocument:
    here = version_path(*place, version.number)
    is_whole = version.state in {"built", "unchanged"}
    links = {
        "self": f"{here}/progress",
        "version": here,
        "log": f"{here}/log",
        "events": f"{environment_path(*place)}/events",
    }
    if not version.has_ended:
        links["cancel"] = f"{here}/cancel"
    phase = phase_of(status)
    words = "" if version.has_ended else (status.progress if status else "") or PHASES[phase]
    states = phase_states(status, has_ended=version.has_ended, has_failed=not is_whole)
    return {
        "environment": "/".join(place),
        "version": version.number,
        "state": version.state,
        "has_ended": version.has_ended,
        "percent": 100 if is_whole else status.percent if status is not None else 0,
        "words": words,
        "phase": None if version.has_ended else phase,
        "phases": [{"phase": one, "words": PHASES[one], "state": state} for one, state in states],
        "ahead": ahead,
        "failure": _failure(version, status) if version.state == "failed" else None,
        "log_lines": log_lines,
        "created_at": time_text(version.created_at),
        "started_at": time_or_none(version.started_at),
        "ended_at": time_or_none(version.ended_at),
        "links": links,
    }


def _failure(version: Version, status: RequestStatus | None) -> VersionFailureDocument:
    refusal = refusal_of(version.told)
    failure = status.failure if status is not None else None
    if failure is None:
        failure = Failure("PolicyRefused" if refusal is not None else "", version.message)
    said = error_document(failure)
    return {
        "sentence": next(iter(version.message.strip().splitlines()), ""),
        "detail": version.message,
        "code": said["code"] if failure.kind else "",
        "field": failure.field,
        "line": failure.line,
        "suggestion": suggestion_for(failure.kind),
        "refusal": refusal_document(refusal) if refusal is not None else None,
    }


def _event(name: str, data: str, number: int | None = None) -> str:
    identity = f"id: {number}\n" if number is not None else ""
    told = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"{identity}event: {name}\n{told}\n"
