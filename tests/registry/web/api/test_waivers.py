"""Waivers by the API, over a real service: who sees them, who decides, and what follows."""

from datetime import UTC, datetime, timedelta
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
    ended,
    made,
    make_notebook,
    refused,
    send,
    write_users,
)
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio

WAIVERS = "/api/v1/waivers"
VERSIONS = f"{NOTEBOOK}/versions"
EVE = basic("eve")
COMPANY = """
contact = "it@example.org"
[packages]
denied = ["tool 2.0"]
"""
NEW = wish("tool 2.0")


@pytest.fixture
def site(catalog_site: Site) -> Site:
    site = catalog_site
    write_users(site, "ada", "bob", "eve")
    (site.root / "policies").mkdir()
    (site.root / "policies" / "company.toml").write_text(COMPANY)
    site.settings["policies"] = site.root / "policies"
    return site


async def asked(client: Client, who: str = ADA, **body: Any) -> Any:
    """Return the one waiver that is asked for."""
    document = await made(client, WAIVERS, who, {"reason": "a bug is fixed in it", **body})
    (waiver,) = document["items"]
    return waiver


async def decide(client: Client, number: int, who: str = ROOT, **body: Any) -> Any:
    reply = await send(client, "POST", f"{WAIVERS}/{number}/decision", who, body)
    assert reply.status == 200, reply
    return reply.json()


async def grant_role(client: Client, who: str, role: str, environment: str = "*") -> None:
    body = {"subject": who, "role": role, "environment": environment}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, body)


async def listed(client: Client, who: str, query: str = "") -> list[int]:
    reply = await send(client, "GET", f"{WAIVERS}{query}", who)
    assert reply.status == 200, reply
    return [one["id"] for one in reply.json()["items"]]


async def test_what_was_refused_is_asked_for_granted_and_goes_on_by_itself(client: Client) -> None:
    await make_notebook(client)
    failed = (await ask(client, NEW)).json()
    assert failed["state"] == "failed", failed
    assert failed["refusal"] == {
        "policy": "company",
        "kind": "packages",
        "contact": "it@example.org",
        "manager": "conda",
        "packages": ["tool ==2.0"],
        "spec": "tool ==2.0",
    }
    assert failed["message"].endswith(
        "ask it@example.org, or: pullforge waiver request ada/notebook --reason WHY"
    )
    assert "tool 2.0" in failed["message"]
    assert "'company'" in failed["message"]
    assert failed["links"]["waivers"] == WAIVERS
    waiver = await asked(client, environment="ada/notebook")
    assert (waiver["state"], waiver["scope"], waiver["version"]) == ("waiting", "environment", 1)
    assert (waiver["policy"], waiver["spec"]) == ("company", "tool ==2.0")
    assert (waiver["package"], waiver["rule"]) == ("tool", ["tool ==2.0 is not installed."])
    assert waiver["refused"].startswith("tool 2.0 is not allowed by policy 'company'")
    assert "it@example.org" not in waiver["refused"]
    assert {"withdraw", "version"} <= set(waiver["links"])
    assert "decision" not in waiver["links"]
    told = (await send(client, "GET", f"{WAIVERS}/{waiver['id']}", ROOT)).json()
    assert "decision" in told["links"]
    assert "withdraw" not in told["links"]
    assert told["advisories"] == []
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    granted = await decide(client, waiver["id"], grant=True, reason="until June", expires_at=ends)
    assert (granted["state"], granted["holds_for"]) == ("granted", "'ada/notebook'")
    done = await ended(client, f"{VERSIONS}/2", ADA)
    assert (done["state"], done["reason"], done["requested_by"]) == ("built", "waiver", "ada")
    assert (await send(client, "GET", f"{NOTEBOOK}/active", ADA)).json()["number"] == 2
    assert (await send(client, "GET", "/v2/ada/notebook/manifests/latest", ADA)).status == 200
    # Elsewhere it is refused as before.
    await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "other"})
    other = f"{NAMESPACES}/ada/environments/other/versions"
    reply = await send(client, "POST", other, ADA, NEW, prefer="wait=25")
    assert reply.json()["state"] == "failed"
    refused(await build(client, NEW), 403, "POLICY_REFUSED")


