"""Proposals by the API, over a real service: who sees them, who decides, and what they tell."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from builder.errors import SandboxUnavailable
from builder.rules.model import Advisory, Affected, AffectedRange
from builder.sandbox.sandbox import find_sandbox
from conformance.missing import skip_unless_ci
from registry.catalog.records import SERVICE
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
    make_site,
    refused,
    send,
    write_users,
)
from tests.registry.web.api.site import Site, wish
from tests.tiny_channel import IN_2025, publish, tool
from tests.tiny_root import root_members, write_tiny_base

pytestmark = pytest.mark.anyio

PROPOSALS = "/api/v1/proposals"
EVE = basic("eve")
OLD, NEW = wish("tool 1.0"), wish("tool 2.0")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path)
    write_users(site, "ada", "bob", "eve")
    return site


async def proposed(client: Client) -> Any:
    """Have a proposal of ``tool 2.0`` in place of ``tool 1.0``, and return it."""
    await make_notebook(client, OLD)
    version = (await ask(client, NEW, query="?propose&note=newer")).json()
    assert (version["state"], version["number"]) == ("built", 2), version
    notebook = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert notebook["active"] == 1
    return (await send(client, "GET", f"{PROPOSALS}/{notebook['proposal']}", ADA)).json()


async def decide(client: Client, number: int, who: str = ADA, **body: Any) -> Any:
    reply = await send(client, "POST", f"{PROPOSALS}/{number}/decision", who, body)
    assert reply.status == 200, reply
    return reply.json()


async def grant_role(client: Client, who: str, role: str, environment: str = "*") -> None:
    body = {"subject": who, "role": role, "environment": environment}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, body)


async def listed(client: Client, who: str, query: str = "") -> list[int]:
    reply = await send(client, "GET", f"{PROPOSALS}{query}", who)
    assert reply.status == 200, reply
    return [one["id"] for one in reply.json()["items"]]


async def test_a_version_is_proposed_told_and_activated(client: Client) -> None:
    proposal = await proposed(client)
    number = proposal["id"]
    assert (proposal["state"], proposal["environment"], proposal["version"], proposal["base"]) == (
        *("open", "ada/notebook", 2, 1),
    )
    assert (proposal["reason"], proposal["note"], proposal["requested_by"]) == (
        *("person", "newer", "ada"),
    )
    assert (proposal["is_automatic"], proposal["held"], proposal["blocked"]) == (False, None, None)
    assert proposal["test"] == {
        "command": "",
        "state": "none",
        "message": "",
        "at": None,
        "seconds": None,
    }
    (change,) = proposal["diff"]["packages"]["linux-64"]
    assert (change["name"], change["before"], change["after"]) == ("tool", "1.0 0", "2.0 0")
    assert proposal["diff"]["counts"]["linux-64"] == {"up": 1}
    # No advisory is known at all.
    assert (proposal["advisories"], proposal["findings"], proposal["test_output"]) == (None, [], "")
    here = f"{PROPOSALS}/{number}"
    assert proposal["links"]["decision"] == f"{here}/decision"
    assert proposal["links"]["base"] == f"{NOTEBOOK}/versions/1"
    assert await listed(client, ADA, "?state=open&namespace=ada&environment=notebook") == [number]
    done = await decide(client, number, activate=True, reason="looks good")
    assert (done["state"], done["decided_by"], done["decision"]) == (
        *("activated", "ada", "looks good"),
    )
    assert "decision" not in done["links"]
    notebook = (await send(client, "GET", NOTEBOOK, ADA)).json()
    assert (notebook["active"], notebook["proposal"]) == (2, None)
    # What it was compared with stays what it is told with.
    after = (await send(client, "GET", here, ADA)).json()
    assert (after["base"], after["diff"]["packages"]) == (1, proposal["diff"]["packages"])
    reply = await send(client, "POST", f"{here}/decision", ADA, {"activate": False})
    assert "activate version 2 of 'ada/notebook' itself" in refused(reply, 409, "PROPOSAL_DECIDED")
    assert await listed(client, ADA, "?state=open") == []


async def test_it_says_what_a_node_fetches_once_both_images_are_known(client: Client) -> None:
    proposal = await proposed(client)
    for tag in ("v1", "v2"):
        reply = await send(client, "GET", f"/v2/ada/notebook/manifests/{tag}", ADA)
        assert reply.status == 200, reply
    again = (await send(client, "GET", f"{PROPOSALS}/{proposal['id']}", ADA)).json()
    assert again["diff"]["fetched_bytes"]["linux-64"] > 0


async def test_it_says_which_advisories_go_and_which_come(client: Client) -> None:
    def about(number: str, fixed: str = "", introduced: str = "0", **more: Any) -> Advisory:
        ranges = (AffectedRange(introduced, fixed),)
        return Advisory(number, (Affected("conda", "tool", ranges=ranges),), "a hole", **more)

    assert client.services.catalog is not None
    client.services.catalog.book.put_advisories(
        (
            about("CVE-1", "2.0", severity="high", aliases=("GHSA-1",)),
            about("CVE-2", "3.0", severity="critical"),
            about("CVE-3", introduced="2.0"),
            Advisory("CVE-4", (Affected("conda", "library"),)),
        )
    )
    found = (await proposed(client))["advisories"]
    assert (found["fixed_count"], found["new_count"]) == (1, 1)
    (fixed,), (new,) = found["fixed"], found["new"]
    assert (fixed["id"], fixed["severity"], fixed["package"], fixed["version"]) == (
        *("CVE-1", "high", "tool", "1.0"),
    )
    assert (fixed["fixed_in"], fixed["platforms"], fixed["aliases"]) == (
        *("2.0", ["linux-64"], ["GHSA-1"]),
    )
    assert (new["id"], new["version"], new["fixed_in"]) == ("CVE-3", "2.0", None)


async def test_who_may_not_see_the_environment_is_told_that_there_is_none(client: Client) -> None:
    number = (await proposed(client))["id"]
    here = f"{PROPOSALS}/{number}"
    requests: list[tuple[str, str, Any]] = [
        ("GET", here, None),
        ("POST", f"{here}/decision", {"activate": True}),
        ("POST", f"{here}/test", None),
    ]
    for method, url, body in requests:
        refused(await send(client, method, url, None, body), 401, "UNAUTHORIZED")
        reply = await send(client, method, url, BOB, body)
        message = refused(reply, 404, "PROPOSAL_UNKNOWN")
        absent = await send(client, method, url.replace(f"/{number}", "/9999"), BOB, body)
        assert absent.json()["error"]["message"] == message.replace(f"{number}", "9999")
    assert await listed(client, BOB) == []
    refused(await send(client, "GET", PROPOSALS), 401, "UNAUTHORIZED")
    # A viewer sees, and an editor decides.
    await grant_role(client, "bob", "viewer", "note*")
    assert await listed(client, BOB) == [number]
    seen = (await send(client, "GET", here, BOB)).json()
    assert {"decision", "test"} & set(seen["links"]) == set()
    for method, url, body in requests[1:]:
        refused(await send(client, method, url, BOB, body), 403, "DENIED")
    await grant_role(client, "eve", "editor", "notebook")
    rejected = await decide(client, number, EVE, activate=False, reason="breaks plots")
    assert (rejected["state"], rejected["decided_by"]) == ("rejected", "eve")
    assert await listed(client, ROOT) == [number]


async def test_a_limited_token_decides_where_it_is_good_for(client: Client) -> None:
    number = (await proposed(client))["id"]
    decision = f"{PROPOSALS}/{number}/decision"
    secrets = [
        (await made(client, "/api/v1/tokens", ADA, {"name": name, "scopes": [scope]}))["secret"]
        for name, scope in (("a", "ada/other:pull,push"), ("b", "ada/notebook:pull,push"))
    ]
    body = {"activate": True}
    reply = await send(client, "POST", decision, f"Bearer {secrets[0]}", body)
    refused(reply, 404, "PROPOSAL_UNKNOWN")
    assert (await send(client, "POST", decision, f"Bearer {secrets[1]}", body)).status == 200


async def test_what_a_schedule_proposes_is_not_offered_again_after_it_was_rejected(
    client: Client, site: Site
) -> None:
    await make_notebook(client, wish("tool"))
    catalog = client.services.catalog
    assert catalog is not None

    async def scheduled() -> Any:
        version, _ = await catalog.versions.ask(
            *(SERVICE, "ada", "notebook", wish("tool")),
            reason="schedule",
            renew=True,
            propose=True,
        )
        return await ended(client, f"{NOTEBOOK}/versions/{version.number}", ADA)

    assert (await scheduled())["state"] == "unchanged"
    await publish(site.channel, tool("3.0", IN_2025))
    assert (await scheduled())["state"] == "built"
    (number,) = await listed(client, ADA, "?state=open")
    await decide(client, number, activate=False, reason="no")
    again = await scheduled()
    assert again["state"] == "unchanged"
    assert "was rejected by ada" in again["message"]
    assert await listed(client, ADA, "?state=open") == []
    await publish(site.channel, tool("4.0", IN_2025))
    assert (await scheduled())["state"] == "built"
    assert len(await listed(client, ADA, "?state=open")) == 1


async def test_the_test_of_an_environment_is_set_run_and_run_again(site: Site) -> None:
    try:
        await asyncio.to_thread(find_sandbox, "auto")
    except SandboxUnavailable as exc:
        skip_unless_ci(exc.message)
    base = write_tiny_base(site.root / "real", root_members())
    async with site.open(base=f"oci:{base}", sandbox="auto") as client:
        await make_notebook(client, OLD)
        command = "tool; echo no; exit 3"
        changed = await send(client, "PATCH", NOTEBOOK, ADA, {"test_command": command})
        assert changed.json()["test_command"] == command
        await ask(client, NEW, query="?propose")
        (number,) = await listed(client, ADA)
        here = f"{PROPOSALS}/{number}"
        told = await outcome_of(client, here)
        assert told["test"]["state"] == "failed"
        assert told["test"]["message"] == "the test command ended with status 3"
        assert told["test_output"] == "2.0\nno\n"
        assert 0 < told["test"]["seconds"] < 60
        await send(client, "PATCH", NOTEBOOK, ADA, {"test_command": "tool"})
        reply = await send(client, "POST", f"{here}/test", ADA)
        assert (reply.status, reply.json()["test"]["state"]) == (202, "waiting")
        told = await outcome_of(client, here)
        assert (told["test"]["state"], told["test"]["message"]) == ("passed", "")
        assert (told["state"], told["test_output"]) == ("open", "2.0\n")
        for command in ("x\x00", "x\x1b[2J", "x" * 4001):
            reply = await send(client, "PATCH", NOTEBOOK, ADA, {"test_command": command})
            refused(reply, 400, "PARAMETER_INVALID")
        await send(client, "PATCH", NOTEBOOK, ADA, {"test_command": ""})
        refused(await send(client, "POST", f"{here}/test", ADA), 409, "NO_TEST_COMMAND")


async def outcome_of(client: Client, address: str) -> Any:
    """Return a proposal when its test has ended."""
    catalog = client.services.catalog
    assert catalog is not None
    told = (await send(client, "GET", address, ADA)).json()
    while told["test"]["state"] in {"waiting", "running"}:
        await catalog.follower.changed(1)
        told = (await send(client, "GET", address, ADA)).json()
    return told


async def test_one_that_is_blocked_says_so_and_is_not_activated(client: Client) -> None:
    proposal = await proposed(client)
    here, key = f"{PROPOSALS}/{proposal['id']}", proposal["diff"]["after"]
    await made(client, "/api/v1/blocks", ROOT, {"key": key, "reason": "sends passwords away"})
    told = (await send(client, "GET", here, ADA)).json()
    assert "sends passwords away" in told["blocked"]
    assert (told["diff"], told["advisories"]) == (None, None)
    (short,) = (await send(client, "GET", PROPOSALS, ADA)).json()["items"]
    assert short["blocked"] == told["blocked"]
    for url, body in ((f"{here}/decision", {"activate": True}), (f"{here}/test", None)):
        reply = await send(client, "POST", url, ADA, body)
        assert "sends passwords away" in refused(reply, 403, "BUILD_BLOCKED")
    assert (await send(client, "GET", f"{NOTEBOOK}/active", ADA)).json()["number"] == 1
    assert (await decide(client, proposal["id"], activate=False))["state"] == "rejected"


async def test_one_that_breaks_a_policy_by_now_says_so(client: Client) -> None:
    proposal = await proposed(client)
    policy = {"text": "[packages]\ndenied = ['tool 2.0']\n"}
    reply = await send(client, "PUT", "/api/v1/policies/company", ROOT, policy)
    assert reply.status in {200, 201}, reply
    catalog = client.services.catalog
    assert catalog is not None
    here = f"{PROPOSALS}/{proposal['id']}"
    while not (found := (await send(client, "GET", here, ADA)).json()["findings"]):
        await catalog.follower.changed(1)
    (finding,) = found
    assert (finding["policy"], finding["mode"], finding["package"]) == (
        *("company", "enforce", "tool 2.0"),
    )


async def test_what_is_sent_is_checked(client: Client) -> None:
    number = (await proposed(client))["id"]
    decision = f"{PROPOSALS}/{number}/decision"
    wrong: list[Any] = [
        *({}, {"activate": "perhaps"}, {"activate": None}, {"activate": True, "more": 1}, []),
        {"activate": True, "reason": "x" * 1001},
        {"activate": True, "reason": "x\x00"},
    ]
    for body in wrong:
        refused(await send(client, "POST", decision, ADA, body), 400, "PARAMETER_INVALID")
    for query in ("?state=gone", "?limit=0", "?after=x", "?namespace=", "?more=1"):
        refused(await send(client, "GET", f"{PROPOSALS}{query}", ADA), 400, "PARAMETER_INVALID")
    for text in ("0", "-1", "x", "01", "9" * 30, "%00"):
        reply = await send(client, "GET", f"{PROPOSALS}/{text}", ADA)
        assert reply.status == 404, reply
    assert await listed(client, ADA, "?namespace=nowhere") == []


async def test_lists_go_on_and_the_newest_comes_first(client: Client) -> None:
    await proposed(client)
    for spec in ("library", "tool"):
        assert (await ask(client, wish(spec), query="?propose")).json()["state"] == "built"
    page = (await send(client, "GET", f"{PROPOSALS}?limit=2", ADA)).json()
    states = [(one["version"], one["state"]) for one in page["items"]]
    assert states == [(4, "open"), (3, "replaced")]
    assert page["items"][1]["decision"] == "version 4 was proposed"
    rest = await send(client, "GET", f"{PROPOSALS}?limit=2&after={page['next']}", ADA)
    assert [one["version"] for one in rest.json()["items"]] == [2]


async def test_what_happens_is_told(client: Client) -> None:
    number = (await proposed(client))["id"]
    await decide(client, number, activate=True, reason="looks good")
    events = (await send(client, "GET", f"{NOTEBOOK}/events", ADA)).json()["items"]
    told = {one["action"]: one for one in events if one["action"].startswith("proposal.")}
    assert set(told) == {"proposal.opened", "proposal.activated"}
    opened, activated = told["proposal.opened"], told["proposal.activated"]
    assert (opened["actor"], opened["version"]) == (None, 2)
    assert opened["detail"] == {
        "proposal": number,
        "base": 1,
        "reason": "person",
        "is_automatic": False,
        "test": "none",
    }
    assert (activated["actor"], activated["detail"]["decision"]) == ("ada", "looks good")
