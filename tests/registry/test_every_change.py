"""Whatever is changed by any address of any face is told: who did it, through what, from where.

``CHANGES`` has a line for each address and method that changes something: a new one fails until it
has one. They are carried out one after the other, each from an address of its own.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import Engine

from builder.oci.digest import digest_of
from registry.catalog.audit import AuditFilter
from registry.catalog.records import EVERYTHING, Event
from registry.catalog.services import CatalogServices
from registry.database import open_database, tables
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, Reply
from tests.registry.doors import DOORS
from tests.registry.pushing import manifest_of
from tests.registry.web.api.site import Site, wish

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

ROOT: Final = basic("root")
API: Final = "/api/v1"
_SPACE: Final = f"{API}/namespaces/{{namespace}}"
_ENV: Final = f"{_SPACE}/environments/{{environment}}"
CONFIG, LAYER = b"{}", b"\x1f\x8b of the team"
MANIFEST: Final = manifest_of(CONFIG, LAYER)
COMPANY: Final = """
contact = "it@example.org"
[packages]
denied = ["left-pad", "evil"]
"""

#: What changes nothing that there is, and who logs in: tests/registry/test_audit_trail.py.
OTHERS: Final = {
    "POST /login": "a login",
    "POST /logout": "the end of a session: token.revoked",
    "POST /login/device": "a login",
    "POST /api/v1/login/device": "nothing yet",
    "POST /api/v1/login/device/token": "a token: token.created",
    "POST /v2/token": "a login",
    f"POST {_SPACE}/retention/preview": "what would be",
    f"POST {API}/policies/test": "what would be",
    f"POST {API}/solve": "what would be",
    f"POST {API}/sources/{{id}}/look": "nothing: what it finds is told",
    f"POST {API}/hooks/sources/{{id}}": "nothing: what it finds is told",
    "PATCH /v2/{name}/blobs/uploads/{id}": "no content yet",
    "DELETE /v2/{name}/blobs/uploads/{id}": "none that there was",
}


@dataclass
class Change:
    """Something that root does."""

    door: str
    #: What is told of it.
    action: str
    body: Any = b""
    query: str = ""
    status: int = 200
    #: What stands in the address, beside ``Told.known``.
    fields: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    #: Remembered of the answer, by the name of the field that it is from then on.
    learns: tuple[tuple[str, str], ...] = ()


def _in(namespace: str, environment: str = "") -> dict[str, str]:
    return {"namespace": namespace, "environment": environment}


FORECAST: Final = _in("team", "forecast")
FILED: Final = {"file": "filed/environment.yml"}
STAFF: Final = {"group": "staff", "user": "bob"}
GRANT: Final = {"role": "viewer", "subject": "bob"}
POLICY: Final = {"text": "mode = 'warn'\n"}
PUSHED: Final = {"name": "team/pushed", "reference": "v1"}
MOVED: Final = {
    "source": "https://old.example",
    "name": "moved",
    "versions": [
        {"id": 1, "specification": {}, "state": "failed", "created_at": "2025-03-01T12:00:00Z"}
    ],
}

CHANGES: Final = (
    Change(f"POST {API}/namespaces", "namespace.created", {"name": "team"}, status=201),
    Change(f"PATCH {_SPACE}", "namespace.updated", {"description": "x"}, fields=_in("team")),
    Change(
        *(f"POST {_SPACE}/grants", "grant.given", GRANT),
        status=201,
        fields=_in("team"),
        learns=(("id", "id"),),
    ),
    Change(f"DELETE {_SPACE}/grants/{{id}}", "grant.taken", status=204, fields=_in("team")),
    Change(
        *(f"POST {_SPACE}/environments", "environment.created", {"name": "forecast"}),
        status=201,
        fields=_in("team"),
    ),
    Change(f"PATCH {_ENV}", "environment.updated", {"description": "x"}, fields=FORECAST),
    Change(f"POST {_ENV}/versions", "version.queued", wish("tool"), status=201, fields=FORECAST),
    Change(
        *(f"POST {_ENV}/versions", "version.queued", wish("tool=1.0")),
        status=201,
        fields=FORECAST,
    ),
    Change(
        *(f"POST {_ENV}/versions", "version.queued", wish("library")),
        status=201,
        fields=FORECAST,
    ),
    Change(f"PUT {_ENV}/active", "version.activated", {"version": 1}, fields=FORECAST),
    Change(
        f"POST {_ENV}/versions/{{number}}/cancel",
        "version.cancelled",
        fields={**FORECAST, "number": "3"},
    ),
    Change(
        f"DELETE {_ENV}/versions/{{number}}",
        "version.deleted",
        status=204,
        fields={**FORECAST, "number": "3"},
    ),
    Change(f"PUT {_ENV}/schedule", "schedule.set", {"cron": "weekly"}, fields=FORECAST),
    Change(f"POST {_ENV}/schedule/run", "schedule.ran", status=202, fields=FORECAST),
    Change(f"DELETE {_ENV}/schedule", "schedule.deleted", status=204, fields=FORECAST),
    Change(f"PATCH {_ENV}", "environment.updated", {"test_command": "true"}, fields=FORECAST),
    Change(
        *(f"POST {_ENV}/versions", "version.queued", wish("tool", "library")),
        query="?propose",
        status=201,
        fields=FORECAST,
    ),
    Change(f"POST {API}/proposals/{{id}}/test", "proposal.test_asked", status=202),
    Change(f"POST {API}/proposals/{{id}}/decision", "proposal.rejected", {"activate": False}),
    Change(
        *(f"POST {_ENV}/copy", "environment.copied", {"name": "copied"}),
        status=201,
        fields=FORECAST,
    ),
    Change(
        *(f"POST {_ENV}/move", "environment.moved", {"name": "moved"}),
        fields=_in("team", "copied"),
    ),
    Change(f"PUT {_SPACE}/quota", "quota.set", {"environments": 9}, fields=_in("team")),
    Change(f"PUT {_SPACE}/retention", "retention.set", {"days": 0, "keep": 0}, fields=_in("team")),
    Change(f"POST {_SPACE}/retention/free", "version.freed", fields=_in("team")),
    Change(f"DELETE {_ENV}", "environment.deleted", status=204, fields=_in("team", "moved")),
    Change(f"POST {_ENV}/restore", "environment.restored", fields=_in("team", "moved")),
    Change(f"POST {API}/namespaces", "namespace.created", {"name": "gone"}, status=201),
    Change(f"DELETE {_SPACE}", "namespace.deleted", status=204, fields=_in("gone")),
    Change(f"POST {_SPACE}/restore", "namespace.restored", fields=_in("gone")),
    Change(
        *(f"POST {API}/grants", "grant.given", {**GRANT, "namespace": "te*"}),
        status=201,
        learns=(("id", "id"),),
    ),
    Change(f"DELETE {API}/grants/{{id}}", "grant.taken", status=204),
    Change(
        *(f"POST {API}/tokens", "token.created", {"name": "one"}),
        status=201,
        learns=(("id", "id"),),
    ),
    Change(f"DELETE {API}/tokens/{{id}}", "token.revoked", status=204),
    Change(
        *(f"POST {API}/tokens", "token.created", {"name": "two"}),
        status=201,
        learns=(("secret", "bearer"),),
    ),
    Change(f"DELETE {API}/tokens/current", "token.revoked", status=204),
    Change(f"DELETE {API}/sessions", "token.revoked"),
    Change(f"DELETE {API}/sessions/{{id}}", "token.revoked", status=204),
    Change(f"PUT {API}/groups/{{group}}", "group.created", fields=STAFF),
    Change(f"PUT {API}/groups/{{group}}/members/{{user}}", "member.added", fields=STAFF),
    Change(
        *(f"DELETE {API}/groups/{{group}}/members/{{user}}", "member.removed"),
        status=204,
        fields=STAFF,
    ),
    Change(f"DELETE {API}/groups/{{group}}", "group.deleted", status=204, fields=STAFF),
    Change(f"PATCH {API}/users/{{user}}", "principal.disabled", {"disabled": True}, fields=STAFF),
    Change(f"PATCH {API}/users/{{user}}", "principal.enabled", {"disabled": False}, fields=STAFF),
    Change(
        f"POST {API}/waivers",
        "waiver.requested",
        {"reason": "r", "policy": "company", "spec": "left-pad"},
        status=201,
        learns=(("items.0.id", "id"),),
    ),
    Change(f"POST {API}/waivers/{{id}}/decision", "waiver.granted", {"grant": True}),
    Change(
        f"POST {API}/waivers",
        "waiver.requested",
        {"reason": "r", "policy": "company", "spec": "evil"},
        status=201,
        learns=(("items.0.id", "id"),),
    ),
    Change(f"DELETE {API}/waivers/{{id}}", "waiver.withdrawn", status=204),
    Change(
        *(f"POST {API}/webhooks", "webhook.created"),
        {"namespace": "team", "url": "https://hook.invalid/x"},
        status=201,
        learns=(("id", "id"),),
    ),
    Change(f"PATCH {API}/webhooks/{{id}}", "webhook.updated", {"actions": ["version.*"]}),
    Change(f"POST {API}/webhooks/{{id}}/rotate", "webhook.updated"),
    Change(
        *(f"POST {API}/webhooks/{{id}}/ping", "webhook.tested"),
        status=202,
        learns=(("id", "delivery"),),
    ),
    Change(
        f"POST {API}/webhooks/{{id}}/deliveries/{{delivery}}/resend", "webhook.resent", status=202
    ),
    Change(f"DELETE {API}/webhooks/{{id}}", "webhook.deleted", status=204),
    Change(
        *(f"POST {API}/builds", "build.asked", wish("tool=1.0", "library")),
        status=201,
        learns=(("key", "key"),),
    ),
    Change(f"POST {API}/builds/{{key}}/pin", "build.pinned"),
    Change(f"DELETE {API}/builds/{{key}}/pin", "build.unpinned"),
    Change(f"POST {API}/blocks", "build.blocked", {"key": "", "reason": "r"}, status=201),
    Change(f"DELETE {API}/blocks/{{key}}", "build.unblocked", status=204),
    Change(
        *(f"PUT {API}/policies/{{policy}}", "policy.set", POLICY),
        fields={"policy": "one"},
    ),
    Change(
        f"DELETE {API}/policies/{{policy}}",
        "policy.deleted",
        status=204,
        fields={"policy": "one"},
    ),
    Change(f"PUT {_SPACE}/policy", "policy.set", POLICY, fields=_in("team")),
    Change(f"DELETE {_SPACE}/policy", "policy.deleted", status=204, fields=_in("team")),
    Change(
        *("POST /v2/{name}/blobs/uploads/", "blob.pushed", CONFIG),
        query=f"?digest={digest_of(CONFIG)}",
        status=201,
        fields=PUSHED,
    ),
    Change(
        *("PUT /v2/{name}/blobs/uploads/{id}", "blob.pushed", LAYER),
        query=f"?digest={digest_of(LAYER)}",
        status=201,
        fields=PUSHED,
    ),
    Change(
        *("PUT /v2/{name}/manifests/{reference}", "manifest.pushed", MANIFEST),
        status=201,
        fields=PUSHED,
        content_type=json.loads(MANIFEST)["mediaType"],
    ),
    Change(
        *("DELETE /v2/{name}/manifests/{reference}", "manifest.deleted"),
        status=202,
        fields=PUSHED,
    ),
    Change(
        *("DELETE /v2/{name}/manifests/{reference}", "manifest.deleted"),
        status=202,
        fields={**PUSHED, "reference": str(digest_of(MANIFEST))},
    ),
    Change(
        *("DELETE /v2/{name}/blobs/{digest}", "blob.deleted"),
        status=202,
        fields={**PUSHED, "digest": str(digest_of(LAYER))},
    ),
    Change(
        *(f"PUT {_ENV}/imported-versions", "version.imported", MOVED),
        fields=_in("team", "moved"),
    ),
    # Last: of what is noted beside the catalog, only so much is told of one person.
    Change(
        *(f"POST {API}/sources", "source.created"),
        {"name": "laptop", "kind": "remote", "namespace": "team"},
        status=201,
        learns=(("id", "id"),),
    ),
    Change(f"PATCH {API}/sources/{{id}}", "source.updated", {"removed": "archive"}),
    Change(
        *(f"PUT {API}/sources/{{id}}/files/{{file}}", "environment.created", wish("tool")),
        query="?environment=filed",
        fields=FILED,
    ),
    Change(
        *(f"PUT {API}/sources/{{id}}/files/{{file}}", "source.failed"),
        query="?problem=no",
        fields=FILED,
    ),
    Change(
        f"DELETE {API}/sources/{{id}}/files/{{file}}",
        "environment.archived",
        status=204,
        fields=FILED,
    ),
    Change(f"DELETE {API}/sources/{{id}}", "source.deleted", status=204),
    Change(
        *(f"POST {API}/sources", "source.created"),
        {"name": "envs", "kind": "directory", "location": "/nowhere", "namespace": "team"},
        status=201,
        learns=(("id", "id"),),
    ),
    Change(f"POST {API}/sources/{{id}}/hook", "source.updated", status=201),
    Change(f"DELETE {API}/sources/{{id}}/hook", "source.updated", status=204),
    Change(f"DELETE {API}/sources/{{id}}", "source.deleted", status=204),
)


def test_every_address_that_changes_something_has_a_line() -> None:
    changing = {str(door) for door in DOORS if door.method not in {"GET", "HEAD"}}
    assert changing == {change.door for change in CHANGES} | set(OTHERS)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "company.toml").write_text(COMPANY)
    site.settings["policies"] = tmp_path / "policies"
    lines = ["[users.root]", f"hash = '{HASH}'", "rights = ['**:*']"]
    write_policy(site.root / "auth.toml", *lines, "[users.bob]", f"hash = '{HASH}'", "rights = []")
    return site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


def catalog_of(client: Client) -> CatalogServices:
    assert client.services.catalog is not None
    return client.services.catalog


@pytest.fixture
def rewritten() -> Iterator[list[str]]:
    """Give the statements that change or delete events."""
    found: list[str] = []

    def look(
        _connection: Any, _cursor: Any, statement: str, _values: Any, _context: Any, _many: Any
    ) -> None:
        if re.match(r"\s*(UPDATE|DELETE\s+FROM)\s+event\b", statement, re.IGNORECASE):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", look)
    yield found
    event.remove(Engine, "before_cursor_execute", look)


async def test_every_change_is_told_with_who_and_from_where(
    client: Client, tmp_path: Path, rewritten: list[str]
) -> None:
    known: dict[str, str] = {}
    missing = []
    for number, change in enumerate(CHANGES):
        client.address = f"198.51.100.{number}"
        await prepare(client, change, known, tmp_path)
        is_ours = number % 2 == 0
        reply = await carried_out(client, change, known, is_ours=is_ours)
        assert reply.status == change.status, (change, reply)
        for path, name in change.learns:
            value: Any = reply.json()
            for part in path.split("."):
                value = value[int(part) if part.isdigit() else part]
            known[name] = str(value)
        via = "registry" if "/v2/" in change.door else "cli" if is_ours else "api"
        found = await told(client, change)
        if found is None or (found.actor, found.via) != ("root", via):
            missing.append(f"{change.door}: {found}")
    assert not missing, "\n".join(missing)
    assert rewritten == [], "what was told is neither changed nor deleted"


async def prepare(client: Client, change: Change, known: dict[str, str], root: Path) -> None:
    """Have there be what is changed, where no address makes it so that it stays."""
    if change.action == "version.cancelled":
        url = f"sqlite:///{root}/store/database/pullforge.db"
        async with open_database(url) as database, database.writing() as connection:
            table = tables.version
            far = database.clock_after(3600)
            await connection.execute(
                update(table)
                .where(table.c.number == 3)
                .values(state="building", claimed_by="another server", claimed_until=far)
            )
    if change.door.startswith(f"POST {API}/proposals"):
        proposals = catalog_of(client).proposals
        known["id"] = str((await proposals.list(visible=EVERYTHING)).items[0].id)
    if change.action == "proposal.test_asked":  # a test that waits is not asked for again
        async with asyncio.timeout(20):
            while (await proposals.get(int(known["id"]))).test.state in {"waiting", "running"}:
                await catalog_of(client).follower.changed(0.05)
    if change.door.startswith(f"DELETE {API}/sessions"):
        sessions = catalog_of(client).sessions
        known["id"] = str(sessions.number(await sessions.open("root", client.address)))
    if change.door.startswith("PUT /v2/{name}/blobs"):
        reply = await client.post("/v2/team/pushed/blobs/uploads/", authorization=ROOT)
        known["id"] = reply.headers["docker-upload-uuid"]


async def carried_out(
    client: Client, change: Change, known: dict[str, str], *, is_ours: bool
) -> Reply:
    method, _, template = change.door.partition(" ")
    url = template.format(**{**known, **change.fields}) + change.query
    content = change.body
    if isinstance(content, dict) and "key" in content:
        content = {**content, "key": known["key"]}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    credentials = ROOT
    if template.endswith("/current"):
        credentials = f"Bearer {known['bearer']}"
    lines = [
        ("authorization", credentials),
        ("content-type", change.content_type),
        ("prefer", "wait=25"),
        ("user-agent", "pullforge/0.1.0" if is_ours else "curl/8"),
    ]
    return await client.request(method, url, lines, body)


async def told(client: Client, change: Change) -> Event | None:
    """Return the event of a change, which may be written a little later."""
    wanted = AuditFilter(action=change.action, address=client.address)
    async with asyncio.timeout(10):
        while True:
            page = await catalog_of(client).audit.page(wanted)
            if page.items:
                return page.items[0]
            await catalog_of(client).follower.changed(0.05)
