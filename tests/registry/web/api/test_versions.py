import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from registry.catalog import event_feed
from registry.catalog.events import Events
from registry.catalog.records import Actor
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    ended,
    made,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.conftest import Gate
from tests.registry.web.api.site import Site, events_of, wish

pytestmark = pytest.mark.anyio

VERSIONS = f"{NOTEBOOK}/versions"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def test_versions_are_asked_for_built_activated_and_compared(client: Client) -> None:
    first = await make_notebook(client, wish("library"))
    assert (first["state"], first["image"]) == ("built", "registry.test/ada/notebook:v1")
    second = await ask(client, wish("tool"), query="?note=more")
    assert (second.status, second.headers["location"]) == (201, f"{VERSIONS}/2")
    assert second.headers["preference-applied"] == "wait=25"
    assert (second.json()["state"], second.json()["note"]) == ("built", "more")
    again = await ask(client, wish("tool"))
    assert (again.status, again.json()["number"]) == (200, 2)
    environment = await send(client, "GET", NOTEBOOK, ADA)
    assert environment.json()["active"] == 2
    tag = environment.headers["etag"]
    moved = await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 1}, if_match=tag)
    assert (moved.status, moved.json()["number"]) == (200, 1)
    late = await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 2}, if_match=tag)
    refused(late, 412, "REVISION_CONFLICT")
    active = await send(client, "GET", f"{NOTEBOOK}/active", ADA)
    assert (active.json()["number"], active.headers["etag"]) == (1, moved.headers["etag"])
    listed = (await send(client, "GET", VERSIONS, ADA)).json()["items"]
    assert [one["number"] for one in listed] == [2, 1]
    assert (await send(client, "GET", f"{VERSIONS}/2/specification", ADA)).body == wish("tool")
    log = (await send(client, "GET", f"{VERSIONS}/2/log", ADA)).body
    assert b"tool" in log
    diff = (await send(client, "GET", f"{NOTEBOOK}/diff/1/2", ADA)).json()
    assert [one["name"] for one in diff["packages"]["linux-64"]] == ["tool"]
    rebuilt = await ask(client, wish("library"), query="?renew&activate=false")
    assert (rebuilt.json()["number"], rebuilt.json()["state"]) == (3, "unchanged")
    refused(await send(client, "GET", f"{VERSIONS}/9", ADA), 404, "VERSION_UNKNOWN")
    refused(await send(client, "GET", f"{VERSIONS}/v1", ADA), 404, "ENDPOINT_UNKNOWN")
    refused(await send(client, "POST", f"{VERSIONS}/1/cancel", ADA), 409, "VERSION_ENDED")


async def test_what_fails_is_a_version_with_its_sentence(client: Client) -> None:
    await make_notebook(client)
    refused(await send(client, "GET", f"{NOTEBOOK}/active", ADA), 404, "NO_ACTIVE_VERSION")
    failed = await ask(client, wish("nothing-like-this"))
    assert (failed.status, failed.json()["state"]) == (201, "failed")
    assert "nothing-like-this" in failed.json()["message"]
    assert failed.json()["message"] in (
        await send(client, "GET", f"{VERSIONS}/1/log", ADA)
    ).body.decode().replace("\n", " ")
    body = {"version": 1}
    refused(await send(client, "PUT", f"{NOTEBOOK}/active", ADA, body), 409, "VERSION_NOT_BUILT")
    refused(await ask(client, b"dependencies: {"), 400, "INPUT_ERROR")
    assert len((await send(client, "GET", VERSIONS, ADA)).json()["items"]) == 1


async def building(client: Client, who: str) -> list[str]:
    """Return the environments of which a version is made, or waits."""
    reply = await send(client, "GET", "/api/v1/environments?building=true", who)
    return [one["path"] for one in reply.json()["items"]]


async def test_a_version_is_followed_and_cancelled_while_it_is_built(
    client: Client, gate: Gate
) -> None:
    await make_notebook(client)
    reply = await send(client, "POST", VERSIONS, ADA, wish("tool"))
    assert (reply.status, reply.headers["retry-after"]) == (202, "1")
    assert reply.headers["location"] == f"{VERSIONS}/1"
    waited = await send(client, "POST", VERSIONS, ADA, wish("tool"), prefer="wait=1")
    assert (waited.status, waited.json()["number"]) == (202, 1)
    await gate.arrived.wait()
    assert await building(client, ADA) == ["ada/notebook"]
    assert await building(client, BOB) == []
    cancelled = await send(client, "POST", f"{VERSIONS}/1/cancel", ADA)
    assert (cancelled.status, cancelled.json()["state"]) == (200, "cancelled")
    gate.open.set()
    assert (await ended(client, f"{VERSIONS}/1", ADA))["state"] == "cancelled"
    assert await building(client, ADA) == []
    actions = (await send(client, "GET", f"{NOTEBOOK}/events", ADA)).json()["items"]
    assert actions[0]["action"] == "version.cancelled"


async def test_events_are_followed_and_what_was_missed_is_sent_again(client: Client) -> None:
    await make_notebook(client)
    last = (await send(client, "GET", f"{NOTEBOOK}/events", ADA)).json()["items"][0]["id"]
    heard, gone = b"", asyncio.Event()

    def on_body(piece: bytes) -> None:
        nonlocal heard
        heard += piece
        if b"version.activated" in heard:
            gone.set()

    lines = [("accept", "text/event-stream"), ("authorization", ADA)]
    lines.append(("last-event-id", str(last)))
    assert (await ask(client, wish("tool"))).status == 201
    async with asyncio.timeout(30):
        await client.exchange("GET", f"{NOTEBOOK}/events", lines, gone, on_body)
    events = [one for one in events_of(heard) if "event" in one]
    assert [one["event"] for one in events] == [
        "version.queued",
        "version.building",
        "version.built",
        "version.activated",
    ]
    told: list[dict[str, Any]] = [json.loads(one["data"]) for one in events]
    assert [str(one["id"]) for one in told] == [one["id"] for one in events]
    assert all(one["id"] > last for one in told)
    head = await client.head(f"{NOTEBOOK}/events", accept="text/event-stream", authorization=ADA)
    assert head.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize("how", ["token", "role", "disabled"])