async def test_a_refusal_of_what_has_no_name_says_how_to_ask_and_goes_once_it_is_granted(
    client: Client,
) -> None:
    reply = await build(client, NEW)
    message = refused(reply, 403, "POLICY_REFUSED")
    assert message.endswith(
        "or: pullforge waiver request --policy company --spec 'tool ==2.0' --reason WHY"
    )
    refusal = reply.json()["error"]["refusal"]
    pulled = await client.get("/v2/env/tool.eq.2.0/manifests/latest")
    assert pulled.status == 404
    assert "pullforge waiver request --policy company" in pulled.json()["errors"][0]["message"]
    waiver = await asked(client, BOB, policy=refusal["policy"], spec=refusal["spec"])
    assert waiver["scope"] == "everything"
    assert waiver["holds_for"].startswith("everybody")
    assert (await client.get("/v2/env/tool.eq.2.0/manifests/latest")).status == 404
    await decide(client, waiver["id"], grant=True)
    assert (await client.get("/v2/env/tool.eq.2.0/manifests/latest")).status == 200
    assert (await build(client, NEW)).status == 201


async def test_who_may_not_see_a_waiver_is_told_that_there_is_none(client: Client) -> None:
    await make_notebook(client)
    await ask(client, NEW)
    await grant_role(client, "bob", "viewer")
    number = (await asked(client, environment="ada/notebook"))["id"]
    here = f"{WAIVERS}/{number}"
    for who in (BOB, EVE):
        assert await listed(client, who) == []
        refused(await send(client, "GET", here, who), 404, "WAIVER_UNKNOWN")
        refused(await send(client, "DELETE", here, who), 404, "WAIVER_UNKNOWN")
        body = {"grant": True}
        reply = await send(client, "POST", f"{here}/decision", who, body)
        refused(reply, 404, "WAIVER_UNKNOWN")
        absent = await send(client, "POST", f"{WAIVERS}/9999/decision", who, body)
        assert absent.json()["error"]["message"] == reply.json()["error"]["message"].replace(
            str(number), "9999"
        )
    refused(await send(client, "GET", here), 401, "UNAUTHORIZED")
    await grant_role(client, "bob", "editor", "note*")
    assert await listed(client, BOB) == [number]
    assert (await send(client, "GET", here, BOB)).status == 200
    refused(await send(client, "DELETE", here, BOB), 403, "DENIED")


async def test_administrators_decide_and_auditors_see(client: Client) -> None:
    await make_notebook(client)
    await ask(client, NEW)
    await made(client, "/api/v1/grants", ROOT, {"subject": "eve", "role": "auditor"})
    await grant_role(client, "bob", "admin")
    number = (await asked(client, environment="ada/notebook"))["id"]
    decision = f"{WAIVERS}/{number}/decision"
    # The policy is IT's: neither who asked nor an admin or owner of the namespace decides.
    for who in (ADA, BOB, EVE):
        assert await listed(client, who) == [number]
        refused(await send(client, "POST", decision, who, {"grant": True}), 403, "DENIED")
        body = {"grant": False, "reason": "no"}
        refused(await send(client, "POST", decision, who, body), 403, "DENIED")
    told = refused(
        await send(client, "POST", decision, ROOT, {"grant": False}), 400, "PARAMETER_INVALID"
    )
    assert "why it is refused" in told
    denied = await decide(client, number, grant=False, reason="use tool 1.0")
    assert (denied["state"], denied["decision"]) == ("refused", "use tool 1.0")
    refused(await send(client, "POST", decision, ROOT, {"grant": True}), 409, "WAIVER_DECIDED")
    refused(await send(client, "DELETE", f"{WAIVERS}/{number}", ADA), 409, "WAIVER_DECIDED")
    assert await listed(client, ADA, "?state=waiting") == []
    assert await listed(client, ADA, "?state=refused&namespace=ada&mine") == [number]
    assert await listed(client, BOB, "?mine") == []


