"""Policies, findings and blocks by the API, over a real service."""

from pathlib import Path
from typing import Any

import pytest

from tests.registry.accounts import basic
from tests.registry.asgi import Client
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
    write_users,
)
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio

POLICIES = "/api/v1/policies"
COMPANY = f"{POLICIES}/company"
OWN = f"{NAMESPACES}/ada/policy"
BLOCKS = "/api/v1/blocks"
EVE = basic("eve")
NO_TOOL_2 = '[packages]\ndenied = ["tool 2.0"]\n'
OTHER = "[limits]\npackages = 50\n"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    site = catalog_site
    write_users(site, "ada", "bob", "eve")
    (site.root / "policies").mkdir()
    site.settings["policies"] = site.root / "policies"
    return site


async def put(client: Client, url: str, who: str, text: str, **headers: str) -> Any:
    reply = await send(client, "PUT", url, who, text.encode(), **headers)
    assert reply.status == 200, reply
    return reply.json()


async def got(client: Client, url: str, who: str) -> Any:
    reply = await send(client, "GET", url, who)
    assert reply.status == 200, reply
    return reply.json()


async def has_findings(client: Client, number: int, url: str = "/api/v1/findings") -> list[Any]:
    """Return the findings when there are so many."""
    assert client.services.catalog is not None
    while True:
        found: list[Any] = (await got(client, url, ROOT))["items"]
        if len(found) == number:
            return found
        await client.services.catalog.follower.changed(0.2)


async def actions(client: Client, who: str, url: str = "/api/v1/events?limit=100") -> list[Any]:
    found: list[Any] = (await got(client, url, who))["items"]
    return found


async def test_an_administrator_sets_a_policy_and_builds_heed_it_at_once(client: Client) -> None:
    document = await put(client, COMPANY, ROOT, NO_TOOL_2)
    assert (document["name"], document["version"], document["set_by"]) == ("company", 1, "root")
    assert document["source"] == "database"
    assert document["sentences"] == ["tool ==2.0 is not installed."]
    reply = await build(client, wish("tool 2.0"))
    assert reply.status == 403, reply
    assert "policy 'company'" in refused(reply, 403, "POLICY_REFUSED")
    reply = await send(client, "DELETE", COMPANY, ROOT)
    assert reply.status == 204, reply
    assert (await build(client, wish("tool 2.0"))).status in {200, 201}
    assert refused(await send(client, "GET", COMPANY, ROOT), 404, "POLICY_UNKNOWN")


async def test_each_text_is_kept_and_changes_are_told_with_before_and_after(client: Client) -> None:
    await put(client, COMPANY, ROOT, NO_TOOL_2)
    json_body = {"text": OTHER}
    reply = await send(client, "PUT", COMPANY, ROOT, json_body, if_match='"1"')
    assert reply.status == 200, reply
    assert reply.headers["etag"] == '"2"'
    again = await put(client, COMPANY, ROOT, OTHER)
    assert again["version"] == 2, "the same text is no new version"
    reply = await send(client, "PUT", COMPANY, ROOT, NO_TOOL_2.encode(), if_match='"1"')
    assert refused(reply, 412, "REVISION_CONFLICT")
    await send(client, "DELETE", COMPANY, ROOT)
    await put(client, COMPANY, ROOT, NO_TOOL_2)
    page = await got(client, f"{COMPANY}/versions?limit=2", ROOT)
    assert [one["version"] for one in page["items"]] == [3, 2]
    rest = await got(client, f"{COMPANY}/versions?limit=2&after={page['next']}", ROOT)
    assert [(one["version"], one["text"]) for one in rest["items"]] == [(1, NO_TOOL_2)]
    told = [
        (one["action"], one["detail"]["before"], one["detail"]["after"])
        for one in reversed(await actions(client, ROOT))
        if one["action"].startswith("policy.")
    ]
    first, second, third = (
        {"version": n, "text": t} for n, t in ((1, NO_TOOL_2), (2, OTHER), (3, NO_TOOL_2))
    )
    assert told == [
        ("policy.set", {}, first),
        ("policy.set", first, second),
        ("policy.deleted", second, {}),
        ("policy.set", {}, third),
    ]


