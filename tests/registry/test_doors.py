"""Strangers and neighbours at every door, under a policy by which nothing is theirs.

The doors are read from the routes: a new one is tried too, and fails without a declared right.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from builder.oci.digest import digest_of
from registry.app import create_app
from registry.web.api.endpoints import NeedLogin
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, HeaderPairs, Reply
from tests.registry.doors import DOORS, undeclared
from tests.registry.fakes import FakeService
from tests.registry.pushing import manifest_of
from tests.registry.web.api.site import BUILDS, Site, build, wish

pytestmark = pytest.mark.anyio

OWNER = basic("ada")
#: Has all rights, in repositories of their own.
NEIGHBOUR = basic("bob")
CONFIG = b"{}"
LAYER = b"\x1f\x8b what only the team may read"
SECRET = manifest_of(CONFIG, LAYER)

#: The names of what there is, and of what there is not; both well-formed.
Names = dict[str, str]
#: What is being written, and what follows the database a moment later.
KEPT_ASIDE = {".scratch", ".tmp", "database", "environments"}
NOTHING: Names = {
    "name": "team/nothing",
    "reference": "absent",
    "digest": digest_of(b"nothing"),
    "id": "0" * 32,
    "key": "1" * 32,
    "other": "1" * 32,
    "sha256": "2" * 64,
    "namespace": "vacant",
    "environment": "absent-one",
    "policy": "absent",
    "delivery": "1",
    "package": "tool",
    "user": "absent",
    "group": "absent",
    "form": "lock",
    "file": "absent/environment.yml",
    "number": "1",
    "a": "1",
    "b": "1",
}
REFUSALS = {401, 403, 404}
CLOSED = [door for door in DOORS if door.verb is not None]
OPEN = [door for door in DOORS if door.verb is None]

#: Who has not logged in, in every way in which that can be said.
STRANGERS: dict[str, HeaderPairs] = {
    "nothing": (),
    "empty-basic": [("Authorization", "Basic Og==")],
    "empty-bearer": [("Authorization", "Bearer ")],
    "unknown-user": [("Authorization", basic("admin", "admin"))],
    "unsigned-token": [
        ("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJhdWQiOiJwdWxsZm9yZ2UifQ.")
    ],
    # distribution believed a key that came with the token (CVE-2025-24976).
    "own-key": [
        (
            "Authorization",
            "Bearer "
            + jwt.encode(
                {"aud": "pullforge", "sub": "ada", "iat": 0, "exp": 2**40, "needs": []},
                b"0" * 32,
                "HS256",
                headers={"jwk": {"kty": "oct", "k": "MDAw"}, "kid": "pullforge"},
            ),
        )
    ],
    # Proxies and frameworks that believe these have let strangers in.
    "rewritten": [
        ("X-Original-URL", "/healthz"),
        ("X-Rewrite-URL", "/healthz"),
        ("X-HTTP-Method-Override", "GET"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-User", "ada"),
        ("X-Real-IP", "127.0.0.1"),
    ],
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path)
    write_policy(
        tmp_path / "auth.toml",
        'private = ["**"]',
        "[users.ada]",
        f"hash = '{HASH}'",
        'rights = ["**:*"]',
        "[users.bob]",
        f"hash = '{HASH}'",
        'rights = ["other/**:*"]',
    )
    return site


@pytest.fixture
async def client(site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


async def fill(client: Client) -> list[Names]:
    """Put something behind every door; return what each is called."""
    request = await client.post(BUILDS, wish("tool"), authorization=OWNER)
    document = (await build(client, wish("tool"), authorization=OWNER)).json()
    digest = document["images"][0]["reference"].partition("@")[2]
    for data in (CONFIG, LAYER):
        url = f"/v2/team/secret/blobs/uploads/?digest={digest_of(data)}"
        assert (await client.post(url, data, authorization=OWNER)).status == 201
    kind = json.loads(SECRET)["mediaType"]
    url = "/v2/team/secret/manifests/v1"
    pushed = await client.put(url, SECRET, content_type=kind, authorization=OWNER)
    assert pushed.status == 201, pushed
    upload = await client.post("/v2/team/secret/blobs/uploads/", authorization=OWNER)
    key = document["key"]
    common = {"id": request.json()["id"], "key": key, "other": key, **await _environment(client)}
    return [
        {
            **common,
            "name": "team/secret",
            "reference": "v1",
            "digest": digest_of(LAYER),
            "id": upload.headers["docker-upload-uuid"],
        },
        {**common, "name": "team/secret", "reference": digest_of(SECRET), "digest": digest},
        {**common, "name": "env/tool", "reference": "latest", "digest": digest},
        {**common, "name": f"build/{key}", "reference": digest, "digest": digest},
    ]


async def _environment(client: Client) -> Names:
    """Make an environment with a version."""
    url = "/api/v1/namespaces"
    made = await client.post(url, b'{"name": "hideaway"}', authorization=OWNER)
    assert made.status == 201, made
    url += "/hideaway/environments"
    made = await client.post(f"{url}?name=forecast-7", wish("tool"), authorization=OWNER)
    assert made.status == 201, made
    url += "/forecast-7/versions"
    done = await client.post(url, wish("tool"), authorization=OWNER, prefer="wait=25")
    assert done.json()["state"] == "built", done
    numbers = {"number": "1", "a": "1", "b": "1", "policy": "company"}
    numbers |= {
        "sha256": "0" * 64,
        "package": "tool",
        "user": "absent",
        "group": "absent",
        "form": "lock",
    }
    numbers["file"] = "absent/environment.yml"
    numbers |= {"delivery": "1"}
    return {"namespace": "hideaway", "environment": "forecast-7", **numbers}


def kept(site: Site) -> dict[str, bytes]:
    """Return everything in the store but what is being written; a database is none of it."""
    paths = [path for path in site.files("") if not KEPT_ASIDE & set(path.parts)]
    return {str(path.relative_to(site.store)): path.read_bytes() for path in paths}


def told(reply: Reply, names: Names) -> tuple[int, str]:
    """Return what a reply says, without what was asked for."""
    text = json.dumps({**reply.headers, "x-request-id": "", "content-length": ""})
    text += reply.body.decode()
    for field, value in sorted(names.items(), key=lambda item: -len(item[1])):
        if len(value) < 3:  # a number, which is the same for both
            continue
        text = text.replace(value, f"<{field}>")
    return reply.status, text


def test_every_route_declares_what_it_needs(house: FakeService) -> None:
    assert undeclared(create_app(house._open)) == set()
    assert {str(door) for door in OPEN if door.method != "HEAD"} == {
        "GET /healthz",
        "GET /api/v1/openapi.json",
        # What is there for everyone.
        "GET /api/v1/namespaces",
        "GET /api/v1/environments",
        "GET /api/v1/active-versions",
        "GET /api/v1/schedules",
        "GET /api/v1/packages/{package}/environments",
        # Whoever has the secret of the hook: nothing else is known of them.
        "POST /api/v1/hooks/sources/{id}",
        "GET /readyz",
        "GET /v2/",
        "GET /v2/token",
        "POST /v2/token",
        # What they find out is who somebody is.
        "GET /login",
        "POST /login",
        "GET /login/oidc",
        "GET /login/callback",
        "GET /logout",
        "POST /logout",
        "GET /login/device",
        "POST /login/device",
        "POST /api/v1/login/device",
        "POST /api/v1/login/device/token",
    }


@pytest.mark.parametrize("who", ["stranger", "neighbour"])
async def test_whoever_has_no_right_is_refused_at_every_door_and_learns_nothing(
    site: Site, client: Client, who: str
) -> None:
    """Neither that a thing exists (artifact-keeper #1808, #3524, Harbor #12183), nor any of it."""
    there = await fill(client)
    before = kept(site)
    lines = [("Authorization", NEIGHBOUR)] if who == "neighbour" else []
    for door in CLOSED:
        if who == "neighbour" and isinstance(door.verb, NeedLogin):
            continue  # they see what is theirs
        for names in there:
            body = wish("library") if door.method in {"POST", "PUT", "PATCH"} else b""
            reply = await client.request(door.method, door.url(**names), lines, body)
            assert reply.status in REFUSALS, (door, names, reply)
            family = names["name"].partition("/")[0]
            name = f"build/{NOTHING['key']}" if family == "build" else f"{family}/nothing"
            absent = NOTHING | {"name": name}
            other = await client.request(door.method, door.url(**absent), lines, body)
            assert told(other, absent) == told(reply, names), door
    assert kept(site) == before, "nothing was begun, written or deleted"
    assert client.services.builds.requests._progress == {}


async def test_what_is_known_of_others_is_worth_nothing_in_a_repository_of_ones_own(
    site: Site, client: Client
) -> None:
    """Their uploads (Quay, CVE-2026-32589), blobs (Zot, CVE-2024-39897) and builds."""
    there = await fill(client)
    before = kept(site)
    for door in CLOSED:
        if "{name}" not in door.template:
            continue
        for names in there:
            url = door.url(**names | {"name": "other/own"})
            if door.template.endswith("uploads/"):
                url += f"?mount={names['digest']}&from={names['name']}"
            reply = await client.request(door.method, url, [("Authorization", NEIGHBOUR)], b"{}")
            is_begun = reply.status == 202 and door.template.endswith("uploads/")
            is_list = reply.status == 200 and "/referrers/" in door.template
            assert is_begun or is_list or reply.status in {400, 404}, (door, reply)
            assert LAYER not in reply.body
            assert names["digest"].encode() not in reply.body or reply.status >= 400
    left = {name: data for name, data in kept(site).items() if name in before}
    assert left == before, "nothing of others was changed or deleted"


async def test_a_tag_is_deleted_by_those_alone_who_may_delete(site: Site) -> None:
    """distribution deleted tags, not digests, without asking (CVE-2026-41888)."""
    right = 'rights = ["team/**:pull,push"]'
    user = ["[users.eve]", f"hash = '{HASH}'", right]
    write_policy(
        site.root / "auth.toml", "[users.ada]", f"hash = '{HASH}'", 'rights = ["**:*"]', *user
    )
    async with site.open() as client:
        await fill(client)
        for reference in ("v1", digest_of(SECRET)):
            url = f"/v2/team/secret/manifests/{reference}"
            assert (await client.delete(url, authorization=basic("eve"))).status == 403
            assert (await client.get(url)).status == 200


async def test_no_way_of_saying_who_one_is_opens_a_door(site: Site, client: Client) -> None:
    (_, _, made, _) = await fill(client)
    before = kept(site)
    for stranger, lines in STRANGERS.items():
        for door in CLOSED:
            reply = await client.request(door.method, door.url(**made), lines, wish("library"))
            # Failed logins have a limit of their own.
            assert reply.status in {*REFUSALS, 429}, (stranger, door, reply)
    assert kept(site) == before


async def test_a_token_without_a_name_opens_no_door(site: Site, client: Client) -> None:
    there = await fill(client)
    before = kept(site)
    scopes = [f"repository:{names['name']}:pull,push,delete,build,pin" for names in there]
    scopes += ["registry:catalog:*", "registry:metrics:*", "repository:build/**:build,pin"]
    query = "&".join(f"scope={scope}" for scope in scopes)
    token = (await client.get(f"/v2/token?{query}")).json()["token"]
    for door in CLOSED:
        for names in there:
            reply = await client.request(
                door.method, door.url(**names), [("Authorization", f"Bearer {token}")], b"{}"
            )
            assert reply.status in REFUSALS, (door, reply)
    assert kept(site) == before


async def test_the_open_doors_tell_nothing_of_what_is_here(client: Client) -> None:
    there = await fill(client)
    for door in OPEN:
        reply = await client.request(door.method, door.template)
        for names in there:
            for value in names.values():
                if len(value) > 6:
                    assert value.encode() not in reply.body, (door, value)


async def test_who_has_the_right_passes(client: Client) -> None:
    there = await fill(client)
    for door in CLOSED:
        if door.method not in {"GET", "HEAD"}:
            continue
        reply = await client.request(door.method, door.url(**there[2]), [("Authorization", OWNER)])
        assert reply.status not in {401, 403}, (door, reply)


#: Spellings of ``team/secret`` that some server took for another name than its guard did: path
#: segments that are folded (Nexus, CVE-2024-4956), path parameters (Tomcat behind a proxy), letters
#: in another case (Artifactory), encoded slashes and dots.
SPELLINGS = [
    "team%2fsecret",
    "team%2Fsecret",
    "team//secret",
    "/team/secret",
    "./team/secret",
    "x/../team/secret",
    "x/%2e%2e/team/secret",
    "x/..;/team/secret",
    "team;a=b/secret",
    "team/secret/",
    "team/secret%00",
    "team/secret%0a",
    "team/secret%20",
    "TEAM/secret",
    "team/Secret",
    "team/secre%E1%B5%97",
    "%74eam/secret",
    "team%252fsecret",
    "%2F%2F%2F..%2F..%2Fteam%2Fsecret",
    "%c0%ae%c0%ae/team/secret",
    "team%5csecret",
    "team/secret?x=/open",
    "team/secret%3fx",
    "team/secret%23",
]


async def test_a_private_name_has_no_spelling_that_is_open(site: Site) -> None:
    lines = ['private = ["team/**"]', "[users.ada]", f"hash = '{HASH}'", 'rights = ["**:*"]']
    write_policy(site.root / "auth.toml", *lines)
    async with site.open() as client:
        await fill(client)
        for spelling in SPELLINGS:
            for rest in ("manifests/v1", f"blobs/{digest_of(LAYER)}", "tags/list"):
                reply = await client.get(f"/v2/{spelling}/{rest}")
                assert reply.status in {400, *REFUSALS}, (spelling, reply)
                assert LAYER not in reply.body
