"""Schedules through the API, and what a real service makes of one that is due."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from builder.rules.model import Advisory, Affected, AffectedRange
from registry.database import open_database, tables
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ended,
    made,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

SCHEDULE = f"{NOTEBOOK}/schedule"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def put(client: Client, body: Any, who: str = ADA, **headers: str) -> Any:
    reply = await send(client, "PUT", SCHEDULE, who, body, **headers)
    assert reply.status == 200, reply
    return reply.json()


async def test_a_schedule_is_set_read_changed_and_deleted(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client)
        reply = await send(client, "GET", SCHEDULE, ADA)
        said = refused(reply, 404, "SCHEDULE_UNKNOWN")
        assert said.endswith("'pullforge schedule set ada/notebook weekly'")
        document = await put(client, {"cron": "@weekly", "timezone": "Europe/berlin"})
        assert document["in_words"].startswith("Mondays at 0")
        assert {
            name: document[name]
            for name in ("environment", "cron", "timezone", "then", "on_advisories", "paused")
        } == {
            "environment": "ada/notebook",
            "cron": "weekly",
            "timezone": "Europe/Berlin",
            "then": "propose",
            "on_advisories": True,
            "paused": False,
        }
        assert document["upcoming"][0] == document["next_at"]
        assert len(document["upcoming"]) == 3
        assert document["links"]["run"] == f"{SCHEDULE}/run"
        read = await send(client, "GET", SCHEDULE, ADA)
        assert read.json() == document
        tag = read.headers["etag"]
        await put(client, {"cron": "30 3 * * 1", "paused": True}, if_match=tag)
        stale = await send(client, "PUT", SCHEDULE, ADA, {"cron": "daily"}, if_match=tag)
        refused(stale, 412, "REVISION_CONFLICT")
        refused(await send(client, "DELETE", SCHEDULE, ADA, if_match=tag), 412, "REVISION_CONFLICT")
        assert (await send(client, "GET", SCHEDULE, ADA)).json()["next_at"] is None
        assert (await send(client, "DELETE", SCHEDULE, ADA)).status == 204
        refused(await send(client, "DELETE", SCHEDULE, ADA), 404, "SCHEDULE_UNKNOWN")
        only_new = await send(client, "PUT", SCHEDULE, ADA, {"cron": "daily"}, if_match='"0"')
        assert only_new.status == 200


#: What is sent, and what is said of it.
WRONG: tuple[tuple[Any, str], ...] = (
    ({}, "cron"),
    ({"cron": ""}, "say when it is due"),
    ({"cron": "* * * * *"}, "leave at least 15 minutes between"),
    ({"cron": "H H * * *"}, "each environment has a time of its own"),
    ({"cron": "weekly", "timezone": "Berlin"}, "such as Europe/Berlin"),
    ({"cron": "weekly", "then": "deploy"}, "then"),
    ({"cron": "x" * 201}, "cron"),
    ({"cron": "0 3\n* * *"}, "one line"),
    ({"cron": 7}, "cron"),
    ({"cron": "weekly", "timezone": None}, "timezone"),
    ({"cron": "weekly", "often": True}, "often"),
)


async def test_what_cannot_be_is_said_in_a_sentence(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client)
        for body, says in WRONG:
            reply = await send(client, "PUT", SCHEDULE, ADA, body)
            assert 400 <= reply.status < 500, reply
            assert says in reply.json()["error"]["message"]
        assert (await send(client, "GET", SCHEDULE, ADA)).status == 404


async def test_others_see_what_they_may_and_change_nothing(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        await put(client, {"cron": "weekly"})
        assert (await send(client, "GET", SCHEDULE, BOB)).status == 404
        assert (await send(client, "GET", "/api/v1/schedules", BOB)).json()["items"] == []
        grant = {"role": "viewer", "subject": "bob", "environment": "note*"}
        await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)
        listed = (await send(client, "GET", "/api/v1/schedules", BOB)).json()["items"]
        assert [one["environment"] for one in listed] == ["ada/notebook"]
        for method, url in (("PUT", SCHEDULE), ("DELETE", SCHEDULE), ("POST", f"{SCHEDULE}/run")):
            body = {"cron": "daily"} if method == "PUT" else None
            assert (await send(client, method, url, BOB, body)).status == 403
        query = "?namespace=ada&problems=1&limit=1"
        assert (await send(client, "GET", f"/api/v1/schedules{query}", ROOT)).json() == {
            "items": [],
            "next": None,
        }
        refused(
            await send(client, "GET", "/api/v1/schedules?after=%25", ADA), 400, "CURSOR_INVALID"
        )
        assert (await send(client, "GET", "/api/v1/schedules")).status in {200, 401}


async def test_it_is_run_by_hand_and_by_the_service_when_it_is_due(site: Site) -> None:
    """The real scheduler finds it at its first look, and the solver the newest packages."""
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        await put(client, {"cron": "weekly", "then": "activate"})
        reply = await send(client, "POST", f"{SCHEDULE}/run", ADA)
        assert (reply.status, reply.json()["number"]) == (202, 2)
        assert (reply.json()["reason"], reply.json()["requested_by"]) == ("schedule", "ada")
        second = await ended(client, f"{NOTEBOOK}/versions/2", ADA)
        assert second["state"] == "unchanged"
    async with open_database(site.settings["database"]) as database:
        past = database.now() - timedelta(days=60)
        async with database.writing() as connection:
            await connection.execute(update(tables.schedule).values(next_at=past))
    async with site.open() as client:
        assert client.services.catalog is not None
        async with asyncio.timeout(20):
            while (await send(client, "GET", f"{NOTEBOOK}/versions/3", ADA)).status == 404:
                await client.services.catalog.follower.changed(0.1)
        third = await ended(client, f"{NOTEBOOK}/versions/3", ADA)
        assert third["reason"] == "schedule"
        document = (await send(client, "GET", SCHEDULE, ADA)).json()
        assert (document["last_version"], document["problem"]) == (3, "")
        assert document["next_at"] > datetime.now(UTC).isoformat()
        events = (await send(client, "GET", f"{NOTEBOOK}/events", ADA)).json()["items"]
        ran = [one for one in events if one["action"] == "schedule.ran"]
        assert [one["actor"] for one in ran] == [None, "ada"]


async def test_an_advisory_has_it_solved_anew_at_once(site: Site) -> None:
    """What a policy that only warns finds is enough."""
    async with site.open() as client:
        catalog = client.services.catalog
        assert catalog is not None
        await make_notebook(client, wish("tool"))
        await put(client, {"cron": "yearly"})
        text = b'mode = "warn"\n[advisories]\nminimum_severity = "low"\n'
        reply = await send(client, "PUT", "/api/v1/policies/company", ROOT, text)
        assert reply.status == 200, reply
        hole = Affected("conda", "tool", ranges=(AffectedRange("0", "9"),))
        catalog.book.put_advisories((Advisory("CVE-1", (hole,), "a hole", severity="high"),))
        async with asyncio.timeout(20):
            while not await catalog.due_schedules.heed_advisories():
                await catalog.follower.changed(0.1)
            await catalog.due_schedules.carry_out()
            while (await send(client, "GET", f"{NOTEBOOK}/versions/2", ADA)).status == 404:
                await catalog.follower.changed(0.1)
        version = await ended(client, f"{NOTEBOOK}/versions/2", ADA)
        assert (version["reason"], version["state"]) == ("schedule", "unchanged")
        assert await catalog.due_schedules.heed_advisories() == 0


async def test_a_lock_leaves_nothing_to_solve(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        lock = await send(client, "GET", f"{NOTEBOOK}/versions/1/lock", ADA)
        reply = await send(client, "POST", f"{NOTEBOOK}/versions", ADA, lock.body, prefer="wait=25")
        assert reply.json()["state"] == "built", reply
        await put(client, {"cron": "weekly"})
        said = refused(await send(client, "POST", f"{SCHEDULE}/run", ADA), 409, "NOTHING_TO_SOLVE")
        assert "is made of a lock, which leaves nothing to solve" in said