async def test_only_who_may_edit_an_environment_asks_for_it(client: Client) -> None:
    await make_notebook(client)
    await ask(client, NEW)
    body = {"reason": "why", "environment": "ada/notebook"}
    refused(await send(client, "POST", WAIVERS, EVE, body), 404, "ENVIRONMENT_UNKNOWN")
    await grant_role(client, "bob", "viewer")
    refused(await send(client, "POST", WAIVERS, BOB, body), 403, "DENIED")
    refused(await send(client, "POST", WAIVERS, None, body), 401, "UNAUTHORIZED")
    missing = {**body, "environment": "ada/nothing"}
    refused(await send(client, "POST", WAIVERS, ADA, missing), 404, "ENVIRONMENT_UNKNOWN")
    (again,) = [await asked(client, environment="ada/notebook") for _ in range(2)][1:]
    assert await listed(client, ADA) == [again["id"]]
    assert (await send(client, "DELETE", f"{WAIVERS}/{again['id']}", ADA)).status == 204


async def test_a_limited_token_asks_for_what_it_is_good_for_alone(client: Client) -> None:
    await make_notebook(client)
    await ask(client, NEW)
    await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "other"})
    everybodys = await asked(client, policy="company", spec="tool 2.0")
    body = {"name": "ci", "scopes": ["ada/other:pull,push"]}
    limited = f"Bearer {(await made(client, '/api/v1/tokens', ADA, body))['secret']}"
    for what, status, code in (
        ({"environment": "ada/notebook"}, 404, "ENVIRONMENT_UNKNOWN"),
        ({"policy": "company", "spec": "tool"}, 403, "DENIED"),
    ):
        reply = await send(client, "POST", WAIVERS, limited, {"reason": "why", **what})
        refused(reply, status, code)
    refused(
        await send(client, "GET", f"{WAIVERS}/{everybodys['id']}", limited), 404, "WAIVER_UNKNOWN"
    )
    assert await listed(client, limited) == []
    other = await asked(client, limited, environment="ada/other", policy="company", spec="tool")
    assert await listed(client, limited) == [other["id"]]


async def test_what_is_sent_is_checked(client: Client) -> None:
    await make_notebook(client)
    wrong: list[dict[str, Any]] = [
        {},
        {"reason": ""},
        {"reason": "why"},
        {"reason": "why", "policy": "company"},
        {"reason": "why", "spec": "tool"},
        {"reason": "why", "environment": "ada"},
        {"reason": "why", "environment": "a/b/c"},
        {"reason": "why", "policy": "company", "spec": "tool", "version": 1},
        {"reason": "why", "policy": "company", "spec": "tool", "manager": "npm"},
        {"reason": "why", "policy": "company", "spec": "tool", "scope": "everything"},
        {"reason": "x" * 1001, "policy": "company", "spec": "tool"},
    ]
    for body in wrong:
        refused(await send(client, "POST", WAIVERS, ADA, body), 400, "PARAMETER_INVALID")
    for spec, policy in (("*", "company"), ("tool", "nothing"), ("file:///main::tool", "company")):
        body = {"reason": "why", "policy": policy, "spec": spec}
        refused(await send(client, "POST", WAIVERS, ADA, body), 400, "WAIVER_INVALID")
    body = {"reason": "why", "environment": "ada/notebook"}
    refused(await send(client, "POST", WAIVERS, ADA, body), 409, "NOTHING_REFUSED")
    number = (await asked(client, policy="company", spec="tool"))["id"]
    for body in ({"grant": True, "scope": "environment"}, {"grant": True, "spec": "library"}):
        reply = await send(client, "POST", f"{WAIVERS}/{number}/decision", ROOT, body)
        refused(reply, 400, "WAIVER_INVALID")


