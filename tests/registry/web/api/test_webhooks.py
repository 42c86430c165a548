"""Webhooks by the API, over a real service: who manages them, and what is shown of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    ROOT,
    made,
    make_notebook,
    refused,
    send,
    write_users,
)
from tests.registry.web.api.site import Site
from tests.registry.webhooks.post import post_office
from tests.registry.webhooks.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

WEBHOOKS = "/api/v1/webhooks"
EVE = basic("eve")


@pytest.fixture
def site(catalog_site: Site) -> Site:
    write_users(catalog_site, "ada", "bob", "eve")
    catalog_site.settings["webhook_networks"] = ["127.0.0.0/8"]
    return catalog_site


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def new(client: Client, url: str, who: str = ADA, **body: Any) -> Any:
    return await made(client, WEBHOOKS, who, {"url": url, **body})


async def delivered(client: Client, url: str) -> Any:
    """Return the one delivery of a list that was taken, when it is."""
    async with asyncio.timeout(20):
        while True:
            items = (await send(client, "GET", f"{url}?state=delivered", ADA)).json()["items"]
            if items:
                return items[0]


async def listed(client: Client, who: str, query: str = "") -> list[int]:
    reply = await send(client, "GET", f"{WEBHOOKS}{query}", who)
    assert reply.status == 200, reply
    return [one["id"] for one in reply.json()["items"]]


async def test_what_happens_in_a_namespace_is_sent_by_the_service_itself(
    client: Client, receiver: Receiver
) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    webhook = await new(client, receiver.url("/hook?token=s3cret", user="u:p4ss"), namespace="ada")
    assert webhook["secret"].startswith("whsec_")
    assert webhook["url"] == receiver.url("/hook?token=***", user="***")
    assert (webhook["state"], webhook["actions"]) == ("active", None)
    await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "notebook"})
    (taken,) = await receiver.count(1)
    told = taken.verified(webhook["secret"])
    assert (told["type"], told["data"]["environment"]) == ("environment.created", "notebook")
    assert told["data"]["actor"] == "ada"
    assert "token" not in told["data"]
    assert "address" not in told["data"]
    assert taken.target == "/hook?token=s3cret"
    assert taken.headers["authorization"] == basic("u", "p4ss")
    here = f"{WEBHOOKS}/{webhook['id']}"
    shown = await send(client, "GET", here, ADA)
    assert shown.headers["etag"] == '"1"'
    assert "secret" not in shown.json()
    delivery = await delivered(client, f"{here}/deliveries")
    assert (delivery["action"], delivery["status"]) == ("environment.created", 204)
    assert f"evt_{delivery['event']}" == taken.id
    again = await send(client, "POST", delivery["links"]["resend"], ADA)
    assert (again.status, again.json()["state"]) == (202, "waiting")
    await receiver.count(2)
    assert receiver.ids == [taken.id, taken.id]


async def test_a_ping_says_what_came_of_it(client: Client, receiver: Receiver) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    webhook = await new(client, receiver.url(), namespace="ada")
    ping = await send(client, "POST", webhook["links"]["ping"], ADA)
    assert ping.status == 202, ping
    await receiver.count(1)
    document = ping.json()
    while document["state"] == "waiting":
        document = (await send(client, "GET", document["links"]["self"], ADA)).json()
    assert (document["state"], document["action"]) == ("delivered", "webhook.tested")


async def test_admins_of_a_namespace_manage_its_own_and_administrators_those_of_everything(
    client: Client,
) -> None:
    await make_notebook(client)
    await made(client, NAMESPACES, BOB, {"name": "bob"})
    for who, role in (("bob", "editor"), ("eve", "admin")):
        await made(client, f"{NAMESPACES}/ada/grants", ADA, {"subject": who, "role": role})
    mine = (await new(client, "https://a.invalid/1", namespace="ada"))["id"]
    theirs = (await new(client, "https://a.invalid/2", BOB, namespace="bob"))["id"]
    service = (await new(client, "https://a.invalid/3", ROOT))["id"]
    assert await listed(client, ADA) == [mine]
    assert await listed(client, EVE) == [mine]
    assert await listed(client, BOB) == [theirs]
    assert await listed(client, BOB, "?namespace=ada") == []
    assert await listed(client, ROOT) == [mine, theirs, service]
    assert await listed(client, ROOT, "?namespace=ada") == [mine]
    page = (await send(client, "GET", f"{WEBHOOKS}?limit=2", ROOT)).json()
    assert [one["id"] for one in page["items"]] == [mine, theirs]
    assert await listed(client, ROOT, f"?limit=2&after={page['next']}") == [service]
    for who, one in ((BOB, mine), (ADA, theirs), (ADA, service), (EVE, 999)):
        for method, path in (
            *(("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/ping"), ("POST", "/rotate")),
            *(("GET", "/deliveries"), ("GET", "/deliveries/1"), ("POST", "/deliveries/1/resend")),
        ):
            body: Any = {} if method == "PATCH" else None
            reply = await send(client, method, f"{WEBHOOKS}/{one}{path}", who, body)
            assert reply.status == 404, (method, path, reply)
    asked = await send(
        client, "POST", WEBHOOKS, BOB, {"url": "https://a.invalid", "namespace": "ada"}
    )
    assert "needs the role admin" in refused(asked, 403, "DENIED")
    asked = await send(client, "POST", WEBHOOKS, ADA, {"url": "https://a.invalid/"})
    refused(asked, 403, "DENIED")


async def test_a_deleted_namespace_takes_its_own_with_it(client: Client) -> None:
    await make_notebook(client)
    mine = (await new(client, "https://a.invalid/1", namespace="ada"))["id"]
    assert (await send(client, "DELETE", f"{NAMESPACES}/ada", ADA)).status == 204
    assert await listed(client, ROOT) == []
    assert (await send(client, "GET", f"{WEBHOOKS}/{mine}", ROOT)).status == 404
    await made(client, NAMESPACES, ROOT, {"name": "ada", "owner": "bob"})
    assert await listed(client, BOB) == []


async def test_it_is_changed_disabled_and_deleted(client: Client) -> None:
    await make_notebook(client)
    webhook = await new(client, "https://a.invalid/1", namespace="ada")
    here = f"{WEBHOOKS}/{webhook['id']}"
    body: dict[str, Any] = {
        "url": "https://b.invalid/2",
        "environment": "fore*",
        "actions": ["version.*"],
    }
    changed = await send(client, "PATCH", here, ADA, {**body, "format": "chat", "enabled": False})
    document = changed.json()
    assert document["url"] == "https://b.invalid/***", "chat services have their secrets in it"
    assert (document["environment"], document["actions"]) == ("fore*", ["version.*"])
    assert (document["state"], document["revision"]) == ("disabled", 2)
    stale = await send(client, "PATCH", here, ADA, {"enabled": True}, if_match='"1"')
    assert stale.status == 412, stale
    enabled = await send(client, "PATCH", here, ADA, {"enabled": True}, if_match='"2"')
    assert enabled.json()["state"] == "active"
    assert (await send(client, "PATCH", here, ADA, {"actions": []})).json()["actions"] is None
    for actions in (["version.active"], ["version.*", "versions.*"]):
        refused = await send(client, "PATCH", here, ADA, {"actions": actions})
        assert refused.status == 400, refused
        assert f"no event is called '{actions[-1]}'" in refused.json()["error"]["message"]
    rotated = (await send(client, "POST", f"{here}/rotate", ADA)).json()
    assert rotated["secret"] not in {webhook["secret"], ""}
    assert rotated["old_secret_until"] is not None
    assert (await send(client, "DELETE", here, ADA)).status == 204
    assert (await send(client, "GET", here, ADA)).status == 404
    audit = (await send(client, "GET", "/api/v1/audit?limit=100", ROOT)).body.decode()
    for text in (webhook["secret"], rotated["secret"], "a.invalid/1", "b.invalid/2"):
        assert text not in audit
    assert '"to":"b.invalid"' in audit.replace(" ", "")


async def test_an_address_that_cannot_be_or_leads_inside_is_refused_at_once(
    client: Client,
) -> None:
    for url in ("ftp://a.invalid/", "https:///", "http://[::1/", "https://u:***@a.invalid/"):
        reply = await send(client, "POST", WEBHOOKS, ROOT, {"url": url})
        assert url not in refused(reply, 400, "WEBHOOK_INVALID")
    for url in ("http://10.0.0.1/", "http://[::ffff:10.0.0.1]:8080/", "http://2852039166/"):
        reply = await send(client, "POST", WEBHOOKS, ROOT, {"url": url})
        assert "PULLFORGE_WEBHOOK_NETWORKS" in refused(reply, 400, "WEBHOOK_INVALID")


async def test_mail_needs_a_server_and_an_address(client: Client) -> None:
    wish = {"url": "ada@example.org", "kind": "mail"}
    said = refused(await send(client, "POST", WEBHOOKS, ROOT, wish), 400, "WEBHOOK_INVALID")
    assert "PULLFORGE_SMTP" in said
    for url in ("ada", "a@b@c", "Ada <ada@example.org>", "a@example.org,b@example.org", "a..b@c.d"):
        reply = await send(client, "POST", WEBHOOKS, ROOT, {**wish, "url": url})
        assert "one address" in refused(reply, 400, "WEBHOOK_INVALID")


async def test_people_get_mail_of_what_they_want_to_read_of(site: Site) -> None:
    async with post_office() as post:
        mail = {"smtp": f"smtp://127.0.0.1:{post.port}", "mail_from": "pull@example.org"}
        async with site.open(**mail) as client:
            await make_notebook(client)
            made = await new(client, "data@example.org", kind="mail", namespace="ada")
            assert (made["secret"], made["url"]) == ("", "data@example.org")
            assert "version.activated" in made["actions"]
            assert "rotate" not in made["links"]
            path = f"{NAMESPACES}/ada/environments/notebook"
            assert (await send(client, "DELETE", path, ADA)).status == 204
            delivery = await delivered(client, f"{WEBHOOKS}/{made['id']}/deliveries")
            assert delivery["action"] == "environment.deleted"
        ((recipients, message),) = post.taken
    assert recipients == ["data@example.org"]
    assert message["Subject"] == "[pullforge] ada deleted ada/notebook"


async def test_a_namespace_has_so_many_and_no_more(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.catalog.webhooks.MAX_WEBHOOKS", 2)
    await make_notebook(client)
    for number in range(2):
        await new(client, f"https://a.invalid/{number}", namespace="ada")
    wish = {"url": "https://a.invalid/", "namespace": "ada"}
    reply = await send(client, "POST", WEBHOOKS, ADA, wish)
    assert "'ada' has 2 webhooks" in refused(reply, 409, "TOO_MANY_WEBHOOKS")


async def test_the_service_sends_nothing_to_itself(site: Site) -> None:
    mine = {"public_url": "https://pull.example.org", "webhook_networks": []}
    async with site.open(**mine) as client:
        wish = {"url": "https://pull.example.org/api/v1/webhooks"}
        said = refused(await send(client, "POST", WEBHOOKS, ROOT, wish), 400, "WEBHOOK_INVALID")
        assert "is this service itself" in said


async def test_what_is_answered_once_is_not_kept_for_whoever_sends_it_again(
    client: Client,
) -> None:
    await make_notebook(client)
    body = {"url": "https://a.invalid/1", "namespace": "ada"}
    first = await send(client, "POST", WEBHOOKS, ADA, body, idempotency_key="one")
    second = await send(client, "POST", WEBHOOKS, ADA, body, idempotency_key="one")
    assert first.json()["secret"] not in second.body.decode()