async def test_a_stream_of_events_ends_for_whoever_may_follow_no_more(
    client: Client, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for what happens next not to be told, and not for everybody to wait.
    defaults = Events.follow.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "beat_seconds", 2)
    await make_notebook(client)
    granted = await made(
        client, f"{NAMESPACES}/ada/grants", ADA, {"subject": "bob", "role": "viewer"}
    )
    token = await made(client, "/api/v1/tokens", BOB, {"name": "stream"})
    heard, began = b"", asyncio.Event()

    def on_body(piece: bytes) -> None:
        nonlocal heard
        heard += piece
        if b"environment.created" in heard:
            began.set()

    lines = [("accept", "text/event-stream"), ("authorization", f"Bearer {token['secret']}")]
    lines.append(("last-event-id", "0"))
    url = f"{NOTEBOOK}/events"
    following = asyncio.create_task(client.exchange("GET", url, lines, asyncio.Event(), on_body))
    async with asyncio.timeout(30):
        await began.wait()
        if how == "token":
            await send(client, "DELETE", f"/api/v1/tokens/{token['id']}", BOB)
        elif how == "role":
            await send(client, "DELETE", f"{NAMESPACES}/ada/grants/{granted['id']}", ADA)
        else:
            assert client.services.catalog is not None
            principals = client.services.catalog.principals
            await principals.set_disabled(Actor("root"), "bob", is_disabled=True)
        await send(client, "PATCH", NOTEBOOK, ADA, {"description": "secret"})
        await following
    assert [one["event"] for one in events_of(heard)] == ["environment.created"]


async def test_one_person_follows_so_many_streams(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_STREAMS", 2)
    await make_notebook(client)
    gone, url = asyncio.Event(), f"{NOTEBOOK}/events"
    lines = [("accept", "text/event-stream"), ("authorization", ADA), ("last-event-id", "0")]
    following = []
    for _ in range(2):
        began = asyncio.Event()
        exchange = client.exchange("GET", url, lines, gone, _telling(began))
        following.append(asyncio.create_task(exchange))
        await began.wait()
    stream = {"accept": "text/event-stream"}
    told = refused(await send(client, "GET", url, ADA, **stream), 429, "TOO_MANY_STREAMS")
    assert "2 streams" in told
    assert (await send(client, "GET", url, ADA)).status == 200
    assert (await client.head(url, authorization=ROOT, **stream)).status == 200
    gone.set()
    await asyncio.gather(*following)
    assert (await client.head(url, authorization=ADA, **stream)).status == 200


def _telling(began: asyncio.Event) -> Callable[[bytes], None]:
    def on_body(piece: bytes) -> None:
        if b"id: " in piece:
            began.set()

    return on_body


async def test_a_post_with_a_key_is_carried_out_once(client: Client) -> None:
    await make_notebook(client)
    url = f"{NAMESPACES}/ada/environments"
    body = {"name": "other"}
    first = await send(client, "POST", url, ADA, body, idempotency_key="k1")
    again = await send(client, "POST", url, ADA, body, idempotency_key="k1")
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    refused(
        await send(client, "POST", url, ADA, {"name": "third"}, idempotency_key="k1"),
        422,
        "KEY_REUSED",
    )
    refused(
        await send(client, "POST", url, ADA, body, idempotency_key="k2"), 409, "CATALOG_NAME_TAKEN"
    )
    await send(client, "DELETE", f"{url}/other", ADA)
    assert (await send(client, "POST", url, ADA, body, idempotency_key="k2")).status == 201
    refused(
        await send(client, "POST", url, ADA, body, idempotency_key="a b"), 400, "PARAMETER_INVALID"
    )
    refused(
        await send(client, "POST", url, BOB, body, idempotency_key="k1"), 404, "NAMESPACE_UNKNOWN"
    )


async def test_who_left_while_they_waited_gets_what_they_asked_for_when_they_come_again(
    client: Client, gate: Gate
) -> None:
    await make_notebook(client)
    url, headers = f"{NOTEBOOK}/versions?renew", [("authorization", ADA), ("idempotency-key", "k")]
    gone = asyncio.Event()
    waiting = asyncio.create_task(
        client.exchange("POST", url, [*headers, ("prefer", "wait=25")], gone, body=wish("tool"))
    )
    await gate.arrived.wait()
    gone.set()
    await asyncio.wait({waiting})
    again = await client.request("POST", url, headers, wish("tool"))
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status, again.json()["number"]) == (202, 1)
    gate.open.set()
    await ended(client, f"{NOTEBOOK}/versions/1", ADA)
    versions = (await send(client, "GET", f"{NOTEBOOK}/versions", ADA)).json()["items"]
    assert [version["number"] for version in versions] == [1]


async def test_without_a_database_named_environments_say_which_setting_is_missing(
    client: Client,
) -> None:
    state = {**client._state, "services": replace(client.services, catalog=None)}
    other = Client(client._app, state)
    for path in (NAMESPACES, NOTEBOOK, "/api/v1/users/me"):
        told = refused(await send(other, "GET", path, ADA), 503, "DATABASE_MISSING")
        assert "PULLFORGE_DATABASE" in told
    assert (await other.get("/api/v1/openapi.json")).status == 200
