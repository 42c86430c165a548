"""A version is followed over streams that break off, are held back, or are not there."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from registry.cli.api import Api, Refused, Unreachable
from registry.cli.following import follow_version
from registry.cli.places import environment_place

pytestmark = pytest.mark.anyio

PLACE = environment_place("ada/notebook")
STREAM = {"content-type": "text/event-stream"}


class Server:
    """Answers how far a version is, and its events."""

    def __init__(self, *states: str | httpx.Response | Exception, stream: str = "held") -> None:
        self.states = list(states)
        self.stream = stream
        self.looks = self.streams = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            self.streams += 1
            return await self.events()
        if request.url.path.endswith("/progress"):
            return httpx.Response(200, json={"words": "solving the environment", "percent": 40})
        self.looks += 1
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        if isinstance(state, httpx.Response):
            return state
        return httpx.Response(200, json={"number": 1, "state": state})

    async def events(self) -> httpx.Response:
        if self.stream == "refused":
            return httpx.Response(503, json={})
        return httpx.Response(200, headers=STREAM, content=self.pieces())

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b": following\n\n"
        while self.stream == "told":
            await asyncio.sleep(0)
            yield b"id: 7\nevent: version.built\ndata: {}\n\n"
            yield b": still there\n\n"
        if self.stream == "broken":
            raise httpx.ReadError("gone")
        await asyncio.Event().wait()


async def follow(server: Server, told: list[str] | None = None) -> str:
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as http:
        on_progress = told.append if told is not None else None
        version = await follow_version(Api(http, "http://host"), PLACE, 1, on_progress)
        return version.word("state")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_SECONDS", "_LAST_SECONDS", "_FOLLOWED_SECONDS", "_TOLD_SECONDS"):
        monkeypatch.setattr(f"registry.cli.following.{name}", 0.001)
    monkeypatch.setattr("registry.cli.following._PAUSES", (0.001,))


async def test_an_event_is_worth_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.cli.following._FOLLOWED_SECONDS", 3600)
    monkeypatch.setattr("registry.cli.following._FIRST_SECONDS", 3600)
    server = Server("queued", "building", "building", "built", stream="told")
    async with asyncio.timeout(30):
        assert await follow(server) == "built"
    assert server.streams == 1


@pytest.mark.parametrize("stream", ["held", "broken", "refused"])
async def test_without_events_the_version_is_looked_at_anyhow(stream: str) -> None:
    server = Server("queued", *["building"] * 50, "failed", stream=stream)
    async with asyncio.timeout(30):
        assert await follow(server) == "failed"
    assert server.looks == 52
    assert (server.streams > 1) == (stream != "held")


async def test_people_are_told_what_is_done_now() -> None:
    told: list[str] = []
    assert await follow(Server("queued", "building", "built"), told) == "built"
    assert told == ["version 1 is queued", "version 1: solving the environment, 40 %"]


async def test_a_server_that_is_started_anew_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    away = httpx.ConnectError("refused")
    busy = httpx.Response(503, json={"error": {"code": "X", "message": "not now"}})
    server = Server("queued", away, busy, away, "built", stream="refused")
    assert await follow(server) == "built"
    monkeypatch.setattr("registry.cli.following._AWAY_SECONDS", 0)
    with pytest.raises(Unreachable, match="refused"):
        await follow(Server(away))


async def test_a_version_that_there_is_not_is_told_at_once() -> None:
    unknown = httpx.Response(404, json={"error": {"code": "X", "message": "no such version"}})
    with pytest.raises(Refused, match="no such version"):
        await follow(Server(unknown))
