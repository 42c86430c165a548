"""What the audit log tells of requests that change nothing: logins, refusals, and who looks."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from registry.catalog.audit import AuditFilter
from registry.catalog.records import Actor, Event
from registry.catalog.services import CatalogServices
from registry.errors import DatabaseUnavailable
from tests.registry.accounts import PASSWORD, basic
from tests.registry.asgi import Client
from tests.registry.catalog import logged
from tests.registry.doors import DOORS
from tests.registry.test_access_matrix import knock, rights_in_the_file
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    made,
    make_notebook,
    make_site,
    refused,
    send,
    write_users,
)
from tests.registry.web.api.site import Site, wish

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

AUDIT = "/api/v1/audit"
LINES = "application/x-ndjson"
#: Where those are who have come for what a test is about.
AWAY = "198.51.100.7"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


def catalog_of(client: Client) -> CatalogServices:
    assert client.services.catalog is not None
    return client.services.catalog


async def told(client: Client, action: str, number: int = 1, **wanted: Any) -> Sequence[Event]:
    """Return the events of an action, once there are so many."""
    catalog = catalog_of(client)
    async with asyncio.timeout(10):
        while True:
            page = await catalog.audit.page(AuditFilter(action=action, **wanted), limit=1000)
            if len(page.items) >= number:
                return page.items
            await catalog.follower.changed(0.05)


async def listed(client: Client, query: str = "", who: str = ROOT) -> list[dict[str, Any]]:
    reply = await send(client, "GET", f"{AUDIT}{query}", who)
    assert reply.status == 200, reply
    items = reply.json()["items"]
    assert isinstance(items, list)
    return items


async def test_a_login_is_told_once_with_who_and_through_what(client: Client) -> None:
    client.address = AWAY
    for _ in range(3):
        assert (await send(client, "GET", "/api/v1/users/me", ADA)).status == 200
    assert (await client.get("/v2/token", authorization=ADA)).status == 200
    events = await told(client, "login.succeeded", 2, address=AWAY)
    assert {(one.actor, one.via) for one in events} == {("ada", "api"), ("ada", "registry")}
    assert len(events) == 2


async def test_a_login_by_a_token_tells_which(client: Client) -> None:
    token = await made(client, "/api/v1/tokens", ADA, {"name": "ci"})
    client.address = AWAY
    await send(client, "GET", "/api/v1/users/me", f"Bearer {token['secret']}")
    (event,) = await told(client, "login.succeeded", address=AWAY)
    assert (event.actor, event.token, event.detail) == ("ada", token["id"], {"by": "token"})
    # What was revoked is tried again by somebody.
    await send(client, "DELETE", f"/api/v1/tokens/{token['id']}", ADA)
    await send(client, "GET", "/api/v1/users/me", f"Bearer {token['secret']}")
    (event,) = await told(client, "login.failed", address=AWAY)
    assert (event.actor, event.via) == (None, "api")


async def test_who_guesses_passwords_is_told_of_and_fills_nothing(client: Client) -> None:
    client.address = AWAY
    for number in range(300):
        await client.get("/v2/token", authorization=basic("ada", f"guess {number}"))
    events = await told(client, "login.failed", 2, address=AWAY)
    assert len(events) <= 3
    assert {one.actor for one in events} == {"ada"}
    assert "too many" in {one.detail["sentence"][:8] for one in events}
    assert not any("guess" in str(one.detail) for one in events)


async def test_a_login_tells_what_the_client_says_that_it_is(client: Client) -> None:
    client.address = AWAY
    await client.get("/v2/token", authorization=ADA, user_agent="docker/28.0 " + "x" * 1000)
    (event,) = await told(client, "login.succeeded", address=AWAY)
    assert event.detail["agent"].startswith("docker/28.0 ")
    assert len(event.detail["agent"]) == 200


async def test_a_name_that_nobody_has_is_kept_nowhere(client: Client) -> None:
    client.address = AWAY
    await client.get("/v2/token", authorization=basic("my secret pass phrase", "x"))
    (event,) = await told(client, "login.failed", address=AWAY)
    assert event.actor is None
    assert "secret" not in str(event)


async def test_a_browser_that_logs_in_is_told_of(client: Client) -> None:
    client.address = AWAY
    lines = [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("content-type", "application/x-www-form-urlencoded"),
    ]
    for password, action in (("wrong", "login.failed"), ("correct", "login.succeeded")):
        secret = PASSWORD if password == "correct" else password
        body = urlencode({"name": "ada", "password": secret}).encode()
        await client.request("POST", "/login", lines, body)
        (event,) = await told(client, action, address=AWAY)
        assert (event.actor, event.via) == ("ada", "login")
    (session,) = await told(client, "token.created", address=AWAY)
    assert session.via == "login"


async def test_a_refusal_is_told_at_every_face(client: Client) -> None:
    await make_notebook(client)
    given = {"role": "viewer", "subject": "bob"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, given)
    client.address = AWAY
    refused(await send(client, "DELETE", NOTEBOOK, BOB), 403, "DENIED")
    assert (await client.put("/v2/ada/x/manifests/1", b"{}", authorization=BOB)).status == 403
    events = await told(client, "access.refused", 2, address=AWAY)
    found = {(one.via, one.actor, one.namespace, one.environment) for one in events}
    assert found == {("api", "bob", "ada", "notebook"), ("registry", "bob", "ada", "x")}
    (deleting,) = [one for one in events if one.via == "api"]
    assert deleting.detail["method"] == "DELETE"
    assert deleting.detail["path"] == NOTEBOOK
    assert "needs the role admin" in deleting.detail["sentence"]


async def test_every_403_at_any_address_is_told(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.auth.trail.MAX_EACH", 10_000)
    async with rights_in_the_file(site) as house:
        refusals = []
        for door in DOORS:
            for role in ("bob", "viewer"):
                reply = await knock(house, door, role, "team/pushed")
                if reply.status == 403 and door.verb is not None:
                    path = door.template.partition("{")[0]
                    refusals.append((role, door.method, path))
        assert len(refusals) > 40
        missing = refusals
        async with asyncio.timeout(20):
            while missing:
                events = await told(house.client, "access.refused")
                found = {(one.actor, one.detail["method"], one.detail["path"]) for one in events}
                missing = [
                    (role, method, path)
                    for role, method, path in refusals
                    if not any(
                        (role, method) == (actor, known) and url.startswith(path)
                        for actor, known, url in found
                    )
                ]
                await catalog_of(house.client).follower.changed(0.05)


async def test_who_looks_for_what_is_private_is_told_of_if_it_is_there(client: Client) -> None:
    await make_notebook(client)
    client.address = AWAY
    refused(await send(client, "GET", NOTEBOOK, BOB), 404, "ENVIRONMENT_UNKNOWN")
    refused(await send(client, "GET", f"{NAMESPACES}/none", BOB), 404, "NAMESPACE_UNKNOWN")
    for name in ("ada/notebook", "none/notebook"):
        pulled = await client.get(f"/v2/{name}/manifests/latest", authorization=BOB)
        assert pulled.status == 404
    # What one may see, and is not there, is refused to nobody.
    refused(await send(client, "GET", f"{NOTEBOOK}2", ADA), 404, "ENVIRONMENT_UNKNOWN")
    assert (await client.get("/v2/ada/x/manifests/1", authorization=ADA)).status == 404
    events = await told(client, "access.refused", 2, address=AWAY)
    found = {(one.via, one.actor, one.namespace) for one in events}
    assert found == {("api", "bob", "ada"), ("registry", "bob", "ada")}


async def test_what_a_policy_refuses_is_told_at_every_face(site: Site) -> None:
    (site.root / "policies").mkdir()
    text = "contact = 'it@example.org'\n[packages]\ndenied = ['tool']\n"
    (site.root / "policies" / "company.toml").write_text(text)
    async with site.open(policies=site.root / "policies") as client:
        client.address = AWAY
        assert (await client.get("/v2/env/tool/manifests/latest")).status in {403, 404}
        sent = await client.post("/api/v1/builds", wish("tool"), prefer="wait=25")
        assert sent.status == 403
        events = await told(client, "policy.refused", 2, address=AWAY)
        assert {(one.via, one.actor) for one in events} == {("registry", None), ("api", None)}
        for event in events:
            assert event.detail["error"] == "PolicyRefused"
            assert "policy 'company'" in event.detail["sentence"]
        client.address = "198.51.100.8"
        await make_notebook(client, wish("tool"))
        (refusal,) = await told(client, "policy.refused", namespace="ada")
        assert (refusal.actor, refusal.environment, refusal.number) == ("ada", "notebook", 1)
        assert "policy 'company'" in refusal.detail["sentence"]


async def test_what_officers_read_that_is_not_theirs_is_told(client: Client) -> None:
    await make_notebook(client)
    token = await made(client, "/api/v1/tokens", ADA, {"name": "mine"})
    await told(client, "token.created")
    client.address = AWAY
    for url in (
        *(f"{AUDIT}?actor=ada", "/api/v1/tokens?user=ada", f"/api/v1/tokens/{token['id']}"),
        *("/api/v1/grants", NOTEBOOK, f"{NOTEBOOK}/versions", "/api/v1/tokens"),
        *("/api/v1/findings", "/api/v1/usage"),
    ):
        for _ in range(2):
            assert (await send(client, "GET", url, ROOT)).status == 200
    assert (await send(client, "GET", NOTEBOOK, ADA)).status == 200
    events = await told(client, "admin.read", 8, address=AWAY)
    assert {one.actor for one in events} == {"root"}
    found = {(one.detail["read"], one.namespace, one.environment) for one in events}
    space = "/api/v1/namespaces/{namespace}/environments/{environment}"
    assert found == {
        (AUDIT, None, None),
        ("/api/v1/tokens", None, None),
        ("/api/v1/tokens/{id}", None, None),
        ("/api/v1/grants", None, None),
        (space, "ada", "notebook"),
        (f"{space}/versions", "ada", "notebook"),
        ("/api/v1/findings", None, None),
        ("/api/v1/usage", None, None),
    }
    assert len(events) == 8
    (reading,) = [one for one in events if one.detail["read"] == AUDIT]
    assert reading.detail["query"] == {"actor": "ada"}


async def test_nobody_but_officers_sees_logins_refusals_and_reads(client: Client) -> None:
    await make_notebook(client)
    refused(await send(client, "DELETE", NOTEBOOK, BOB), 404, "ENVIRONMENT_UNKNOWN")
    assert (await send(client, "GET", NOTEBOOK, ROOT)).status == 200
    await told(client, "access.refused")
    await told(client, "admin.read")
    for url in ("/api/v1/events", f"{NAMESPACES}/ada/events", f"{NOTEBOOK}/events"):
        items = (await send(client, "GET", url, ADA)).json()["items"]
        actions = {one["action"] for one in items}
        assert "environment.created" in actions
        assert not actions & {"access.refused", "admin.read", "login.succeeded"}
    refused(await send(client, "GET", AUDIT, ADA), 403, "DENIED")
    actions = {one["action"] for one in await listed(client)}
    assert actions >= {"access.refused", "admin.read", "login.succeeded", "environment.created"}


async def test_who_follows_events_is_told_of_no_refusal(client: Client) -> None:
    await make_notebook(client)
    catalog = catalog_of(client)
    refused(await send(client, "DELETE", NOTEBOOK, BOB), 404, "ENVIRONMENT_UNKNOWN")
    (event,) = await told(client, "access.refused")
    newest = await catalog.events.newest()
    assert newest >= event.id
    got = bytearray()
    gone = asyncio.Event()

    def on_body(piece: bytes) -> None:
        got.extend(piece)
        if b"environment.updated" in got:
            gone.set()

    lines = [("accept", "text/event-stream"), ("authorization", ADA), ("last-event-id", "0")]
    following = asyncio.create_task(
        client.exchange("GET", f"{NAMESPACES}/ada/events", lines, gone, on_body)
    )
    await send(client, "PATCH", NOTEBOOK, ADA, {"description": "new"})
    async with asyncio.timeout(20):
        await following
    assert b"environment.created" in got
    assert b"access.refused" not in got


async def test_the_log_is_filtered_and_paged(client: Client) -> None:
    await make_notebook(client)
    await send(client, "PATCH", NOTEBOOK, ADA, {"description": "new"})
    items = await listed(client, "?action=environment.*&namespace=ada&environment=notebook")
    assert [one["action"] for one in items] == ["environment.updated", "environment.created"]
    updated = items[0]
    assert updated["detail"] == {"before": {"description": ""}, "after": {"description": "new"}}
    assert (updated["actor"], updated["via"], updated["address"]) == ("ada", "api", "192.0.2.1")
    found, query = [], "?limit=1&actor=ada"
    while query:
        reply = await send(client, "GET", f"{AUDIT}{query}", ROOT)
        assert len(reply.json()["items"]) <= 1
        found += reply.json()["items"]
        after = reply.json()["next"]
        query = f"?limit=1&actor=ada&after={after}" if after else ""
    assert [one["id"] for one in found] == [one["id"] for one in await listed(client, "?actor=ada")]
    assert len(found) >= 3
    assert await listed(client, "?since=2900-01-01T00:00:00Z") == []
    for query in ("?environment=x", "?via=post", "?since=yesterday", "?action=X", "?follow=true"):
        reply = await send(client, "GET", f"{AUDIT}{query}", ROOT)
        refused(reply, 400, "PARAMETER_INVALID")
    refused(await send(client, "GET", f"{AUDIT}?after=x", ROOT), 400, "CURSOR_INVALID")


async def test_all_of_it_is_exported_as_lines(client: Client) -> None:
    await logged.write(catalog_of(client).audit._database, 2500)
    lines = [("accept", LINES), ("authorization", ROOT)]
    reply = await client.request("GET", f"{AUDIT}?until=2026-06-01T00:00:00Z", lines)
    assert (reply.status, reply.headers["content-type"]) == (200, LINES)
    events = [json.loads(line) for line in reply.body.splitlines()]
    assert [one["detail"]["number"] for one in events] == [
        row["detail"]["number"] for row in sorted(logged.rows(2500), key=lambda row: row["at"])
    ]
    assert set(events[0]) == {
        *("id", "at", "actor", "token", "address", "via", "action"),
        *("namespace", "environment", "version", "detail"),
    }


async def test_who_follows_the_log_gets_what_there_is_and_what_happens(client: Client) -> None:
    await make_notebook(client)
    gone, got = asyncio.Event(), bytearray()

    def on_body(piece: bytes) -> None:
        got.extend(piece)
        if got.count(b'"action": "environment.updated"') == 2:
            gone.set()

    lines = [("accept", LINES), ("authorization", ROOT)]
    url = f"{AUDIT}?follow=true&action=environment.*"
    following = asyncio.create_task(client.exchange("GET", url, lines, gone, on_body))
    for text in ("one", "two"):
        await send(client, "PATCH", NOTEBOOK, ADA, {"description": text})
        await send(client, "PATCH", f"{NAMESPACES}/ada", ADA, {"description": text})
    async with asyncio.timeout(30):
        await following
    events = [json.loads(line) for line in got.splitlines() if line]
    assert [one["action"] for one in events] == ["environment.created"] + [
        "environment.updated"
    ] * 2


async def test_who_is_no_officer_any_more_follows_no_longer(client: Client, site: Site) -> None:
    write_users(site, "ada", "bob")
    catalog = catalog_of(client)
    root = Actor("root")
    given = await catalog.grants.give(
        root, subject_kind="user", subject="bob", namespace_glob="*", role="auditor"
    )
    got, begun = bytearray(), asyncio.Event()

    def on_body(piece: bytes) -> None:
        got.extend(piece)
        begun.set()

    lines = [("accept", LINES), ("authorization", BOB)]
    url = f"{AUDIT}?follow=true"
    following = asyncio.create_task(client.exchange("GET", url, lines, asyncio.Event(), on_body))
    async with asyncio.timeout(30):
        await begun.wait()
        await catalog.grants.take(root, given.id)
        await catalog.principals.create(root, "carol")
        await following
    assert b"carol" not in got


async def test_nothing_is_lost_while_the_database_is_away_for_a_moment(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = catalog_of(client).audit._database
    writing = database.writing
    is_away = True

    def away(*, is_ordered: bool = True) -> Any:
        if is_away:
            raise DatabaseUnavailable
        return writing(is_ordered=is_ordered)

    monkeypatch.setattr(database, "writing", away)
    client.address = AWAY
    # Logins need no database, and go on.
    for who in (ADA, BOB):
        assert (await client.get("/v2/token", authorization=who)).status == 200
    is_away = False
    events = await told(client, "login.succeeded", 2, address=AWAY)
    assert {one.actor for one in events} == {"ada", "bob"}


async def test_what_there_is_no_room_for_is_counted_and_said(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.auth.trail.MAX_CHANGES", 0)
    with capture_logs() as lines:
        url = "/v2/free/x/blobs/uploads/?digest=sha256:" + "0" * 64
        await client.post(url, b"x", authorization=ROOT)
        content = b"x"
        digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        url = f"/v2/free/x/blobs/uploads/?digest={digest}"
        assert (await client.post(url, content, authorization=ROOT)).status == 201
        metrics = (await client.get("/metrics", authorization=ROOT)).body.decode()
        assert 'pullforge_audit_events_lost_total{action="blob.pushed"} 1.0' in metrics
        async with asyncio.timeout(10):
            while not (said := [one for one in lines if one["event"].startswith("lost events")]):
                await catalog_of(client).follower.changed(0.05)
    assert said[0]["events"] == {"blob.pushed": 1}


async def test_events_are_log_lines_where_that_is_set(site: Site) -> None:
    with capture_logs() as lines:
        async with site.open(audit_log=True) as client:
            await make_notebook(client)
            async with asyncio.timeout(20):
                while not any(line.get("action") == "environment.created" for line in lines):
                    await catalog_of(client).follower.changed(0.1)
    forwarded = [line for line in lines if line["event"] == "audit event"]
    (created,) = [line for line in forwarded if line["action"] == "environment.created"]
    assert (created["actor"], created["namespace"], created["via"]) == ("ada", "ada", "api")
    numbers = [line["id"] for line in forwarded]
    assert numbers == sorted(set(numbers))


async def test_events_go_after_so_many_days_where_that_is_set(site: Site) -> None:
    async with site.open() as client:
        await logged.write(catalog_of(client).audit._database, 50)
    async with site.open() as client:
        assert len(await listed(client, "?until=2026-06-01T00:00:00Z")) == 50
    async with site.open(audit_days=30) as client:
        (purged,) = await told(client, "audit.purged")
        assert purged.detail["events"] == 50
        async with asyncio.timeout(10):
            while await listed(client, "?until=2026-06-01T00:00:00Z"):
                await catalog_of(client).follower.changed(0.05)


async def test_no_address_changes_or_deletes_an_event(client: Client) -> None:
    await make_notebook(client)
    (event, *_) = await listed(client)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for url in (AUDIT, f"{AUDIT}/{event['id']}", "/api/v1/events"):
            reply = await send(client, method, url, ROOT, {})
            assert reply.status in {404, 405}, (method, url, reply)
    assert event in await listed(client)


async def test_an_event_is_as_old_as_what_it_tells(client: Client) -> None:
    before = catalog_of(client).audit._database.now()
    client.address = AWAY
    await client.get("/v2/token", authorization=ADA)
    (event,) = await told(client, "login.succeeded", address=AWAY)
    assert timedelta() <= event.at - before < timedelta(seconds=60)