async def test_a_malformed_policy_is_refused_with_line_and_field_and_the_last_one_stays(
    client: Client,
) -> None:
    await put(client, COMPANY, ROOT, NO_TOOL_2)
    reply = await send(client, "PUT", COMPANY, ROOT, b"\n[packages]\ndenied = [3]\n")
    assert refused(reply, 400, "POLICY_TEXT_INVALID")
    error = reply.json()["error"]
    assert (error["line"], error["field"]) == (3, "packages.denied[0]")
    for body in (b"\xff", b'{"text": 3}', b'{"text": "a = ["}', b"[" * 300):
        assert (await send(client, "PUT", COMPANY, ROOT, body)).status == 400
    reply = await send(client, "PUT", f"{POLICIES}/own", ROOT, NO_TOOL_2.encode())
    assert refused(reply, 400, "POLICY_TEXT_INVALID")
    assert (await got(client, COMPANY, ROOT))["text"] == NO_TOOL_2
    assert (await send(client, "PUT", f"{POLICIES}/test", ROOT, NO_TOOL_2.encode())).status == 405


async def test_a_policy_of_a_file_is_changed_by_nobody_and_wins(client: Client, site: Site) -> None:
    await put(client, COMPANY, ROOT, OTHER)
    path = Path(site.settings["policies"]) / "company.toml"
    path.write_text(NO_TOOL_2)
    catalog = client.services.catalog
    assert catalog is not None
    while not catalog.book.is_kept_in_file("company"):
        await catalog.book.changed(catalog.book.changes, 1)
    document = await got(client, COMPANY, ROOT)
    assert (document["source"], document["text"], document["set_by"]) == ("file", NO_TOOL_2, None)
    for method in ("PUT", "DELETE"):
        body = OTHER.encode() if method == "PUT" else None
        reply = await send(client, method, COMPANY, ROOT, body)
        assert "kept in a file" in refused(reply, 409, "POLICY_IN_FILE")
    path.write_text("[packages\n")
    while not catalog.book.problems():
        await catalog.book.changed(catalog.book.changes, 0.2)
    (problem,) = (await got(client, POLICIES, ROOT))["problems"]
    assert (problem["file"], problem["line"]) == ("company.toml", 1)
    assert (await got(client, COMPANY, ROOT))["text"] == NO_TOOL_2, "the last good one stays"
    assert (await got(client, POLICIES, BOB))["problems"] == []


async def test_only_administrators_set_policies_and_others_see_sentences(client: Client) -> None:
    text = f'namespaces = ["*"]\n[channels]\nallowed = ["main"]\n{NO_TOOL_2}'
    await put(client, COMPANY, ROOT, text)
    await put(client, f"{POLICIES}/secret", ROOT, f'namespaces = ["hidden"]\n{OTHER}')
    await made(client, NAMESPACES, BOB, {"name": "bob"})
    for method, body in (("PUT", NO_TOOL_2.encode()), ("DELETE", None), ("GET", None)):
        assert (await send(client, method, COMPANY, BOB, body)).status == 403
    page = await got(client, POLICIES, BOB)
    (seen,) = page["items"]
    assert (seen["name"], seen["text"], seen["namespaces"]) == ("company", None, None)
    assert "tool ==2.0 is not installed." in seen["sentences"]
    assert {one["name"] for one in (await got(client, POLICIES, ROOT))["items"]} == {
        "company",
        "secret",
    }