async def test_what_happens_is_told(client: Client) -> None:
    await make_notebook(client)
    await ask(client, NEW)
    waiver = await asked(client, environment="ada/notebook")
    await decide(client, waiver["id"], grant=True)
    await ended(client, f"{VERSIONS}/2", ADA)
    events = (await send(client, "GET", f"{NOTEBOOK}/events", ADA)).json()["items"]
    (granted,) = [one for one in events if one["action"] == "waiver.granted"]
    assert (granted["actor"], granted["version"]) == ("root", 1)
    assert granted["detail"]["waiver"] == waiver["id"]
    assert granted["detail"]["spec"] == "tool ==2.0"
    # Who may only look is not told why somebody asked.
    await grant_role(client, "bob", "viewer")
    events = (await send(client, "GET", f"{NOTEBOOK}/events", BOB)).json()["items"]
    details = [one["detail"] for one in events if one["action"].startswith("waiver.")]
    assert details == [{}, {}]


@pytest.mark.parametrize(
    "rules",
    [
        "[packages]\ndenied = ['tool']",
        "[packages]\ndenied = ['tool >=2', 'library']",
        "[age]\nminimum = '400 days'",
        "[licences]\nunknown = 'deny'",
        "[licences]\nallowed = ['MIT']\nunknown = 'deny'\n[age]\nminimum = '400 days'",
    ],
    ids=["name", "versions", "age", "licences", "two-kinds"],
)
async def test_by_asking_for_what_each_refusal_says_one_gets_there(site: Site, rules: str) -> None:
    (site.root / "policies" / "company.toml").write_text(rules)
    async with site.open() as client:
        await make_notebook(client)
        version = (await ask(client, wish("tool 2.0"))).json()
        rounds = 0
        while version["state"] == "failed":
            assert version["refusal"]["packages"], version
            wanted = {"reason": "why", "environment": "ada/notebook"}
            document = await made(client, WAIVERS, ADA, wanted)
            for waiver in document["items"]:
                await decide(client, waiver["id"], grant=True)
            version = await ended(client, f"{VERSIONS}/{version['number'] + 1}", ADA)
            rounds += 1
            assert rounds <= 3, version
        assert (version["state"], version["reason"]) == ("built", "waiver")
        lock = (await send(client, "GET", f"{VERSIONS}/{version['number']}/explicit", ADA)).body
        assert b"tool-2.0" in lock
        # What the waivers do not name is refused as before.
        await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "other"})
        other = f"{NAMESPACES}/ada/environments/other/versions"
        reply = await send(client, "POST", other, ADA, wish("tool 2.0"), prefer="wait=25")
        assert reply.json()["state"] == "failed", reply


async def test_admins_of_a_namespace_decide_what_their_own_policy_refuses(client: Client) -> None:
    await make_notebook(client)
    await grant_role(client, "bob", "editor")
    own = f"{NAMESPACES}/ada/policy"
    body = b"[packages]\ndenied = ['tool 1.0']\n"
    kept = await send(client, "PUT", own, ADA, body, content_type="text/toml")
    assert kept.status in {200, 201}, kept
    failed = (await ask(client, wish("tool 1.0"))).json()
    assert failed["refusal"]["policy"] == "own"
    number = (await asked(client, BOB, environment="ada/notebook"))["id"]
    decision = f"{WAIVERS}/{number}/decision"
    refused(await send(client, "POST", decision, BOB, {"grant": True}), 403, "DENIED")
    wide = {"grant": True, "scope": "everything"}
    refused(await send(client, "POST", decision, ADA, wide), 400, "WAIVER_INVALID")
    await decide(client, number, ADA, grant=True)
    assert (await ended(client, f"{VERSIONS}/2", ADA))["state"] == "built"
    # IT's policy refuses what it refused, and is not the admin's to waive.
    assert (await ask(client, NEW)).json()["refusal"]["policy"] == "company"
    company = (await asked(client, environment="ada/notebook"))["id"]
    reply = await send(client, "POST", f"{WAIVERS}/{company}/decision", ADA, {"grant": True})
    refused(reply, 403, "DENIED")
    # With the policy its waivers end: a new one is another policy.
    assert (await send(client, "DELETE", own, ADA)).status == 204
    assert (await send(client, "GET", f"{WAIVERS}/{number}", BOB)).json()["state"] == "ended"
    await send(client, "PUT", own, ADA, body, content_type="text/toml")
    again = await ask(client, wish("tool 1.0"), query="?renew")
    assert again.json()["state"] == "failed", again
