from datetime import UTC, datetime, timedelta

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
    refused,
    send,
)
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

TOKENS = "/api/v1/tokens"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


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
    told = refused(await send(client, "DELETE", NOTEBOOK, reader), 403, "DENIED")
    assert "the token is limited to less" in told
    refused(await send(client, "POST", TOKENS, reader, {"name": "more"}), 403, "DENIED")
    body = {"name": "other", "scopes": ["team/**:pull"]}
    other = f"Bearer {(await made(client, TOKENS, ADA, body))['secret']}"
    assert (await send(client, "GET", NOTEBOOK, other)).status == 404
    bad = {"name": "bad", "scopes": ["nonsense"]}
    refused(await send(client, "POST", TOKENS, ADA, bad), 400, "TOKEN_INVALID")


async def test_a_token_that_ends_makes_none_that_ends_later(client: Client) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    body = {"name": "short", "expires_at": ends.isoformat()}
    short = f"Bearer {(await made(client, '/api/v1/tokens', BOB, body))['secret']}"
    child = await made(client, "/api/v1/tokens", short, {"name": "child"})
    assert datetime.fromisoformat(child["expires_at"]) == ends
    body["expires_at"] = (ends - timedelta(minutes=1)).isoformat()
    assert (await send(client, "POST", "/api/v1/tokens", short, body)).status == 201
    body["expires_at"] = (ends + timedelta(minutes=1)).isoformat()
    told = refused(await send(client, "POST", "/api/v1/tokens", short, body), 403, "DENIED")
    assert "ends later" in told
    assert (await made(client, "/api/v1/tokens", BOB, {"name": "long"}))["expires_at"] is None


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


async def test_a_program_ends_the_token_that_it_has(client: Client) -> None:
    tokens = [await made(client, TOKENS, ADA, {"name": name}) for name in "abc"]
    url = f"{TOKENS}/current"
    for who in (f"Bearer {tokens[0]['secret']}", basic("anybody", tokens[1]["secret"])):
        assert (await send(client, "DELETE", url, who)).status == 204
        refused(await send(client, "DELETE", url, who), 401, "UNAUTHORIZED")
    left = (await send(client, "GET", TOKENS, ADA)).json()["items"]
    assert [one["id"] for one in left] == [tokens[2]["id"]]
    told = refused(await send(client, "DELETE", url, ADA), 404, "TOKEN_UNKNOWN")
    assert "no token of an account was sent" in told
    refused(await send(client, "DELETE", url), 401, "UNAUTHORIZED")


async def test_a_limited_token_ends_itself_and_no_other(client: Client) -> None:
    other = (await made(client, TOKENS, ADA, {"name": "laptop"}))["id"]
    body = {"name": "reader", "scopes": ["ada/**:pull"]}
    reader = f"Bearer {(await made(client, TOKENS, ADA, body))['secret']}"
    refused(await send(client, "DELETE", f"{TOKENS}/{other}", reader), 403, "DENIED")
    assert (await send(client, "GET", f"{TOKENS}/{other}", ADA)).json()["revoked_at"] is None
    assert (await send(client, "DELETE", f"{TOKENS}/current", reader)).status == 204
    refused(await send(client, "GET", "/api/v1/users/me", reader), 401, "UNAUTHORIZED")


async def test_a_browsers_session_opens_no_door(client: Client) -> None:
    """It is a cookie, whose secret looks like a token's."""
    catalog = client.services.catalog
    assert catalog is not None
    secret = await catalog.sessions.open("ada", "192.0.2.1")
    assert catalog.sessions.owner(secret) == "ada"
    for who in (f"Bearer {secret}", basic("ada", secret), basic("", secret)):
        for url in ("/v2/", "/v2/_catalog", "/v2/team/x/tags/list"):
            assert (await client.get(url, authorization=who)).status == 401, url
        for url in ("/api/v1/users/me", TOKENS, NAMESPACES, "/api/v1/environments"):
            assert (await client.get(url, authorization=who)).status == 401, url
    # Nobody is given a bearer token for it, but the one that strangers get.
    assert (await client.get("/v2/token", authorization=basic("ada", secret))).status == 401
    reply = await client.get("/v2/token", authorization=f"Bearer {secret}")
    stranger = f"Bearer {reply.json()['token']}"
    assert (await client.get("/v2/_catalog", authorization=stranger)).status == 401
    form = f"grant_type=password&username=ada&password={secret}&service=x".encode()
    assert (await client.post("/v2/token", form)).status == 401


async def test_lists_of_tokens_go_on(client: Client) -> None:
    made_ = [(await made(client, TOKENS, ADA, {"name": f"t{n}"}))["id"] for n in range(3)]
    first = (await send(client, "GET", f"{TOKENS}?limit=2", ADA)).json()
    rest = (await send(client, "GET", f"{TOKENS}?limit=2&after={first['next']}", ADA)).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == made_[::-1]
    assert rest["next"] is None