async def test_a_namespace_adds_rules_of_its_own_and_lifts_none(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "notebook"})
    await put(client, COMPANY, ROOT, NO_TOOL_2)
    lifting = '[packages]\ndenied = []\n[channels]\nallowed = ["main"]\n[limits]\npackages = 9\n'
    document = await put(client, OWN, ADA, lifting)
    assert document["own"]["text"] == lifting
    assert [(one["name"], one["source"], one["set_by"]) for one in document["holds"]] == [
        ("company", "database", "root"),
        ("own", "namespace", "ada"),
    ]
    failed = (await ask(client, wish("tool 2.0"))).json()
    assert failed["state"] == "failed"
    assert "policy 'company'" in failed["message"]
    reply = await send(client, "PUT", OWN, ADA, b'namespaces = ["*"]\n[limits]\npackages = 9')
    assert (await send(client, "PUT", OWN, ADA, b'namespaces = ["bob"]')).status == 400
    assert reply.status == 200, reply
    await put(client, OWN, ADA, "[limits]\npackages = 1\n")
    failed = (await ask(client, wish("tool 1.0"))).json()
    assert failed["state"] == "failed", failed
    assert "policy 'own'" in failed["message"]
    assert (await build(client, wish("tool 1.0"))).status in {200, 201}, "it holds there alone"
    reply = await send(client, "DELETE", OWN, ADA)
    assert reply.status == 204, reply
    assert (await got(client, OWN, ADA))["own"] is None
    # Who may see the namespace sees what holds, and who has set it; nobody else sees it at all.
    await made(client, f"{NAMESPACES}/ada/grants", ADA, {"subject": "bob", "role": "viewer"})
    (held,) = (await got(client, OWN, BOB))["holds"]
    assert (held["sentences"], held["text"]) == (["tool ==2.0 is not installed."], None)
    assert (await send(client, "GET", OWN, EVE)).status == 404
    assert (await send(client, "PUT", OWN, BOB, OTHER.encode())).status == 403


async def test_where_a_channel_is_allowed_is_told_in_those_places_alone(client: Client) -> None:
    await made(client, NAMESPACES, ADA, {"name": "ada"})
    text = '[channels]\nallowed = ["main", "other"]\nonly_in = { other = ["hidden-team"] }\n'
    await put(client, COMPANY, ROOT, text)
    for url in (OWN, POLICIES):
        assert "hidden-team" not in (await send(client, "GET", url, ADA)).body.decode()
    (held,) = (await got(client, OWN, ADA))["holds"]
    assert held["sentences"] == ["Packages come from main alone."]


async def test_a_policy_judges_what_there_is_and_says_what_to_change(client: Client) -> None:
    built = await make_notebook(client, wish("tool 2.0"))
    assert (await got(client, "/api/v1/findings", ROOT))["items"] == []
    await put(client, COMPANY, ROOT, f'mode = "warn"\n{NO_TOOL_2}')
    (found,) = await has_findings(client, 1)
    assert (found["environment"], found["active"], found["owner"]) == ("ada/notebook", True, "ada")
    assert found["versions"] == [1]
    assert (found["policy"], found["mode"], found["kind"]) == ("company", "warn", "packages")
    assert (found["package"], found["version"], found["key"]) == ("tool", "2.0", built["key"])
    # What warns keeps no solve from anything.
    assert found["change"] == ("have the specification ask for another version, or take tool out")
    url = f"{NAMESPACES}/ada/findings"
    assert (await got(client, url, ADA))["items"] == [found]
    assert (await got(client, f"{url}?policy=other", ADA))["items"] == []
    assert (await got(client, f"{url}?active=1", ADA))["items"] == [found]
    assert (await got(client, "/api/v1/findings?namespace=ada", ADA))["items"] == [found]
    assert (await got(client, "/api/v1/findings", BOB))["items"] == []
    assert (await send(client, "GET", url, BOB)).status == 404
    (event,) = [
        one
        for one in await actions(client, ADA, f"{NOTEBOOK}/events?limit=100")
        if one["action"] == "finding.found"
    ]
    assert event["detail"]["findings"][0]["package"] == "tool 2.0"
    await send(client, "DELETE", COMPANY, ROOT)
    await has_findings(client, 0)


