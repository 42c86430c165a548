"""Who may do what, as a table: every role at every address, with both stores of rights.

``ROWS`` has a row for each address that there is: a new one fails until it has one. ``TABLE`` says
what each row means for each role.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

import pytest

from builder.oci.digest import digest_of
from registry.auth.secret import hash_secret, new_token
from registry.catalog.records import Actor
from registry.catalog.services import CatalogServices
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, Reply
from tests.registry.doors import DOORS, Door
from tests.registry.pushing import descriptor, manifest_of
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

#: ``may``: it is done, or fails for another reason; ``login``: asked to log in; ``none``: as if
#: there were no such thing; ``no``: told that it is not allowed; ``made``: told that nobody can.
Outcome = Literal["may", "login", "none", "no", "made"]
Role = Literal[
    "stranger",
    "bob",
    "viewer",
    "editor",
    "admin",
    "owner",
    "administrator",
    "auditor",
    "robot",
]
#: ``bob`` has logged in, and has no role. ``robot`` may pull one environment.
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: What each row means, in the order of the roles.
TABLE: Final[dict[str, tuple[Outcome, ...]]] = {
    # ------------------ stranger  bob     viewer  editor  admin   owner   admtr.  auditor robot
    "anyone": ("may", "may", "may", "may", "may", "may", "may", "may", "may"),
    "secret": ("login",) * 9,
    "login": ("login", "may", "may", "may", "may", "may", "may", "may", "may"),
    "own": ("login", "may", "may", "may", "may", "may", "may", "may", "no"),
    "see": ("login", "none", "may", "may", "may", "may", "may", "may", "may"),
    "see all": ("login", "none", "may", "may", "may", "may", "may", "may", "none"),
    "see whole": ("login", "none", "may", "may", "may", "may", "may", "may", "no"),
    "change": ("login", "none", "no", "may", "may", "may", "may", "no", "no"),
    "manage": ("login", "none", "no", "no", "may", "may", "may", "no", "no"),
    "push": ("login", "no", "no", "may", "may", "may", "may", "no", "no"),
    "delete": ("login", "no", "no", "no", "may", "may", "may", "no", "no"),
    "made": ("login", "no", "made", "made", "made", "made", "made", "made", "made"),
    "pin": ("login", "no", "no", "no", "no", "no", "may", "no", "no"),
    "audit": ("login", "no", "no", "no", "no", "no", "may", "may", "no"),
    "administer": ("login", "no", "no", "no", "no", "no", "may", "no", "no"),
}

_ENV: Final = "/api/v1/namespaces/{namespace}/environments/{environment}"
_SPACE: Final = "/api/v1/namespaces/{namespace}"
_FORMS: Final = (
    *("lock", "explicit", "environment.yml", "pixi.lock", "archive.tar.gz", "archive.tar.zst"),
    *("image.tar", "provenance", "sbom", "installation.json", "bytecode.tar.zst"),
    *("packages/{sha256}", "log", "diff/{other}"),
)

#: Every address: with GET also its HEAD. A build is known by its key, which cannot be guessed.
ROWS: Final[dict[str, str]] = {
    "GET /healthz": "anyone",
    "GET /readyz": "anyone",
    "GET /metrics": "anyone",
    "POST /api/v1/builds": "anyone",
    "GET /api/v1/builds/{key}": "anyone",
    **{f"GET /api/v1/builds/{{key}}/{form}": "anyone" for form in _FORMS},
    "POST /api/v1/builds/{key}/pin": "pin",
    "DELETE /api/v1/builds/{key}/pin": "pin",
    "POST /api/v1/solve": "anyone",
    "GET /api/v1/channels": "anyone",
    "GET /api/v1/packages": "anyone",
    "GET /api/v1/packages/{package}/versions": "anyone",
    "GET /api/v1/requests/{id}": "anyone",
    "GET /api/v1/requests/{id}/events": "anyone",
    "GET /api/v1/requests/{id}/log": "anyone",
    "GET /api/v1/openapi.json": "anyone",
    "GET /api/v1/namespaces": "anyone",
    "POST /api/v1/namespaces": "login",
    f"GET {_SPACE}": "see",
    f"PATCH {_SPACE}": "manage",
    f"DELETE {_SPACE}": "manage",
    f"POST {_SPACE}/restore": "login",
    f"GET {_SPACE}/events": "see",
    f"GET {_SPACE}/access": "see",
    f"GET {_SPACE}/members": "see whole",
    f"GET {_SPACE}/grants": "manage",
    f"POST {_SPACE}/grants": "manage",
    f"GET {_SPACE}/grants/{{id}}": "manage",
    f"DELETE {_SPACE}/grants/{{id}}": "manage",
    f"GET {_SPACE}/quota": "manage",
    f"PUT {_SPACE}/quota": "administer",
    f"GET {_SPACE}/retention": "manage",
    f"PUT {_SPACE}/retention": "manage",
    f"POST {_SPACE}/retention/preview": "manage",
    f"POST {_SPACE}/retention/free": "manage",
    f"GET {_SPACE}/policy": "see",
    f"PUT {_SPACE}/policy": "manage",
    f"DELETE {_SPACE}/policy": "manage",
    f"GET {_SPACE}/findings": "see",
    f"GET {_SPACE}/usage": "see whole",
    f"GET {_SPACE}/environments": "see",
    f"POST {_SPACE}/environments": "change",
    f"GET {_ENV}": "see",
    f"PATCH {_ENV}": "change",
    f"DELETE {_ENV}": "manage",
    f"POST {_ENV}/restore": "manage",
    f"POST {_ENV}/move": "manage",
    f"POST {_ENV}/copy": "see",
    f"GET {_ENV}/active": "see",
    f"PUT {_ENV}/active": "change",
    f"GET {_ENV}/access": "see",
    f"GET {_ENV}/events": "see",
    f"GET {_ENV}/usage": "see",
    f"GET {_ENV}/badge.svg": "see",
    f"GET {_ENV}/versions.atom": "see",
    f"GET {_ENV}/diff/{{a}}/{{b}}": "see",
    f"GET {_ENV}/imported-versions": "administer",
    f"PUT {_ENV}/imported-versions": "administer",
    f"GET {_ENV}/schedule": "see",
    f"PUT {_ENV}/schedule": "change",
    f"DELETE {_ENV}/schedule": "change",
    f"POST {_ENV}/schedule/run": "change",
    f"GET {_ENV}/versions": "see",
    f"POST {_ENV}/versions": "change",
    f"GET {_ENV}/versions/{{number}}": "see",
    f"DELETE {_ENV}/versions/{{number}}": "manage",
    f"GET {_ENV}/versions/{{number}}/specification": "see",
    f"GET {_ENV}/versions/{{number}}/log": "see",
    f"GET {_ENV}/versions/{{number}}/progress": "see",
    f"GET {_ENV}/versions/{{number}}/packages": "see",
    f"GET {_ENV}/versions/{{number}}/layers": "see",
    f"POST {_ENV}/versions/{{number}}/cancel": "change",
    **{f"GET {_ENV}/versions/{{number}}/{form}": "see" for form in _FORMS[:-2]},
    "GET /api/v1/environments": "anyone",
    "GET /api/v1/active-versions": "anyone",
    "GET /api/v1/packages/{package}/environments": "anyone",
    "GET /api/v1/grants": "audit",
    "POST /api/v1/grants": "administer",
    "GET /api/v1/grants/{id}": "audit",
    "DELETE /api/v1/grants/{id}": "administer",
    "GET /api/v1/usage": "audit",
    "GET /api/v1/users/me": "login",
    "GET /api/v1/users/me/roles": "own",
    "GET /api/v1/users": "audit",
    "GET /api/v1/users/{user}": "audit",
    "PATCH /api/v1/users/{user}": "administer",
    "GET /api/v1/users/{user}/roles": "audit",
    "GET /api/v1/groups": "audit",
    "GET /api/v1/groups/{group}": "audit",
    "PUT /api/v1/groups/{group}": "administer",
    "DELETE /api/v1/groups/{group}": "administer",
    "GET /api/v1/groups/{group}/members": "audit",
    "PUT /api/v1/groups/{group}/members/{user}": "administer",
    "DELETE /api/v1/groups/{group}/members/{user}": "administer",
    "GET /api/v1/sessions": "own",
    "DELETE /api/v1/sessions": "own",
    "DELETE /api/v1/sessions/{id}": "own",
    "GET /api/v1/queue": "audit",
    "GET /api/v1/tokens": "login",
    "POST /api/v1/tokens": "login",
    "GET /api/v1/tokens/{id}": "login",
    "DELETE /api/v1/tokens/{id}": "login",
    "GET /api/v1/policies": "login",
    # Who may try one: tests/registry/web/api/test_policies.py.
    "POST /api/v1/policies/test": "administer",
    "GET /api/v1/policies/{policy}": "audit",
    "PUT /api/v1/policies/{policy}": "administer",
    "DELETE /api/v1/policies/{policy}": "administer",
    "GET /api/v1/policies/{policy}/versions": "audit",
    "GET /api/v1/findings": "login",
    "GET /api/v1/blocks": "audit",
    "POST /api/v1/blocks": "administer",
    "DELETE /api/v1/blocks/{key}": "administer",
    "GET /api/v1/schedules": "anyone",
    "GET /api/v1/waivers": "login",
    "POST /api/v1/waivers": "login",
    # Which ones somebody sees, and decides: tests/registry/web/api/test_waivers.py.
    "GET /api/v1/waivers/{id}": "login",
    "DELETE /api/v1/waivers/{id}": "login",
    "POST /api/v1/waivers/{id}/decision": "login",
    # Which ones somebody sees, and decides: tests/registry/web/api/test_proposals.py.
    "GET /api/v1/proposals": "login",
    "GET /api/v1/proposals/{id}": "login",
    "POST /api/v1/proposals/{id}/decision": "login",
    "POST /api/v1/proposals/{id}/test": "login",
    # Which ones somebody sees, and changes: tests/registry/web/api/test_sources.py.
    "GET /api/v1/sources": "login",
    "POST /api/v1/sources": "login",
    "GET /api/v1/sources/{id}": "login",
    "PATCH /api/v1/sources/{id}": "login",
    "DELETE /api/v1/sources/{id}": "login",
    "POST /api/v1/sources/{id}/look": "login",
    "POST /api/v1/sources/{id}/hook": "login",
    "DELETE /api/v1/sources/{id}/hook": "login",
    "GET /api/v1/sources/{id}/files": "login",
    "PUT /api/v1/sources/{id}/files/{file}": "login",
    "DELETE /api/v1/sources/{id}/files/{file}": "login",
    # Whoever has the secret: tests/registry/web/api/test_hooks.py.
    "POST /api/v1/hooks/sources/{id}": "secret",
    # Which ones somebody sees, and changes: tests/registry/web/api/test_webhooks.py.
    "GET /api/v1/webhooks": "login",
    "POST /api/v1/webhooks": "login",
    "GET /api/v1/webhooks/{id}": "login",
    "PATCH /api/v1/webhooks/{id}": "login",
    "DELETE /api/v1/webhooks/{id}": "login",
    "POST /api/v1/webhooks/{id}/rotate": "login",
    "POST /api/v1/webhooks/{id}/ping": "login",
    "GET /api/v1/webhooks/{id}/deliveries": "login",
    "GET /api/v1/webhooks/{id}/deliveries/{delivery}": "login",
    "POST /api/v1/webhooks/{id}/deliveries/{delivery}/resend": "login",
    "GET /api/v1/events": "login",
    "GET /api/v1/audit": "audit",
    "GET /v2/_catalog": "audit",
    "GET /v2/{name}/tags/list": "see",
    "GET /v2/{name}/referrers/{digest}": "see",
    "GET /v2/{name}/manifests/{reference}": "see",
    "PUT /v2/{name}/manifests/{reference}": "push",
    "DELETE /v2/{name}/manifests/{reference}": "delete",
    "GET /v2/{name}/blobs/{digest}": "see",
    "DELETE /v2/{name}/blobs/{digest}": "delete",
    "POST /v2/{name}/blobs/uploads/": "push",
    "GET /v2/{name}/blobs/uploads/{id}": "push",
    "PATCH /v2/{name}/blobs/uploads/{id}": "push",
    "PUT /v2/{name}/blobs/uploads/{id}": "push",
    "DELETE /v2/{name}/blobs/uploads/{id}": "push",
    # Who somebody is, is what they find out; tests/registry/web/login and web/distribution.
    "GET /v2/": "who",
    "GET /v2/token": "who",
    "POST /v2/token": "who",
    # It would end what they log in with; tests/registry/web/api/test_accounts.py.
    "DELETE /api/v1/tokens/current": "who",
    "GET /login": "who",
    "POST /login": "who",
    "GET /login/oidc": "who",
    "GET /login/callback": "who",
    "GET /logout": "who",
    "POST /logout": "who",
    "GET /login/device": "who",
    "POST /login/device": "who",
    "POST /api/v1/login/device": "who",
    "POST /api/v1/login/device/token": "who",
}

#: What rows of pulled and pushed images are, for an environment: nobody pushes to it.
_OF_ENVIRONMENT: Final = {"push": "made", "delete": "made"}
#: And for a pushed repository in the namespace, which the robot may not pull.
_OF_PUSHED: Final = {"see": "see all"}

#: The codes of what is not there, or may not be seen.
_NOTHING: Final = {"NAMESPACE_UNKNOWN", "ENVIRONMENT_UNKNOWN"}
CONFIG, LAYER = b"{}", b"\x1f\x8b of the team"
MANIFEST = manifest_of(CONFIG, LAYER)
ADMIN = Actor("root")


@dataclass(frozen=True)
class House:
    """A service with a private namespace, an environment and a pushed repository in it."""

    client: Client
    #: How each role says who it is.
    credentials: dict[Role, str]
    #: Of the version, its image and a blob of that.
    key: str
    image: str
    blob: str


def row_of(door: Door) -> str:
    return ROWS[str(door).replace("HEAD ", "GET ")]


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    found = {str(door) for door in DOORS if door.method != "HEAD"}
    assert found == set(ROWS)
    assert set(ROWS.values()) - {"who"} <= set(TABLE)
    assert all(len(outcomes) == len(ROLES) for outcomes in TABLE.values())


async def fill(client: Client, authorization: str) -> str:
    """Make the namespace with all that is in it; return the key of its version."""
    catalog = catalog_of(client)
    await catalog.namespaces.create(ADMIN, "team", owner="root")
    await catalog.environments.create(ADMIN, "team", "forecast")
    version, _ = await catalog.versions.ask(ADMIN, "team", "forecast", wish("tool"))
    async with asyncio.timeout(60):
        while not version.has_ended:
            await asyncio.sleep(0.05)
            version = await catalog.versions.get("team", "forecast", version.number)
    assert version.key is not None, version
    await catalog.follower.settled(2**62)
    for data in (CONFIG, LAYER):
        url = f"/v2/team/pushed/blobs/uploads/?digest={digest_of(data)}"
        pushed = await client.post(url, data, authorization=authorization)
        assert pushed.status == 201, pushed
    kind = json.loads(MANIFEST)["mediaType"]
    url = "/v2/team/pushed/manifests/v1"
    pushed = await client.put(url, MANIFEST, content_type=kind, authorization=authorization)
    assert pushed.status == 201, pushed
    signature = manifest_of(CONFIG, subject=descriptor(MANIFEST, kind), artifactType="a/b")
    url = f"/v2/team/pushed/manifests/{digest_of(signature)}"
    pushed = await client.put(url, signature, content_type=kind, authorization=authorization)
    assert pushed.status == 201, pushed
    return version.key


def catalog_of(client: Client) -> CatalogServices:
    catalog = client.services.catalog
    assert catalog is not None
    return catalog


@asynccontextmanager
async def rights_in_the_file(site: Site) -> AsyncIterator[House]:
    """Everybody is in the auth file, with the verbs that come to their role."""
    secret = new_token()
    rights: dict[Role, str] = {
        "bob": "mine/**:*",
        "viewer": "team/*:pull",
        "editor": "team/*:pull,push,build,pin",
        "admin": "team/*:*",
        "owner": "team/**:*",
        "administrator": "**:*",
        "auditor": "**:pull,catalog,metrics",
    }
    lines = [
        f"[users.{role}]\nhash = '{HASH}'\nrights = ['{right}']" for role, right in rights.items()
    ]
    lines.append(f"[tokens.robot]\nhash = '{hash_secret(secret)}'\nrights = ['team/forecast:pull']")
    write_policy(site.root / "auth.toml", *lines)
    credentials: dict[Role, str] = {role: basic(role) for role in rights}
    async with site.open() as client:
        yield await house_of(client, credentials | {"robot": basic("robot", secret)})


@asynccontextmanager
async def rights_in_the_database(site: Site) -> AsyncIterator[House]:
    """Nobody is in an auth file, and there is none: all have tokens, and grants."""
    async with site.open(auth_file=None) as client:
        catalog = catalog_of(client)
        credentials: dict[Role, str] = {}
        for role in ROLES[1:]:
            principal = "owner" if role == "robot" else role
            scopes = ["team/forecast:pull"] if role == "robot" else None
            _, secret = await catalog.tokens.create(ADMIN, principal, "test", scopes=scopes)
            credentials[role] = f"Bearer {secret}"
            if role in {"bob", "robot"}:
                continue
            everywhere = role in {"administrator", "auditor"}
            namespace = "*" if everywhere else "team"
            await catalog.grants.give(
                ADMIN, subject_kind="user", subject=role, namespace_glob=namespace, role=role
            )
        yield await house_of(client, credentials)


STORES = {"file": rights_in_the_file, "database": rights_in_the_database}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.mark.parametrize("store", STORES)
async def test_every_role_may_at_every_address_what_the_table_says(site: Site, store: str) -> None:
    wrong = []
    async with STORES[store](site) as house:
        for door in DOORS:
            row = row_of(door)
            if row == "who":
                continue
            for name, words in (("team/forecast", _OF_ENVIRONMENT), ("team/pushed", _OF_PUSHED)):
                if "{name}" not in door.template and name == "team/pushed":
                    continue
                of_name = words if "{name}" in door.template else {}
                # A robot of the file has rights of its own, and no token that is limited.
                of_store = {"own": "login"} if store == "file" else {}
                expected = TABLE[{**of_name, **of_store}.get(row, row)]
                for role, wanted in zip(ROLES, expected, strict=True):
                    found = await outcome(house, door, role, name)
                    if found != wanted and not is_restoring(door, wanted, found):
                        wrong.append(f"{role} at {door} of {name}: {found}, not {wanted}")
    assert not wrong, "\n".join(wrong)


def is_restoring(door: Door, wanted: Outcome, found: Outcome) -> bool:
    """Tell whether somebody would restore what is not deleted."""
    return door.template.endswith("/restore") and {wanted, found} <= {"may", "none", "no"}


async def outcome(house: House, door: Door, role: Role, name: str) -> Outcome:
    reply = await knock(house, door, role, name)
    by_status: dict[int, Outcome] = {401: "login", 403: "no", 405: "made"}
    assert reply.status != 401 or "www-authenticate" in reply.headers, (door, reply)
    if reply.status in by_status:
        return by_status[reply.status]
    if door.method == "HEAD":
        head, door = reply, replace(door, method="GET")
        reply = await knock(house, door, role, name)
        assert (head.status, head.body) == (reply.status, b""), door
    if "{namespace}" in door.template and reply.status == 404:
        return "none" if reply.json()["error"]["code"] in _NOTHING else "may"
    if "{name}" in door.template and door.verb == "pull":
        absent = await knock(house, door, role, name, instead="nothing/x")
        return "none" if told(reply, name) == told(absent, "nothing/x") else "may"
    return "may"


async def knock(house: House, door: Door, role: Role, name: str, instead: str = "") -> Reply:
    """Send what changes nothing, whoever may: it is malformed, or of what is not there.

    What ``name`` has is asked for, and if ``instead`` is given, there.
    """
    is_reading, is_pushed = door.method in {"GET", "HEAD"}, name == "team/pushed"
    reference, digest = "absent", str(digest_of(b"absent"))
    if is_reading:
        reference, digest = ("v1", digest_of(MANIFEST)) if is_pushed else ("latest", house.image)
        if "blobs" in door.template:
            digest = digest_of(LAYER) if is_pushed else house.blob
    url = door.url(
        name=instead or name,
        reference=reference,
        digest=digest,
        namespace="team",
        environment="forecast",
        id="999999",
        key=house.key,
        other=house.key,
        sha256="0" * 64,
        policy="absent",
        package="tool",
        file="x/environment.yml",
        user="absent",
        group="absent",
        delivery="1",
        number="1",
        a="1",
        b="1",
    )
    lines = [("If-Match", '"r999999"')] if door.template.startswith("/api/") else []
    if role in house.credentials:
        lines.append(("Authorization", house.credentials[role]))
    return await house.client.request(door.method, url, lines, b"" if is_reading else b"[")


async def house_of(client: Client, credentials: dict[Role, str]) -> House:
    """Make the namespace with all that is in it."""
    authorization = credentials["administrator"]
    key = await fill(client, authorization)
    url = "/v2/team/forecast/manifests/latest"
    accept = "application/vnd.oci.image.manifest.v1+json"
    reply = await client.get(url, authorization=authorization, accept=accept)
    assert reply.status == 200, reply
    image = reply.headers["docker-content-digest"]
    return House(client, credentials, key, image, reply.json()["config"]["digest"])


def told(reply: Reply, name: str) -> tuple[int, str]:
    """Return what a reply says, without what was asked for."""
    lines = {**reply.headers, "x-request-id": "", "content-length": "", "date": ""}
    text = json.dumps(lines) + reply.body.decode("latin-1")
    return reply.status, text.replace(name, "<name>")
