"""Nobody below the administrators loosens a policy, by any field of any body at any address.

Everything that can be sent is generated (:mod:`tests.registry.web.api.loosening`) and sent by the
owner of a namespace, and by an admin of it, who have all roles there are in it. After each request
that is taken, and after each address, what administrators have set is what it was, and every rule
of theirs holds; after each address, what they refuse is still refused.
"""

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from builder.rules.model import Rules
from registry.catalog.records import Actor
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.loosening import WISHES, Sent, everything
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio

ADMIN: Final = Actor("root")
KEPT_IN_A_FILE: Final = 'contact = "it@example.org"\n[packages]\ndenied = ["tool"]\n'
STORED: Final = """\
namespaces = ["team"]
[channels]
allowed = ["main"]
[licences]
denied = ["GPL-*"]
[age]
minimum = "7 days"
[pypi]
allowed = false
[limits]
packages = 100
"""


@dataclass
class House:
    """A service with a policy in a file, one in the database, a quota, a block and a waiver."""

    client: Client
    site: Site
    #: A lock, and a list, with what is denied.
    locks: tuple[bytes, ...]
    #: How the owner, the admin and the administrator say who they are, by name.
    who: dict[str, str] = field(default_factory=dict)
    #: What stands in the place of each field of an address.
    fields: dict[str, list[str]] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return self.who["root"]

    async def send(self, sent: Sent, authorization: str) -> Reply:
        headers = [*sent.headers, ("Authorization", authorization)]
        return await self.client.request(sent.method, sent.url, headers, sent.body)

    async def must(self, method: str, url: str, body: object = None, who: str = "") -> Any:
        """Send what must succeed, as the administrator unless somebody else is said."""
        lines = [("Authorization", who or self.root), ("Content-Type", "application/json")]
        data = b"" if body is None else json.dumps(body).encode()
        reply = await self.client.request(method, f"/api/v1{url}", lines, data)
        assert reply.status < 300, (method, url, reply)
        return json.loads(reply.body) if reply.body else None

    def rules(self) -> dict[str | None, Rules]:
        """What holds in places that there are, were or may be."""
        catalog = self.client.services.catalog
        assert catalog is not None
        return {
            place: catalog.book.rules(place, "forecast" if place else None)
            for place in (None, "team", "boss", "elsewhere")
        }

    def theirs(self) -> dict[str, Any]:
        """All that administrators have set."""
        found: dict[str, Any] = {
            str(path): path.read_text() for path in (self.site.root / "policies").iterdir()
        }
        with closing(sqlite3.connect(self.site.store / "database" / "pullforge.db")) as database:
            for name, query in _THEIRS.items():
                found[name] = database.execute(query).fetchall()
        return found


#: What is set by administrators alone, by table.
_THEIRS: Final = {
    "policy": "SELECT * FROM policy WHERE namespace_id IS NULL ORDER BY id",
    "policy_text": "SELECT * FROM policy_text WHERE policy_id IN"
    " (SELECT id FROM policy WHERE namespace_id IS NULL) ORDER BY policy_id, version",
    "block": "SELECT * FROM block ORDER BY key",
    # A namespace of a name that was had before has the quota of that one.
    "quota": "SELECT DISTINCT size_bytes, environments, builds_a_day, builds_at_once FROM quota",
    "waiver": "SELECT * FROM waiver WHERE decided_by IS NOT NULL ORDER BY id",
    "grant_": "SELECT * FROM grant_ WHERE namespace_glob LIKE '%*%'"
    " OR role IN ('administrator', 'auditor') ORDER BY id",
    "event": "SELECT count(*) FROM event WHERE action = 'audit.purged'",
}


def assert_no_looser(before: Rules, after: Rules, place: object) -> None:
    """Assert that every rule still holds, and that no exception was added."""
    for one in dataclasses.fields(Rules):
        had, has = set(getattr(before, one.name)), set(getattr(after, one.name))
        lost = has - had if one.name == "exemptions" else had - has
        assert not lost, f"{one.name} in {place}: {lost}"


def assert_nothing_looser(
    house: House, theirs: dict[str, Any], rules: dict[str | None, Rules], sent: object
) -> None:
    """Assert that what administrators have set is as it was, and every rule of theirs holds."""
    assert house.theirs() == theirs, sent
    found = house.rules()
    for place, before in rules.items():
        assert_no_looser(before, found[place], (place, sent))


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[House]:
    """Open a service with a namespace, whose owner and admin have all that there is in it."""
    locks = await locks_with_what_is_denied(site)
    policies = site.root / "policies"
    policies.mkdir()
    (policies / "company.toml").write_text(KEPT_IN_A_FILE)
    async with site.open(auth_file=None, policies=policies) as client:
        catalog = client.services.catalog
        assert catalog is not None
        await catalog.grants.give(
            ADMIN, subject_kind="user", subject="root", namespace_glob="*", role="administrator"
        )
        house = House(client, site, locks)
        await prepare(house)
        yield house


async def locks_with_what_is_denied(site: Site) -> tuple[bytes, ...]:
    """Return a lock and a list that a server without policies has made."""
    async with site.open(store=str(site.root / "elsewhere")) as client:
        reply = await build(client, wish("tool"))
        assert reply.status in {200, 201}, reply
        key = reply.json()["key"]
        forms = [await client.get(f"/api/v1/builds/{key}/{form}") for form in ("lock", "explicit")]
    return tuple(form.body for form in forms)