async def test_a_policy_is_tried_before_it_is_switched_on(client: Client) -> None:
    await make_notebook(client, wish("tool 2.0"))
    url = f"{POLICIES}/test"
    reply = await send(client, "POST", url, ROOT, NO_TOOL_2.encode())
    assert reply.status == 200, reply
    document = reply.json()
    assert document["specification"] is None
    assert document["existing"]["environments"] == document["existing"]["active"] == 1
    (found,) = document["existing"]["items"]
    assert (found["environment"], found["package"]) == ("ada/notebook", "tool")
    body = {"text": NO_TOOL_2, "specification": wish("tool").decode()}
    document = (await send(client, "POST", url, ROOT, body)).json()
    tried = document["specification"]
    assert tried["built"], tried
    assert "2.0" not in {one["version"] for one in tried["packages"]["linux-64"]}
    body["specification"] = wish("tool 2.0").decode()
    tried = (await send(client, "POST", url, ROOT, body)).json()["specification"]
    assert (tried["built"], tried["by_policy"]) == (False, True)
    assert "policy 'trial'" in tried["refused"]
    required = '[packages]\nrequired = ["library"]\n'
    body = {"text": required, "specification": wish("tool 1.0").decode()}
    tried = (await send(client, "POST", url, ROOT, body)).json()["specification"]
    assert tried["policy"]["added"] == ["library is added by policy 'trial'"]
    assert "library" in {one["name"] for one in tried["packages"]["linux-64"]}
    # Nothing of it holds.
    assert (await got(client, POLICIES, ROOT))["items"] == []
    assert (await got(client, "/api/v1/findings", ROOT))["items"] == []
    assert (await send(client, "POST", url, ADA, NO_TOOL_2.encode())).status == 403
    own = {"text": NO_TOOL_2, "namespace": "ada"}
    assert (await send(client, "POST", url, ADA, own)).json()["name"] == "own"
    assert (await send(client, "POST", url, BOB, own)).status == 404
    reply = await send(client, "POST", url, ROOT, {"text": NO_TOOL_2, "specification": "["})
    assert 400 <= reply.status < 500, reply


async def test_a_blocked_build_is_refused_until_it_is_let_go(client: Client) -> None:
    built = await make_notebook(client, wish("tool 2.0"))
    key = built["key"]
    body = {"key": key, "reason": "it has a backdoor"}
    assert (await send(client, "POST", BLOCKS, ADA, body)).status == 403
    block = await made(client, BLOCKS, ROOT, body)
    assert (block["key"], block["blocked_by"]) == (key, "root")
    assert (await made(client, BLOCKS, ROOT, body))["at"] == block["at"]
    for url in (f"/api/v1/builds/{key}", f"{NOTEBOOK}/versions/1/lock"):
        message = refused(await send(client, "GET", url, ADA), 403, "BUILD_BLOCKED")
        assert "it has a backdoor" in message
    assert [one["key"] for one in (await got(client, BLOCKS, ROOT))["items"]] == [key]
    told = await actions(client, ADA, f"{NOTEBOOK}/events?limit=100")
    (event,) = [one for one in told if one["action"] == "build.blocked"]
    assert event["detail"]["after"] == {"reason": "it has a backdoor"}
    reply = await send(client, "DELETE", f"{BLOCKS}/{key}", ROOT)
    assert reply.status == 204, reply
    assert (await send(client, "GET", f"/api/v1/builds/{key}", ADA)).status == 200
    reply = await send(client, "DELETE", f"{BLOCKS}/{key}", ROOT)
    assert "is not blocked" in refused(reply, 404, "BLOCK_UNKNOWN")
    told = await actions(client, ADA, f"{NOTEBOOK}/events?limit=100")
    (event,) = [one for one in told if one["action"] == "build.unblocked"]
    assert event["detail"]["before"] == {"reason": "it has a backdoor", "blocked_by": "root"}
    unknown = {"key": "0" * 32, "reason": "a typing error"}
    assert refused(await send(client, "POST", BLOCKS, ROOT, unknown), 404, "BUILD_UNKNOWN")


async def test_policies_blocks_and_findings_outlast_a_server(site: Site) -> None:
    async with site.open() as client:
        key = (await make_notebook(client, wish("tool 2.0")))["key"]
        await put(client, COMPANY, ROOT, NO_TOOL_2)
        await made(client, BLOCKS, ROOT, {"key": key, "reason": "no"})
        await has_findings(client, 1)
    async with site.open() as client:
        assert refused(await build(client, wish("tool 2.0")), 403, "POLICY_REFUSED")
        assert (await send(client, "GET", f"/api/v1/builds/{key}", ADA)).status == 403
        assert len((await got(client, "/api/v1/findings", ROOT))["items"]) == 1
