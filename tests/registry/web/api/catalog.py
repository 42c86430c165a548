"""A service with a catalog and people, and what they do with it."""

import json
from pathlib import Path
from typing import Any

from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.site import Site

#: An administrator, and two that are nobody else.
ROOT, ADA, BOB = basic("root"), basic("ada"), basic("bob")
NAMESPACES = "/api/v1/namespaces"
NOTEBOOK = f"{NAMESPACES}/ada/environments/notebook"


def make_site(root: Path, **settings: Any) -> Site:
    """Return a site whose auth file has an administrator, ada and bob."""
    site = Site.make(root, **settings)
    write_users(site, "ada", "bob")
    return site


def write_users(site: Site, *names: str) -> None:
    """Write an auth file that has an administrator, and others that have no rights."""
    lines = ["[users.root]", f"hash = '{HASH}'", 'rights = ["**:*"]']
    for name in names:
        lines += [f'[users."{name}"]', f"hash = '{HASH}'", "rights = []"]
    write_policy(site.root / "auth.toml", *lines)


async def send(
    client: Client, method: str, url: str, who: str | None = None, body: Any = None, **headers: str
) -> Reply:
    """Send a request with a body as JSON, or as it is if it is bytes."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if who is not None:
        lines.append(("authorization", who))
    return await client.request(method, url, lines, data)


async def made(client: Client, url: str, who: str, body: Any, **headers: str) -> Any:
    """Have something made, and return what it is."""
    reply = await send(client, "POST", url, who, body, **headers)
    assert reply.status in {200, 201}, reply
    return reply.json()


async def make_notebook(client: Client, body: bytes | None = None) -> Any:
    """Have ada make ``ada/notebook``, with a version if ``body`` is a specification."""
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    url = f"{NAMESPACES}/ada/environments"
    if body is None:
        return await made(client, url, ADA, {"name": "notebook"})
    await made(client, f"{url}?name=notebook", ADA, body)
    return await ended(client, f"{NOTEBOOK}/versions/1", ADA)


async def ask(client: Client, body: bytes, who: str = ADA, query: str = "") -> Reply:
    """Ask for a version of ``ada/notebook``, and wait for its end."""
    return await send(client, "POST", f"{NOTEBOOK}/versions{query}", who, body, prefer="wait=25")


async def ended(client: Client, url: str, who: str) -> Any:
    """Return a version once it has ended, as its events tell."""
    while True:
        document = (await send(client, "GET", url, who)).json()
        if document["state"] not in {"queued", "building"}:
            return document
        assert client.services.catalog is not None
        await client.services.catalog.follower.changed(1)


def refused(reply: Reply, status: int, code: str) -> str:
    """Assert that a reply is an error, and return its sentence."""
    assert reply.status == status, reply
    error = reply.json()["error"]
    assert error["code"] == code, error
    message = error["message"]
    assert isinstance(message, str)
    return message
