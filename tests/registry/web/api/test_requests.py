import asyncio
import json
import shutil

import pytest

from registry.requests.runner import BuildRunner
from tests.registry.asgi import Client
from tests.registry.web.api.conftest import Gate
from tests.registry.web.api.site import BUILDS, Site, build, events_of, wish

pytestmark = pytest.mark.anyio


async def ended(client: Client, path: str) -> list[dict[str, str]]:
    """Follow a request to its end and return its events."""
    return events_of((await client.get(f"{path}/events")).body)


async def test_a_request_is_answered_at_once_and_carried_out_in_the_background(
    client: Client, gate: Gate
) -> None:
    reply = await client.post(BUILDS, wish("tool"))
    assert reply.status == 202
    path = reply.headers["location"]
    status = reply.json()
    assert path == status["links"]["self"] == f"/api/v1/requests/{status['id']}"
    assert (status["state"], status["percent"], status["key"]) == ("queued", 0, None)
    gate.open.set()
    await ended(client, path)
    status = (await client.get(path)).json()
    assert (status["state"], status["percent"]) == ("done", 100)
    assert status["links"]["build"] == f"{BUILDS}/{status['key']}"
    log = (await client.get(f"{path}/log")).body
    assert b"asked for tool from main" in log


async def test_whoever_prefers_to_wait_gets_the_build_or_its_state(
    client: Client, gate: Gate
) -> None:
    gate.open.set()
    reply = await client.post(BUILDS, wish("tool"), prefer="respond-async, wait=600")
    assert reply.status == 201
    assert reply.headers["preference-applied"] == "wait=25"


async def test_what_happens_is_told_until_the_end(client: Client, gate: Gate) -> None:
    path = (await client.post(BUILDS, wish("tool"))).headers["location"]
    following = asyncio.create_task(client.get(f"{path}/events"))
    await gate.arrived.wait()
    gate.open.set()
    reply = await following
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["x-accel-buffering"] == "no"
    events = events_of(reply.body)
    logs = [event for event in events if event["event"] == "log"]
    assert [int(event["id"]) for event in logs] == list(range(len(logs)))
    assert "asked for tool" in logs[0]["data"]
    percents = [json.loads(e["data"])["percent"] for e in events if e["event"] == "progress"]
    assert percents == sorted(percents)
    last = events[-1]
    assert last["event"] == "end"
    assert json.loads(last["data"]) == (await client.get(path)).json()
    # Who comes again gets what it has missed, also after the end.
    rest = events_of((await client.get(f"{path}/events", last_event_id="1")).body)
    assert next(event["id"] for event in rest if event["event"] == "log") == "2"
    assert (await client.head(f"{path}/events")).status == 200


async def test_a_client_that_leaves_stops_nothing(client: Client, gate: Gate) -> None:
    path = (await client.post(BUILDS, wish("tool"))).headers["location"]
    gone = asyncio.Event()
    await asyncio.gather(
        client.exchange("GET", f"{path}/events", (), gone, lambda _: gone.set()),
        client.exchange("POST", BUILDS, [("prefer", "wait=25")], gone, body=wish("tool")),
        _open_after(gone, gate),
    )
    events = await ended(client, path)
    assert json.loads(events[-1]["data"])["state"] == "done"


async def _open_after(gone: asyncio.Event, gate: Gate) -> None:
    await gone.wait()
    gate.open.set()


async def test_however_many_ask_it_is_made_once(client: Client, gate: Gate) -> None:
    replies = await asyncio.gather(*(client.post(BUILDS, wish("tool")) for _ in range(20)))
    assert len({reply.headers["location"] for reply in replies}) == 1
    gate.open.set()
    await ended(client, replies[0].headers["location"])
    assert gate.passed == 1


