from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client
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
)
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

TOKENS = "/api/v1/tokens"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def client(site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


async def test_whoever_asks_is_told_who_they_are(client: Client) -> None:
    me = (await send(client, "GET", "/api/v1/users/me", ADA)).json()
    assert (me["name"], me["service_role"], me["token"]) == ("ada", None, None)
    assert me["links"]["namespace"] == f"{NAMESPACES}/ada"
    root = (await send(client, "GET", "/api/v1/users/me", ROOT)).json()
    assert root["service_role"] == "administrator"
    refused(await send(client, "GET", "/api/v1/users/me"), 401, "UNAUTHORIZED")
    refused(await send(client, "GET", "/api/v1/users/me", basic("ada", "no")), 401, "UNAUTHORIZED")


async def test_a_token_is_told_once_and_refused_as_soon_as_it_is_revoked(client: Client) -> None:
    await make_notebook(client)
    token = await made(client, TOKENS, ADA, {"name": "laptop"})
    secret = token["secret"]
    assert secret.startswith("pft_")
    assert secret.endswith(token["hint"])
    told = (await send(client, "GET", f"{TOKENS}/{token['id']}", ADA)).body.decode()
    told += (await send(client, "GET", TOKENS, ADA)).body.decode()
    assert secret not in told
    for who in (f"Bearer {secret}", basic("ada", secret)):
        me = (await send(client, "GET", "/api/v1/users/me", who)).json()
        assert (me["name"], me["token"]) == ("ada", token["id"])
        assert (await send(client, "GET", NOTEBOOK, who)).status == 200
    refused(await send(client, "GET", f"{TOKENS}/{token['id']}", BOB), 404, "TOKEN_UNKNOWN")
    refused(await send(client, "DELETE", f"{TOKENS}/{token['id']}", BOB), 404, "TOKEN_UNKNOWN")
    assert (await send(client, "DELETE", f"{TOKENS}/{token['id']}", ADA)).status == 204
    refused(await send(client, "GET", NOTEBOOK, f"Bearer {secret}"), 401, "UNAUTHORIZED")
    assert (await send(client, "GET", TOKENS, ADA)).json()["items"] == []
    (ended,) = (await send(client, "GET", f"{TOKENS}?ended", ADA)).json()["items"]
    assert ended["revoked_at"] is not None


async def test_a_limited_token_may_no_more_than_it_says_and_makes_no_other(client: Client) -> None:
    await make_notebook(client)
    body = {"name": "reader", "scopes": ["ada/**:pull"]}
    reader = f"Bearer {(await made(client, TOKENS, ADA, body))['secret']}"
    assert (await send(client, "GET", NOTEBOOK, reader)).status == 200
    refused(await send(client, "DELETE", NOTEBOOK, reader), 403, "DENIED")
    refused(await send(client, "POST", TOKENS, reader, {"name": "more"}), 403, "DENIED")
    body = {"name": "other", "scopes": ["team/**:pull"]}
    other = f"Bearer {(await made(client, TOKENS, ADA, body))['secret']}"
    assert (await send(client, "GET", NOTEBOOK, other)).status == 404
    bad = {"name": "bad", "scopes": ["nonsense"]}
    refused(await send(client, "POST", TOKENS, ADA, bad), 400, "TOKEN_INVALID")


async def test_robots_and_the_tokens_of_others_are_made_by_administrators(client: Client) -> None:
    await make_notebook(client)
    body = {"name": "builds", "user": "ci", "kind": "robot"}
    refused(await send(client, "POST", TOKENS, ADA, body), 403, "DENIED")
    refused(await send(client, "GET", f"{TOKENS}?user=ada", BOB), 403, "DENIED")
    robot = f"Bearer {(await made(client, TOKENS, ROOT, body))['secret']}"
    me = (await send(client, "GET", "/api/v1/users/me", robot)).json()
    assert (me["name"], me["kind"]) == ("ci", "robot")
    assert (await send(client, "GET", NOTEBOOK, robot)).status == 404
    await made(client, f"{NAMESPACES}/ada/grants", ADA, {"subject": "ci", "role": "editor"})
    assert (await send(client, "GET", NOTEBOOK, robot)).status == 200
    assert len((await send(client, "GET", f"{TOKENS}?user=ci", ROOT)).json()["items"]) == 1


async def test_the_answer_with_a_secret_is_not_kept(client: Client) -> None:
    body = {"name": "laptop"}
    first = await send(client, "POST", TOKENS, ADA, body, idempotency_key="t")
    assert first.status == 201
    told = refused(
        await send(client, "POST", TOKENS, ADA, body, idempotency_key="t"), 422, "KEY_REUSED"
    )
    assert "secret" in told
    assert len((await send(client, "GET", TOKENS, ADA)).json()["items"]) == 1


async def test_a_token_for_images_is_not_one_of_an_account(client: Client) -> None:
    await make_notebook(client)
    reply = await client.get("/v2/token?scope=repository:ada/notebook:pull", authorization=ADA)
    token = reply.json()["token"]
    told = refused(await send(client, "GET", NOTEBOOK, f"Bearer {token}"), 401, "UNAUTHORIZED")
    assert "images alone" in told