async def prepare(house: House) -> None:
    """Make what owners could want to change, if something of it is gone or is somebody else's."""
    catalog = house.client.services.catalog
    assert catalog is not None
    for name in ("owner", "boss", "root"):
        if name in house.who:
            me = await house.client.get("/api/v1/users/me", authorization=house.who[name])
            if me.status == 200:
                continue
        _, secret = await catalog.tokens.create(ADMIN, name, "test")
        house.who[name] = f"Bearer {secret}"
    found = await house.client.get("/api/v1/namespaces/team", authorization=house.root)
    if found.status == 404:
        await catalog.namespaces.create(ADMIN, "team", owner="owner")
    elif found.json()["owner"] != "owner":
        await house.must("PATCH", "/namespaces/team", {"owner": "owner"})
    path = "/namespaces/team/environments"
    one = f"/api/v1{path}/forecast"
    if (await house.client.get(one, authorization=house.root)).status == 404:
        await house.must("POST", path, {"name": "forecast"})
    await house.must("POST", "/namespaces/team/grants", {"subject": "boss", "role": "admin"})
    if house.fields:
        return
    await house.must("PUT", "/policies/stored", {"text": STORED})
    await house.must("PUT", "/namespaces/team/quota", {"environments": 50, "builds_a_day": 5000})
    built = await settled(house, f"{one}/versions", wish("library"))
    assert built["state"] == "built", built
    await settled(house, f"{one}/versions", wish("tool"))
    asked = {"environment": "team/forecast", "reason": "please"}
    waiver = (await house.must("POST", "/waivers", asked, who=house.who["owner"]))["items"][0]["id"]
    blocked = (await settled(house, f"{one}/versions", wish("library", user="1000:1000")))["key"]
    await house.must("POST", "/blocks", {"key": blocked, "reason": "stolen"})
    grants = (await house.must("GET", "/namespaces/team/grants"))["items"]
    house.fields.update(
        namespace=["team"],
        environment=["forecast"],
        policy=["company", "stored", "own", "new"],
        key=[blocked, built["key"]],
        other=[built["key"]],
        sha256=["0" * 64],
        package=["tool"],
        file=["forecast/environment.yml"],
        user=["owner", "root"],
        group=["staff"],
        number=["1", "2"],
        a=["1"],
        delivery=["1"],
        b=["2"],
        id=sorted({str(waiver), *(str(grant["id"]) for grant in grants), "1"}),
    )


async def settled(house: House, url: str, body: bytes, who: str = "") -> dict[str, Any]:
    """Return the version that a body is asked for as, when it has ended, or the refusal."""
    headers = [("Authorization", who or house.root)]
    reply = await house.client.request("POST", url, headers, body)
    document: dict[str, Any] = reply.json()
    if reply.status >= 400:
        return {"state": "refused", "message": document["error"]["message"]}
    document = document.get("version") or document
    address = document["links"]["self"]
    async with asyncio.timeout(60):
        while document["state"] in {"queued", "building"}:
            await asyncio.sleep(0.02)
            document = (await house.client.get(address, authorization=house.root)).json()
    return document


async def assert_refused(house: House, who: str, number: int, wishes: Sequence[bytes]) -> None:
    """Assert that what is denied is built by no name, request, file, lock, list or version."""
    name = f"/v2/env/tool/manifests/{'latest' if number else '2025-06-01'}"
    reply, _ = await house.client.follow("GET", name, [("Authorization", who)])
    assert reply.status != 200, reply
    assert b"company" in reply.body, reply
    versions = "/api/v1/namespaces/team/environments/forecast/versions"
    for body in wishes:
        sent = await build(house.client, body, authorization=who)
        assert sent.status >= 400, (body, sent)
        found = await settled(house, f"{versions}?renew&note={number}", body, who)
        assert found["state"] in {"failed", "refused"}, (body, found)
        if body in (WISHES[0], *house.locks):
            assert b"company" in sent.body, sent


# The owner, and an admin. It sends some 2000 requests.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["owner", "boss"])
async def test_nothing_that_can_be_sent_loosens_what_administrators_set(
    site: Site, name: str
) -> None:
    async with opened(site) as house:
        theirs, rules = house.theirs(), house.rules()
        wishes = (*WISHES, *house.locks)
        await assert_refused(house, house.who[name], 0, wishes)
        count = taken = 0
        for number, requests in enumerate(everything(house.fields).values(), 1):
            for sent in requests:
                reply = await house.send(sent, house.who[name])
                count += 1
                taken += reply.status < 300
                assert reply.status < 500, (sent, reply)
                # What is refused is looked at with what follows it: to look takes longer.
                if reply.status < 300:
                    assert_nothing_looser(house, theirs, rules, (str(sent), reply))
                    await prepare(house)
            assert_nothing_looser(house, theirs, rules, number)
            # One alone: every rule still holds, and to ask for builds is what takes long.
            await assert_refused(house, house.who[name], number, [WISHES[0]])
        await assert_refused(house, house.who[name], len(theirs), wishes)
        assert taken > 100, f"of {count} requests only {taken} were taken"
