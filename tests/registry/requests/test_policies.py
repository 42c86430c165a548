"""Policies and what is sent to the API: refused before it costs a build, and told of otherwise."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.rules.model import Author, DeniedRule, Rules
from registry.images.rules import RulesRecords
from registry.policy.policy import read_policy
from registry.requests.status import RequestStatus, dump_status, parse_status
from registry.storage.layout import input_key, request_key
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    NOTEBOOK,
    ROOT,
    ended,
    make_notebook,
    make_site,
    refused,
    send,
)
from tests.registry.web.api.site import BUILDS, Site, build, wish

pytestmark = pytest.mark.anyio

NO_TOOL_2 = "contact = 'it@example.org'\n[packages]\ndenied = ['tool ==2.0']\n"
NO_TOOL = "contact = 'it@example.org'\n[packages]\ndenied = ['tool']\n"
ADDS = "[packages]\nrequired = [{ spec = 'library', reason = 'everybody needs it' }]\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def client(site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    async with site.open() as client:
        yield client


def say(client: Client, text: str, namespace: str | None = None) -> None:
    """Have one policy of that text, and no other of its name."""
    assert client.services.catalog is not None
    name = "own" if namespace else "company"
    client.services.catalog.book.put_policy(
        read_policy(name, text, namespace=namespace, source="database")
    )


async def locked(client: Client, key: str) -> bytes:
    reply = await send(client, "GET", f"{BUILDS}/{key}/lock", ROOT)
    assert reply.status == 200, reply
    return reply.body


async def test_what_a_policy_denies_leaves_nothing(client: Client, site: Site) -> None:
    say(client, NO_TOOL)
    message = refused(await build(client, wish("tool")), 403, "POLICY_REFUSED")
    assert "policy 'company'" in message
    assert "ask it@example.org" in message
    assert site.files("requests") == site.files("inputs") == site.files("locks") == []


async def test_a_lock_is_judged_as_a_solve_is(client: Client) -> None:
    first = (await build(client, wish("tool"))).json()
    data = await locked(client, first["key"])
    assert (await build(client, data)).status in {200, 201}
    say(client, NO_TOOL_2)
    message = refused(await build(client, data), 403, "POLICY_REFUSED")
    assert "tool 2.0" in message
    # What was built before is there by its key.
    assert (await send(client, "GET", f"{BUILDS}/{first['key']}", ROOT)).status == 200


async def test_a_list_of_packages_is_judged_too(client: Client, site: Site) -> None:
    first = (await build(client, wish("tool"))).json()
    listed = await send(client, "GET", f"{BUILDS}/{first['key']}/explicit", ROOT)
    assert listed.status == 200, listed
    say(client, NO_TOOL_2)
    message = refused(await build(client, listed.body), 403, "POLICY_REFUSED")
    assert "tool 2.0" in message


async def test_what_was_added_and_left_out_is_told(client: Client) -> None:
    say(client, NO_TOOL_2 + "required = [{ spec = 'library', reason = 'everybody needs it' }]\n")
    asked = await send(client, "POST", BUILDS, ROOT, wish("tool"))
    status = await followed(client, asked.json()["id"])
    assert "library is added by policy 'company'" in status["policy"]["added"][0]
    assert "tool 2.0 is left out by policy 'company'" in status["policy"]["left_out"][0]
    log = (await send(client, "GET", f"/api/v1/requests/{status['id']}/log", ROOT)).body.decode()
    for sentence in (*status["policy"]["added"], *status["policy"]["left_out"]):
        assert log.count(sentence) == 1, log
    # What is kept of how the build was made is for everybody who has that lock.
    kept = await send(client, "GET", f"{BUILDS}/{status['key']}/log", ROOT)
    assert "policy" not in kept.body.decode()


async def test_another_policy_makes_another_request_of_it(client: Client) -> None:
    before = (await build(client, wish("tool"))).json()["key"]
    say(client, NO_TOOL_2)
    after = (await build(client, wish("tool"))).json()["key"]
    assert before != after
    assert client.services.catalog is not None
    client.services.catalog.book.remove_policy("company")
    assert (await build(client, wish("tool"))).json()["key"] == before


async def test_a_warning_is_told_and_nothing_is_refused(client: Client) -> None:
    say(client, "mode = 'warn'\n" + NO_TOOL_2)
    asked = await send(client, "POST", BUILDS, ROOT, wish("tool"))
    status = await followed(client, asked.json()["id"])
    assert status["state"] == "done"
    assert "policy 'company'" in status["policy"]["warnings"][0]


async def test_a_request_that_is_taken_up_is_made_by_the_rules_it_was_asked_by(
    client: Client, site: Site
) -> None:
    rules = Rules(denied=(DeniedRule(Author("company"), "tool ==2.0"),))
    store = client.services.repositories._store
    digest = await RulesRecords(store, site.clock).keep(rules)
    request = "0" * 32
    left = RequestStatus(request, state="building", rules=digest)
    await store.write(input_key(request), wish("tool"))
    await store.write(request_key(request), dump_status(left))
    status = await followed(client, request)
    assert status["state"] == "done", status
    assert "tool 2.0 is left out" in status["policy"]["left_out"][0]
    found = await store.read(request_key(request))
    assert found is not None
    assert parse_status(found).rules == digest


async def test_a_version_is_made_by_the_rules_of_its_namespace(client: Client) -> None:
    say(client, NO_TOOL_2, namespace="ada")
    first = await make_notebook(client, wish("tool"))
    assert first["state"] == "built"
    assert "tool 2.0 is left out" in first["policy"]["left_out"][0]
    other = (await build(client, wish("tool"))).json()["key"]
    assert other != first["key"]
    say(client, NO_TOOL, namespace="ada")
    await send(client, "POST", f"{NOTEBOOK}/versions?renew=true", ADA, wish("tool"))
    second = await ended(client, f"{NOTEBOOK}/versions/2", ADA)
    assert second["state"] == "failed"
    assert "not allowed by policy" in second["message"]
    assert second["policy"] == {"added": [], "left_out": [], "warnings": []}


def test_a_status_without_rules_is_what_older_servers_read() -> None:
    status = RequestStatus("0" * 32)
    assert {"told", "rules"}.isdisjoint(json.loads(dump_status(status)))
    assert parse_status(dump_status(status)) == status
    more = replace(status, rules=Rules(denied=(DeniedRule(Author("a"), "b"),)).digest)
    assert parse_status(dump_status(more)).rules == more.rules


async def followed(client: Client, request: str) -> Any:
    """Return the status of a request once it has ended."""
    requests = client.services.builds.requests
    status = await requests.status(request)
    assert status is not None
    await requests.ended(status, 60)
    return (await send(client, "GET", f"/api/v1/requests/{request}", ROOT)).json()


async def test_nothing_is_copied_to_where_a_policy_does_not_allow_it(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    say(client, NO_TOOL, namespace="bob")
    await send(client, "POST", "/api/v1/namespaces", ROOT, {"name": "bob"})
    for verb in ("copy", "move"):
        place = {"namespace": "bob", "name": "notebook"}
        reply = await send(client, "POST", f"{NOTEBOOK}/{verb}", ROOT, place)
        assert "tool 2.0" in refused(reply, 403, "POLICY_REFUSED")
    reply = await send(client, "POST", f"{NOTEBOOK}/copy", ADA, {"name": "other"})
    assert reply.status == 201, reply