async def test_only_so_many_requests_are_under_way(site: Site, gate: Gate) -> None:
    async with site.open(max_builds=1) as client:
        first = await client.post(BUILDS, wish("tool"))
        second = await client.post(BUILDS, wish("library"))
        assert second.status == 429
        assert second.headers["retry-after"] == "10"
        assert "1 builds are under way" in second.json()["error"]["message"]
        # The same as the first is no further one.
        assert (await client.post(BUILDS, wish("tool"))).status == 202
        gate.open.set()
        await ended(client, first.headers["location"])
        assert (await build(client, wish("library"))).status == 201


async def test_a_server_that_ends_hands_its_requests_to_the_next(site: Site, gate: Gate) -> None:
    async with site.open() as client:
        path = (await client.post(BUILDS, wish("tool"))).headers["location"]
        await gate.arrived.wait()
    gate.open.set()
    async with site.open() as client:
        events = await ended(client, path)
        assert json.loads(events[-1]["data"])["state"] == "done"
        assert (await client.post(BUILDS, wish("tool"))).status == 200
    assert site.files("inputs") == []
    assert gate.passed == 1


async def test_a_request_of_a_server_that_was_killed_is_taken_up(site: Site, gate: Gate) -> None:
    async with site.open() as client:
        path = (await client.post(BUILDS, wish("tool"))).headers["location"]
        await gate.arrived.wait()
        shutil.copytree(site.store, site.root / "killed")
    gate.open.set()
    async with site.open(store=str(site.root / "killed")) as client:
        # It may still run, for all that anybody knows.
        assert (await client.get(path)).json()["state"] == "queued"
        assert gate.passed == 0
        site.clock.now += 60
        events = await ended(client, path)
        assert json.loads(events[-1]["data"])["state"] == "done"


async def test_two_servers_on_one_store_know_each_others_requests(site: Site, gate: Gate) -> None:
    async with site.open() as one, site.open() as other:
        path = (await one.post(BUILDS, wish("tool"))).headers["location"]
        same = await other.post(BUILDS, wish("tool"))
        assert (same.status, same.headers["location"]) == (202, path)
        following = asyncio.create_task(ended(other, path))
        waiting = asyncio.create_task(other.post(BUILDS, wish("tool"), prefer="wait=25"))
        gate.open.set()
        events = await following
        key = json.loads(events[-1]["data"])["key"]
        assert (await waiting).json()["key"] == key
        assert [event["event"] for event in events].count("log") > 5
        assert (await other.get(f"{BUILDS}/{key}/log")).body
    assert gate.passed == 1


async def test_of_two_servers_with_the_same_request_the_first_has_the_say(
    site: Site, gate: Gate
) -> None:
    async with site.open() as one, site.open() as other:
        path = (await one.post(BUILDS, wish("tool"))).headers["location"]
        await gate.arrived.wait()
        (
            site.store / f"{path.removeprefix('/api/v1/')}.json"
        ).unlink()  # as if both had looked before either wrote
        await other.post(BUILDS, wish("tool"))
        gate.open.set()
        first, second = await asyncio.gather(ended(one, path), ended(other, path))
    assert first[-1]["event"] == second[-1]["event"] == "end"
    assert json.loads(first[-1]["data"])["key"] == json.loads(second[-1]["data"])["key"]


async def test_what_nobody_foresaw_is_a_failure_that_tells_nothing_of_the_inside(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> str:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(BuildRunner, "make", fail)
    reply = await client.post(BUILDS, wish("tool"), prefer="wait=25")
    assert reply.status == 500
    assert b"hunter2" not in reply.body
    path = f"/api/v1/requests/{(await _id_of(client))}"
    status = (await client.get(path)).json()
    assert status["state"] == "failed"
    assert status["error"]["status"] == 500


async def _id_of(client: Client) -> str:
    keys = [
        entry.key async for entry in client.services.builds.requests._store.entries("requests/")
    ]
    return keys[0].removeprefix("requests/").removesuffix(".json")


async def test_a_request_that_there_is_not(client: Client) -> None:
    for rest in ("", "/events", "/log"):
        for identity in ("0" * 32, "x"):
            reply = await client.get(f"/api/v1/requests/{identity}{rest}")
            assert reply.status == 404
            assert reply.json()["error"]["code"] == "REQUEST_UNKNOWN"
