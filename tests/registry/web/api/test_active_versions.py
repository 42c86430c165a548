"""What nodes are told that keep environments as directories, as it changes."""

import asyncio
from typing import Any, Final

import pytest

from registry.web.asgi.event_stream import STOPPING
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    made,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

ACTIVE: Final = "/api/v1/active-versions"
#: Long before the wait is over, on a busy machine too.
SOON_SECONDS: Final = 10


@pytest.fixture
def site(catalog_site: Site) -> Site:
    return catalog_site


async def items(client: Client, who: str | None, query: str = "") -> list[dict[str, Any]]:
    reply = await send(client, "GET", f"{ACTIVE}{query}", who)
    assert reply.status == 200, reply
    found: list[dict[str, Any]] = reply.json()["items"]
    return found


async def blocked(client: Client, who: str | None, query: str = "") -> list[str]:
    found: list[str] = (await send(client, "GET", f"{ACTIVE}{query}", who)).json()["blocked"]
    return found


async def names(client: Client, who: str | None, query: str = "") -> list[tuple[str, int]]:
    found = await items(client, who, query)
    return [(f"{one['namespace']}/{one['environment']}", one["number"]) for one in found]


async def wait(client: Client, who: str | None, etag: str, query: str = "") -> Reply:
    """Wait until there is something else than what an etag stands for."""
    url = f"{ACTIVE}{query}"
    return await send(client, "GET", url, who, if_none_match=etag, prefer="wait=25")


async def etag_of(client: Client, who: str | None, query: str = "") -> str:
    return (await send(client, "GET", f"{ACTIVE}{query}", who)).headers["etag"]


async def test_the_active_version_is_told_with_all_that_a_node_needs(client: Client) -> None:
    version = await make_notebook(client, wish("tool"))
    assert await items(client, ADA) == [
        {
            "namespace": "ada",
            "environment": "notebook",
            "number": 1,
            "key": version["key"],
            "is_active": True,
            "created_at": version["created_at"],
        }
    ]


async def test_older_and_newer_versions_are_told_if_they_are_wished(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    await ask(client, wish("library"), query="?activate=false")
    await ask(client, wish("nothing-like-this"))
    await ask(client, wish("library", "tool"))
    assert await names(client, ADA) == [("ada/notebook", 4)]
    assert await names(client, ADA, "?versions=1") == [("ada/notebook", 2), ("ada/notebook", 4)]
    every = [("ada/notebook", number) for number in (1, 2, 4)]
    assert await names(client, ADA, "?versions=2") == every
    assert await names(client, ADA, "?versions=all") == every
    assert await names(client, ADA, "?versions=1000") == every
    await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 1})
    assert await names(client, ADA, "?versions=1") == [("ada/notebook", 1), ("ada/notebook", 4)]
    is_active = [one["is_active"] for one in await items(client, ADA, "?versions=all")]
    assert is_active == [True, False, False]


async def test_everybody_is_told_what_they_may_see(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    await made(client, f"{NAMESPACES}/ada/environments?name=secret", ADA, wish("library"))
    await _built(client, "secret")
    both = [("ada/notebook", 1), ("ada/secret", 1)]
    assert await names(client, ADA) == both
    assert await names(client, ROOT) == both
    assert await names(client, BOB) == []
    assert await names(client, None) == []
    grant = {"subject": "bob", "role": "viewer", "environment": "note*"}
    given = await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)
    assert await names(client, BOB) == both[:1]
    everyone = {"subject_kind": "everyone", "role": "viewer", "environment": "secret"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, everyone)
    assert await names(client, BOB) == both
    assert await names(client, None) == both[1:]
    await send(client, "DELETE", f"{NAMESPACES}/ada/grants/{given['id']}", ADA)
    assert await names(client, BOB) == both[1:]
    limited = {"name": "node", "scopes": ["ada/notebook:pull"]}
    token = (await made(client, "/api/v1/tokens", ADA, limited))["secret"]
    assert await names(client, f"Bearer {token}") == both  # one of them is everyone's


