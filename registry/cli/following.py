"""Waiting for the end of a version, as the server's events tell of it.

An event says only that it is worth a look: the version is asked for, then, and every few seconds
anyhow. So nothing is missed when a stream breaks off, when a proxy holds it back, or when there is
none.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import httpx
from httpx_sse import aconnect_sse

from registry.cli.api import PREFIX, Api, Document, Refused, Unreachable
from registry.cli.output import plain
from registry.cli.places import EnvironmentPlace
from registry.cli.remote import RemoteError

OPEN: Final = frozenset({"queued", "building"})
#: How long until the version is looked at again: while its events are followed, and while not.
_FOLLOWED_SECONDS: Final = 10.0
_FIRST_SECONDS: Final = 0.2
_LAST_SECONDS: Final = 5.0
#: How often people are told what is done now.
_TOLD_SECONDS: Final = 1.0
#: For so long a server may be away, while it is started anew for instance.
_AWAY_SECONDS: Final = 120.0
#: Something is sent at least every 15 s.
_STREAM: Final = httpx.Timeout(10, read=40)
_PAUSES: Final = (1.0, 2.0, 5.0, 15.0)


@dataclass(slots=True)
class _Stream:
    """What is known of the stream of events."""

    #: Set when it is worth a look.
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: bool = False


async def follow_version(
    api: Api,
    place: EnvironmentPlace,
    number: int,
    on_progress: Callable[[str], None] | None = None,
) -> Document:
    """Return a version once it has ended.

    Args:
        api: The server.
        place: Its environment.
        number: Its number.
        on_progress: Is told what is done now; ``None``: nobody looks.

    Raises:
        Unreachable: The server has not answered for two minutes.
        RemoteError: There is no such version, or the server is none.
    """
    stream = _Stream()
    listening = asyncio.create_task(_listen(api, place, stream))
    try:
        return await _look(api, place, number, stream, on_progress)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _look(
    api: Api,
    place: EnvironmentPlace,
    number: int,
    stream: _Stream,
    on_progress: Callable[[str], None] | None,
) -> Document:
    clock = asyncio.get_running_loop().time
    pause, seen = _FIRST_SECONDS, clock()
    while True:
        stream.news.clear()
        try:
            version = await api.get(place.version(number))
            if version.word("state") not in OPEN:
                return version
            if on_progress is not None:
                on_progress(await _step(api, place, version))
            seen = clock()
        except (Unreachable, Refused) as exc:
            if not _passes(exc) or clock() - seen > _AWAY_SECONDS:
                raise
        wait = _FOLLOWED_SECONDS if stream.is_open else pause
        if on_progress is not None:
            wait = min(wait, _TOLD_SECONDS)
        pause = min(pause * 1.5, _LAST_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(stream.news.wait(), wait)


async def _listen(api: Api, place: EnvironmentPlace, stream: _Stream) -> None:
    """Have a look taken whenever something happens to the environment; for ever."""
    url = f"{api.server}{PREFIX}/{place.address}/events"
    for attempt in range(1_000_000):
        with suppress(httpx.HTTPError):
            async with aconnect_sse(api.http, "GET", url, timeout=_STREAM) as source:
                if source.response.is_success:
                    stream.is_open = True
                    # What happened before is told by no stream.
                    stream.news.set()
                    async for event in source.aiter_sse():
                        # After an event with an id, a comment that keeps the connection open comes
                        # as one without data.
                        if event.data:
                            stream.news.set()
        stream.is_open = False
        stream.news.set()
        await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])


async def _step(api: Api, place: EnvironmentPlace, version: Document) -> str:
    """Return what is done now, in words."""
    number, state = version.number("number"), version.word("state")
    if state != "building":
        return f"version {number} is {state}"
    with suppress(RemoteError, KeyError):
        told = await api.get(f"{place.version(number)}/progress")
        return f"version {number}: {plain(told.word('words'))}, {told.number('percent')} %"
    return f"version {number} is being built"


def _passes(exc: RemoteError) -> bool:
    """Tell whether a fault may pass by itself."""
    return not isinstance(exc, Refused) or exc.status in {429, 502, 503, 504}
