"""Who may do what by conda-store's wire, as a table: a new address fails until it has a row."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pytest

from registry.catalog.records import Actor
from registry.web.conda_store.addresses import ADDRESSES
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import made, send
from tests.registry.web.api.conftest import Gate
from tests.registry.web.api.site import Site, wish
from tests.registry.web.conda_store.people import FACE, bearer, token

pytestmark = pytest.mark.anyio

Role = Literal["stranger", "bob", "viewer", "limited", "child", "editor", "admin", "administrator"]
#: ``bob`` has logged in, and has no role. ``limited`` is the editor's token that may see,
#: ``child`` one of the admin's that was made for a while, to see.
ROLES: Final[tuple[Role, ...]] = get_args(Role)
#: From whom on something is done.
Least = Literal["anyone", "login", "viewer", "editor", "admin", "administrator"]
_MAY: Final[dict[Least, frozenset[Role]]] = {
    "anyone": frozenset(ROLES),
    "login": frozenset(ROLES) - {"stranger"},
    "viewer": frozenset(ROLES) - {"stranger", "bob"},
    "editor": frozenset({"editor", "admin", "administrator"}),
    "admin": frozenset({"admin", "administrator"}),
    "administrator": frozenset({"administrator"}),
}

_NAMESPACE: Final = "/api/v1/namespace/{namespace}"
_ENVIRONMENT: Final = "/api/v1/environment/{namespace}/{environment}"
_BUILD: Final = "/api/v1/build/{build_id}"
_LOCKS: Final = ("lockfile", "conda-lock.yml", "conda-lock.yaml")
_FILES: Final = (*_LOCKS, "yaml", "archive", "logs", "docker", "installer", "packages")
_OPEN: Final = (
    *("/api/v1", "/openapi.json", "/docs", "/login", "/oauth_callback", "/celery"),
    *("/api/v1/permission", "/api/v1/channel", "/api/v1/package", "/api/v1/usage"),
    *("/api/v1/namespace", "/api/v1/environment", "/api/v2/environment", "/api/v1/build"),
)

ROWS: Final[dict[str, Least]] = {
    **{f"GET {address}": "anyone" for address in _OPEN},
    "GET /metrics": "anyone",
    "POST /login": "anyone",
    "POST /logout": "anyone",
    "GET /api/v1/specification": "anyone",
    "POST /api/v1/specification": "editor",
    "POST /api/v1/token": "login",
    f"GET {_NAMESPACE}": "viewer",
    f"POST {_NAMESPACE}": "administrator",
    f"PUT {_NAMESPACE}": "admin",
    f"DELETE {_NAMESPACE}": "admin",
    f"PUT {_NAMESPACE}/metadata": "admin",
    f"GET {_NAMESPACE}/roles": "viewer",
    f"DELETE {_NAMESPACE}/roles": "admin",
    f"GET {_NAMESPACE}/role": "viewer",
    f"POST {_NAMESPACE}/role": "admin",
    f"PUT {_NAMESPACE}/role": "admin",
    f"DELETE {_NAMESPACE}/role": "admin",
    f"GET {_ENVIRONMENT}": "viewer",
    f"PUT {_ENVIRONMENT}": "editor",
    f"DELETE {_ENVIRONMENT}": "admin",
    **{f"GET {_ENVIRONMENT}/{lock}": "viewer" for lock in _LOCKS},
    f"GET {_BUILD}": "viewer",
    f"PUT {_BUILD}": "editor",
    f"DELETE {_BUILD}": "admin",
    f"PUT {_BUILD}/cancel": "editor",
    **{f"GET {_BUILD}/{file}": "viewer" for file in _FILES},
    "GET /api/v1/setting": "administrator",
    "PUT /api/v1/setting": "administrator",
    "GET /api/v1/setting/{namespace}": "editor",
    "PUT /api/v1/setting/{namespace}": "admin",
    "GET /api/v1/setting/{namespace}/{environment}": "editor",
    "PUT /api/v1/setting/{namespace}/{environment}": "admin",
}
#: What is done by whoever may is not to be done here: it ends what the next row looks at.
_ONCE: Final = frozenset(
    {
        *(f"{method} {_BUILD}" for method in ("PUT", "DELETE")),
        *(f"DELETE {address}" for address in (_NAMESPACE, _ENVIRONMENT, f"{_NAMESPACE}/roles")),
        *(f"PUT {_BUILD}/cancel", f"POST {_NAMESPACE}"),
    }
)
_ROLE: Final = {"other_namespace": "somebody", "role": "viewer"}
#: What is sent: nothing that could be done, but where only that tells whose it is.
_BODIES: Final[dict[str, Any]] = {
    "POST /api/v1/specification": {
        "namespace": "team",
        "specification": "name: forecast\nchannels: [nowhere]\ndependencies: [tool]",
    },
    **{f"{method} {_NAMESPACE}/role": _ROLE for method in ("POST", "PUT", "DELETE")},
}
#: What is said to those who may, of what there happens to be none.
_NONE: Final = (b"other_namespace", b"was given no role", b"there is no build of it")
_ADMIN: Final = Actor("root", None, "192.0.2.1", "api")


@dataclass
class House:
    """A service with one environment and a build of it, and what everybody logs in with."""

    client: Client
    credentials: dict[Role, str | None]
    build: int

    async def knock(self, door: str, role: Role, **fields: str) -> Reply:
        """Send what does nothing to an address."""
        method, _, address = door.partition(" ")
        known = {"namespace": "team", "environment": "forecast", "build_id": str(self.build)}
        path = FACE + address.format(**{**known, **fields})
        query = "?other_namespace=nobody" if door.endswith("/role") and method == "GET" else ""
        body = _BODIES.get(door, b"[]" if method in {"POST", "PUT", "DELETE"} else None)
        if door == f"PUT {_ENVIRONMENT}":
            body = {"build_id": self.build}
        return await send(self.client, method, path + query, self.credentials[role], body)


def doors() -> Iterator[str]:
    for address, handlers in ADDRESSES.items():
        for method in handlers:
            yield f"{method} {address}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
async def house(site: Site, gate: Gate, anyio_backend: str) -> AsyncIterator[House]:
    """Give a service whose only build was cancelled: its files are refused for that alone."""
    rights = {
        "bob": "mine/**:*",
        "viewer": "team/*:pull",
        "editor": "team/*:pull,push,build,pin",
        "admin": "team/*:*",
        "administrator": "**:*",
    }
    lines = [f"[users.{name}]\nhash = '{HASH}'\nrights = ['{one}']" for name, one in rights.items()]
    write_policy(site.root / "auth.toml", *lines)
    # Over https: else browsers are not let log in.
    async with site.open(public_url="https://registry.test") as client:
        catalog = client.services.catalog
        assert catalog is not None
        await catalog.namespaces.create(_ADMIN, "team")
        await catalog.environments.create(_ADMIN, "team", "forecast")
        version, _ = await catalog.versions.ask(_ADMIN, "team", "forecast", wish("tool"))
        await catalog.versions.cancel(_ADMIN, "team", "forecast", version.number)
        await catalog.follower.settled(2**62)
        credentials: dict[Role, str | None] = {"stranger": None}
        for role in ROLES:
            if role in rights:
                credentials[role] = basic(role)
        limited = {"name": "seeing", "scopes": ["team/*:pull"]}
        found = await made(client, "/api/v1/tokens", basic("editor"), limited)
        credentials["limited"] = bearer(found["secret"])
        child = await token(client, basic("admin"), role_bindings={"team/*": ["viewer"]})
        credentials["child"] = bearer(child)
        build = await catalog.build_ids.id_of("team", "forecast", version.number)
        yield House(client, credentials, build)


def test_every_address_has_a_row() -> None:
    assert set(doors()) == set(ROWS)


async def test_everybody_may_what_the_table_says(house: House) -> None:
    wrong: list[str] = []
    for door, least in ROWS.items():
        for role in ROLES:
            may = role in _MAY[least]
            if may and door in _ONCE:
                continue
            reply = await house.knock(door, role)
            is_refused = reply.status in {403, 404}
            is_none = any(words in reply.body for words in _NONE) or door == "GET /celery"
            if reply.status >= 500 or (is_refused == may and not (may and is_none)):
                wrong.append(f"{role} at {door}: {reply.status} {reply.body[:200]!r}")
            if is_refused:
                document = json.loads(reply.body)
                assert document.keys() == {"status", "message"}, (door, document)
                assert "www-authenticate" not in reply.headers, door
    assert not wrong, "\n".join(wrong)


async def test_what_somebody_may_not_see_is_told_as_what_is_not_there(house: House) -> None:
    wrong: list[str] = []
    for door in ROWS:
        if "{" not in door or "/setting/" in door or door == f"POST {_NAMESPACE}":
            continue
        absent = {"namespace": "nowhere", "build_id": "987654"}
        for role in ("stranger", "bob"):
            seen = await house.knock(door, role)
            body = seen.body.replace(b"'team", b"'nowhere")
            body = body.replace(f" {house.build} ".encode(), b" 987654 ")
            told = await house.knock(door, role, **absent)
            if (seen.status, body) != (told.status, told.body):
                wrong.append(f"{role} at {door}: {seen!r}, but {told!r} of what is not there")
    assert not wrong, "\n".join(wrong)
