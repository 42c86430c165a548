import asyncio
import json

import httpx
import pytest

from registry.cli.remote import RemoteError, push_file
from tests.registry.web.api.conftest import Gate, gate, site
from tests.registry.web.api.site import BUILDS, Site, wish

__all__ = ["gate", "site"]


async def _exchange(site: Site, gate: Gate) -> dict[tuple[str, str], httpx.Response]:
    """Return what a server answers to who sends a file and follows it, by method and path."""
    async with site.open() as client:
        asked = await client.post(BUILDS, wish("tool"))
        path = asked.headers["location"]
        following = asyncio.create_task(client.get(f"{path}/events"))
        await gate.arrived.wait()
        gate.open.set()
        events = await following
        build = await client.get(json.loads(events.body.split(b"data: ")[-1])["links"]["build"])
    return {
        ("POST", BUILDS): httpx.Response(202, headers={"location": path}, content=asked.body),
        ("GET", f"{path}/events"): httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=events.body
        ),
        ("GET", build.json()["links"]["self"]): httpx.Response(200, content=build.body),
    }


async def _push(answers: dict[tuple[str, str], httpx.Response], told: list[str]) -> object:
    def answer(request: httpx.Request) -> httpx.Response:
        return answers[request.method, request.url.path]

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await push_file(http, "http://host", wish("tool"), told.append)


@pytest.mark.anyio
async def test_what_keeps_the_connection_open_is_no_event(
    site: Site, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.web.api.events._KEEP_ALIVE_SECONDS", 0.0001)
    answers = await _exchange(site, gate)
    stream = next(one for (_, path), one in answers.items() if path.endswith("/events")).text
    assert ": still there" in stream.partition("id: 0")[2]
    told: list[str] = []
    document = await _push(answers, told)
    assert isinstance(document, dict)
    assert document["key"]
    assert told[-1].endswith("%)")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [b"[]", b"{}", b"no", b'{"state": "done"}'])
async def test_a_stream_of_another_server_is_told_apart(
    site: Site, gate: Gate, status: bytes
) -> None:
    answers = await _exchange(site, gate)
    (events,) = (key for key in answers if key[1].endswith("/events"))
    answers[events] = httpx.Response(
        200,
        headers={"content-type": "text/event-stream"},
        content=b"event: end\ndata: " + status + b"\n\n",
    )
    with pytest.raises(RemoteError, match="is no pullforge server"):
        await _push(answers, [])
