"""What people ask of conda-store's wire, and what they are answered."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.registry.asgi import Client, Reply
from tests.registry.shared_processes import make_quick
from tests.registry.web.api.catalog import ADA, send
from tests.registry.web.api.site import Site

FACE = "/conda-store"
API = f"{FACE}/api/v1"


@asynccontextmanager
async def opened_for_module(site: Site) -> AsyncIterator[Client]:
    """Give a client of a service that outlasts a test."""
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        async with site.open() as client:
            yield client


def bearer(token: str) -> str:
    return f"Bearer {token}"


async def data(
    client: Client, method: str, path: str, who: str | None = ADA, body: Any = None, **headers: str
) -> Any:
    """Return what a request is answered that is done."""
    reply = await send(client, method, f"{API}{path}", who, body, **headers)
    assert reply.status == 200, reply
    document = reply.json()
    assert document["status"] == "ok"
    return document.get("data")


async def refusal(
    client: Client, method: str, path: str, who: str | None = ADA, body: Any = None, **headers: str
) -> tuple[int, str]:
    """Return status and sentence of what is refused."""
    return problem(await send(client, method, f"{API}{path}", who, body, **headers))


def problem(reply: Reply) -> tuple[int, str]:
    document = json.loads(reply.body)
    assert document.keys() == {"status", "message"}, document
    assert document["status"] == "error"
    assert "www-authenticate" not in reply.headers
    return reply.status, document["message"]


async def token(client: Client, who: str = ADA, /, **body: Any) -> str:
    """Return a token that is made for a while."""
    found = await data(client, "POST", "/token/", who, body)
    assert found.keys() == {"token"}
    return str(found["token"])