async def test_what_cannot_be_had_or_is_put_away_is_not_told(client: Client) -> None:
    version = await make_notebook(client, wish("tool"))
    await ask(client, wish("library"))
    await ask(client, wish("tool", user="1000:1000"))
    whole = [("ada/notebook", number) for number in (1, 2, 3)]
    assert await names(client, ADA, "?versions=all") == whole
    block = {"key": version["key"], "reason": "stolen"}
    await made(client, "/api/v1/blocks", ROOT, block)
    # The third one is a variant of the first: the same packages for another user.
    assert await names(client, ADA, "?versions=all") == whole[1:2]
    assert await names(client, ADA) == []
    assert version["key"] in await blocked(client, ADA)
    assert await blocked(client, BOB) == await blocked(client, ADA, "?only=bob/*") == []
    await send(client, "DELETE", f"/api/v1/blocks/{version['key']}", ROOT)
    assert await names(client, ADA, "?versions=all") == whole
    await send(client, "PATCH", NOTEBOOK, ADA, {"archived": True})
    assert await names(client, ADA, "?versions=all") == []
    await send(client, "PATCH", NOTEBOOK, ADA, {"archived": False})
    assert await names(client, ADA, "?versions=all") == whole
    await send(client, "POST", f"{NOTEBOOK}/move", ADA, {"name": "renamed"})
    assert await names(client, ADA) == [("ada/renamed", 3)]
    await send(client, "DELETE", f"{NAMESPACES}/ada/environments/renamed", ADA)
    assert await names(client, ADA, "?versions=all") == []


async def test_globs_choose_environments(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    here = [("ada/notebook", 1)]
    for only in ("ada/notebook", "ada/*", "*/*", "a*a/n*t*k", "**/notebook", "ada/*book*"):
        assert await names(client, ADA, f"?only={only}") == here, only
    assert await names(client, ADA, "?only=bob/*&only=ada/note*") == here
    for only in ("bob/*", "ada/", "ada/x", "ad/a*", "ada/notebook*x"):
        reply = await send(client, "GET", f"{ACTIVE}?only={only}", ADA)
        assert reply.status == 400 if only == "ada/" else reply.json()["items"] == [], only
    odd = (
        "ada",
        "",
        "/",
        "a/b/c",
        "ADA/x",
        "%00/*",
        "%0a",
        "a" * 300,
        "%ed%a0%80/x",
        "ada/%25",
        "*a*d*a*s*/*",
    )
    for only in odd:
        reply = await send(client, "GET", f"{ACTIVE}?only=ada/*&only={only}", ADA)
        refused(reply, 400, "PARAMETER_INVALID")
    for count, only in ((101, "ada/x"), (21, "ada/*")):
        many = "&".join([f"only={only}"] * count)
        refused(await send(client, "GET", f"{ACTIVE}?{many}", ADA), 400, "PARAMETER_INVALID")
    for versions in ("-1", "1001", "x", "all,all", ""):
        reply = await send(client, "GET", f"{ACTIVE}?versions={versions}", ADA)
        refused(reply, 400, "PARAMETER_INVALID")
    twice = await send(client, "GET", f"{ACTIVE}?versions=1&versions=2", ADA)
    assert "came twice" in refused(twice, 400, "PARAMETER_INVALID")


async def test_who_knows_it_already_is_told_so(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    reply = await send(client, "GET", ACTIVE, ADA)
    etag = reply.headers["etag"]
    assert etag.startswith('W/"')
    same = await send(client, "GET", ACTIVE, ADA, if_none_match=etag)
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert same.headers["cache-control"] == "private, no-cache"
    other = await send(client, "GET", f"{ACTIVE}?only=bob/*", ADA, if_none_match=etag)
    assert other.status == 200
    head = await send(client, "HEAD", ACTIVE, ADA, if_none_match=etag, prefer="wait=25")
    assert head.status == 304
    assert await etag_of(client, ROOT) == etag


async def test_who_waits_is_told_as_soon_as_a_version_is_active(client: Client, site: Site) -> None:
    await make_notebook(client, wish("tool"))
    await ask(client, wish("library"))
    etag = await etag_of(client, ADA)
    async with site.open() as elsewhere:
        clock = asyncio.get_running_loop().time
        waiting = [
            asyncio.create_task(wait(one, who, etag))
            for one in (client, elsewhere)
            for who in (ADA, ADA, ROOT)
        ]
        await _all_wait(client, 3)
        await _all_wait(elsewhere, 3)
        began = clock()
        await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 1})
        for reply in await asyncio.gather(*waiting):
            assert reply.status == 200
            assert reply.json()["items"][0]["number"] == 1
            assert reply.headers["preference-applied"] == "wait=25"
        assert clock() - began < SOON_SECONDS
        await _all_wait(client, 0)
        assert client.services.catalog is not None
        assert client.services.catalog.active_waiting._watches == {}


