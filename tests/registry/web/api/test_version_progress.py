import asyncio
import json
from typing import Any

import pytest

from builder.errors import UnknownPackage
from registry.images.failure import ERROR_CODES
from registry.requests.phases import PHASES, phase_states
from registry.requests.status import RequestStatus
from registry.requests.suggestions import suggestion_for
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import ADA, NOTEBOOK, ROOT, ask, make_notebook, refused, send
from tests.registry.web.api.conftest import Gate
from tests.registry.web.api.site import Site, events_of, wish

pytestmark = pytest.mark.anyio

VERSIONS = f"{NOTEBOOK}/versions"
PROGRESS = f"{VERSIONS}/1/progress"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


class Follower:
    """Reads a stream of events, in pieces as they come."""

    def __init__(self, client: Client, url: str = PROGRESS, last: str | None = None) -> None:
        lines = [("accept", "text/event-stream"), ("authorization", ADA)]
        if last is not None:
            lines.append(("last-event-id", last))
        self._text = b""
        self._news = asyncio.Event()
        self.gone = asyncio.Event()
        exchange = client.exchange("GET", url, lines, self.gone, self._on_body)
        self.task = asyncio.create_task(exchange)

    def _on_body(self, piece: bytes) -> None:
        self._text += piece
        self._news.set()

    @property
    def events(self) -> list[dict[str, str]]:
        return [one for one in events_of(self._text) if "event" in one]

    @property
    def lines(self) -> list[str]:
        return [one["data"] for one in self.events if one["event"] == "log"]

    def last(self, name: str) -> Any:
        return json.loads([one["data"] for one in self.events if one["event"] == name][-1])

    async def heard(self, name: str) -> None:
        """Return when an event of that name has come."""
        async with asyncio.timeout(60):
            while all(one["event"] != name for one in self.events):
                self._news.clear()
                await self._news.wait()

    async def leave(self) -> None:
        self.gone.set()
        await self.task


async def test_a_version_is_followed_from_the_queue_to_its_end(client: Client, gate: Gate) -> None:
    await make_notebook(client)
    assert (await send(client, "POST", VERSIONS, ADA, wish("tool"))).status == 202
    follower = Follower(client)
    await gate.arrived.wait()
    await follower.heard("progress")
    gate.open.set()
    await follower.heard("end")
    await follower.task
    end = follower.last("end")
    assert (end["state"], end["percent"], end["phase"], end["failure"]) == (
        "built",
        100,
        None,
        None,
    )
    assert {one["state"] for one in end["phases"]} == {"done", "skipped"}
    assert "cancel" in follower.last("progress")["links"]
    assert "cancel" not in end["links"]
    whole = (await send(client, "GET", f"{VERSIONS}/1/log", ADA)).body.decode().splitlines()
    assert follower.lines == whole
    assert end["log_lines"] == len(whole)
    document = (await send(client, "GET", PROGRESS, ADA)).json()
    assert document == end


async def test_whoever_comes_again_gets_what_they_missed_and_no_more(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    first = Follower(client)
    await first.task
    again = Follower(client, last="3")
    await again.task
    assert again.lines == first.lines[4:]
    assert [one["event"] for one in again.events][-1] == "end"
    # Another server has begun anew, and its log is shorter.
    other = Follower(client, last="999")
    await other.task
    assert other.events[0]["event"] == "again"
    assert other.lines == first.lines
    lines = {"accept": "text/event-stream", "last_event_id": "x"}
    refused(await send(client, "GET", PROGRESS, ADA, **lines), 400, "PARAMETER_INVALID")


async def test_a_failure_is_told_with_its_first_line_and_what_may_help(client: Client) -> None:
    await make_notebook(client)
    await ask(client, wish("nothing-like-this"))
    document = (await send(client, "GET", PROGRESS, ADA)).json()
    failure = document["failure"]
    assert (document["state"], document["has_ended"], failure["code"]) == (
        "failed",
        True,
        "UNKNOWN_PACKAGE",
    )
    assert "nothing-like-this" in failure["sentence"]
    assert failure["detail"].startswith(failure["sentence"])
    assert failure["suggestion"] == suggestion_for(UnknownPackage.__name__) != ""
    states = {one["phase"]: one["state"] for one in document["phases"]}
    assert (states["queue"], states["solve"], states["download"]) == ("done", "failed", "later")


async def test_a_version_that_is_cancelled_ends_its_streams(client: Client, gate: Gate) -> None:
    await make_notebook(client)
    await send(client, "POST", VERSIONS, ADA, wish("tool"))
    await gate.arrived.wait()
    follower = Follower(client)
    await follower.heard("progress")
    assert (await send(client, "POST", f"{VERSIONS}/1/cancel", ADA)).status == 200
    await follower.heard("end")
    await follower.task
    assert follower.last("end")["state"] == "cancelled"
    gate.open.set()


async def test_whoever_may_see_it_no_more_is_told_no_more(client: Client, gate: Gate) -> None:
    await make_notebook(client)
    await send(client, "POST", VERSIONS, ADA, wish("tool"))
    await gate.arrived.wait()
    follower = Follower(client)
    await follower.heard("progress")
    change = {"owner": "bob"}
    reply = await send(client, "PATCH", "/api/v1/namespaces/ada", ROOT, change)
    assert reply.status == 200, reply
    gate.open.set()
    async with asyncio.timeout(60):
        await follower.task
    assert follower.events[-1]["event"] == "progress"


async def test_who_waits_is_told_how_many_are_before(client: Client, gate: Gate) -> None:
    await make_notebook(client)
    catalog = client.services.catalog
    assert catalog is not None
    for number, name in enumerate(("tool", "library", "tool >=1", "tool >=2"), start=1):
        await send(client, "POST", VERSIONS, ADA, wish(name))
        environment = await catalog.environments.get("ada", "notebook")
        assert await catalog.overviews.ahead(environment.id, number) < number
    documents = [
        (await send(client, "GET", f"{VERSIONS}/{number}/progress", ADA)).json()
        for number in range(1, 5)
    ]
    assert all((one["ahead"] is None) == (one["state"] != "queued") for one in documents)
    details = (await send(client, "GET", f"{NOTEBOOK}?details", ADA)).json()["details"]
    assert details["newest"]["number"] == 4
    assert details["newest"]["percent"] in range(100)
    gate.open.set()


def test_every_error_that_can_end_a_version_has_a_suggestion_or_says_that_there_is_none() -> None:
    without = {code for code in ERROR_CODES if not suggestion_for(code)}
    assert without == {"BuilderError"}


def test_phases_before_the_one_that_is_now_are_done_or_were_not_needed() -> None:
    log = ("2026-11-29T23:59:03Z solving the environment", "2026-11-29T23:59:04Z x")
    status = RequestStatus("1", "building", progress="downloading packages (3 of 9)", log=log)
    states = dict(phase_states(status, has_ended=False, has_failed=False))
    assert states["solve"] == "done"
    assert states["pypi"] == "skipped"
    assert (states["download"], states["assemble"]) == ("now", "later")
    assert list(states) == list(PHASES)
    assert dict(phase_states(None, has_ended=False, has_failed=False))["queue"] == "now"