async def test_who_waits_is_told_when_rights_and_blocks_change(client: Client) -> None:
    version = await make_notebook(client, wish("tool"))
    nothing = await etag_of(client, BOB)
    waiting = asyncio.create_task(wait(client, BOB, nothing))
    await _all_wait(client, 1)
    grant = {"subject": "bob", "role": "viewer"}
    given = await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)
    reply = await waiting
    assert [one["environment"] for one in reply.json()["items"]] == ["notebook"]
    waiting = asyncio.create_task(wait(client, BOB, reply.headers["etag"]))
    await _all_wait(client, 1)
    await made(client, "/api/v1/blocks", ROOT, {"key": version["key"], "reason": "stolen"})
    assert (await waiting).json() == {"items": [], "blocked": [version["key"]]}
    await send(client, "DELETE", f"/api/v1/blocks/{version['key']}", ROOT)
    waiting = asyncio.create_task(wait(client, BOB, reply.headers["etag"]))
    await _all_wait(client, 1)
    await send(client, "DELETE", f"{NAMESPACES}/ada/grants/{given['id']}", ADA)
    assert (await waiting).json() == {"items": [], "blocked": []}


async def test_what_is_of_others_wakes_nobody(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    nothing = await etag_of(client, BOB)
    waiting = asyncio.create_task(
        send(client, "GET", ACTIVE, BOB, if_none_match=nothing, prefer="wait=1")
    )
    await _all_wait(client, 1)
    await ask(client, wish("library"))
    reply = await waiting
    assert (reply.status, reply.headers["etag"]) == (304, nothing)
    assert reply.headers["preference-applied"] == "wait=1"


async def test_whose_token_ends_is_told_nothing_more(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    token = await made(client, "/api/v1/tokens", ADA, {"name": "node"})
    bearer = f"Bearer {token['secret']}"
    waiting = asyncio.create_task(wait(client, bearer, await etag_of(client, bearer)))
    await _all_wait(client, 1)
    await send(client, "DELETE", f"/api/v1/tokens/{token['id']}", ADA)
    assert (await waiting).status == 401


async def test_who_waits_is_answered_when_the_server_stops(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    etag = await etag_of(client, ADA)
    waiting = asyncio.create_task(wait(client, ADA, etag))
    await _all_wait(client, 1)
    stopping = client._state[STOPPING]
    assert isinstance(stopping, asyncio.Event)
    stopping.set()
    assert (await waiting).status == 304


async def test_only_so_many_of_somebody_wait(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.web.api.active_versions.MAX_STRANGERS_WAITING", 2)
    etag = await etag_of(client, None)
    waiting = [asyncio.create_task(wait(client, None, etag)) for _ in range(2)]
    await _all_wait(client, 2)
    reply = await wait(client, None, etag)
    refused(reply, 429, "TOO_MANY_WAITING")
    assert reply.headers["retry-after"] == "30"
    assert (await send(client, "GET", ACTIVE, None, if_none_match=etag)).status == 304
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await _all_wait(client, 0)


async def test_too_much_is_refused_with_what_to_ask_instead(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_notebook(client, wish("tool"))
    await ask(client, wish("library"))
    monkeypatch.setattr("registry.catalog.active_versions.MAX_VERSIONS", 1)
    assert len(await items(client, ADA)) == 1
    reply = await send(client, "GET", f"{ACTIVE}?versions=all", ADA)
    assert "'only'" in refused(reply, 400, "PARAMETER_INVALID")


async def _built(client: Client, environment: str) -> None:
    """Return once the first version of an environment of ada's is built."""
    catalog = client.services.catalog
    assert catalog is not None
    while not (await catalog.versions.get("ada", environment, 1)).has_ended:
        await catalog.follower.changed(1)
    await catalog.follower.settled(2**62)


async def _all_wait(client: Client, count: int) -> None:
    """Return once so many requests wait at a server."""
    catalog = client.services.catalog
    assert catalog is not None
    async with asyncio.timeout(10):
        while catalog.active_waiting._waiting.total() != count:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.005)
