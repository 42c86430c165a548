"""What clients of conda-store have solved without a build."""

from urllib.parse import urlencode

import pytest

from registry.errors import StillSolving
from registry.policy.dry_run import Attempt, DryRun
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, send
from tests.registry.web.api.site import Site
from tests.registry.web.conda_store.people import API
from tests.registry.web.conda_store.site import message

pytestmark = pytest.mark.anyio


async def solve(client: Client, query: list[tuple[str, str]], end: str = "") -> Reply:
    return await send(client, "GET", f"{API}/specification/?{urlencode(query)}{end}", ADA)


async def test_a_solve_is_answered_in_no_envelope_and_builds_nothing(
    site: Site, client: Client
) -> None:
    for name in ("channel", "channels"):
        reply = await solve(client, [(name, "main"), ("conda", "tool 1.0")], "/")
        assert reply.status == 200, reply
        assert reply.json().keys() == {"solve"}
        found = {one["name"]: one for one in reply.json()["solve"]}
        assert found.keys() == {"tool", "library"}
        assert found["tool"]["version"] == "1.0"
        assert found["tool"]["channel_id"] == 1
        assert isinstance(found["tool"]["size"], int)
        assert found["tool"]["subdir"] in {"linux-64", "noarch"}
    assert site.files("locks") == site.files("requests") == []


async def test_packages_are_words_whatever_they_are_made_of(client: Client) -> None:
    for odd in ("tool\n- library", "'", '"', "{}", "- x", "\\", "\0", "\U0001f600"):
        reply = await solve(client, [("channel", "main"), ("conda", odd)])
        assert reply.status in {400, 422}, (odd, reply)
        assert reply.json()["message"]
    reply = await solve(client, [("channel", "elsewhere"), ("conda", "tool")])
    assert "elsewhere" in message(reply, 400 if reply.status == 400 else 422)


async def test_a_format_is_one_of_two_and_changes_nothing(client: Client) -> None:
    query = [("channel", "main"), ("conda", "tool")]
    plain = await solve(client, query)
    for name in ("yaml", "lockfile"):
        assert (await solve(client, [*query, ("format", name)])).body == plain.body
    reply = await solve(client, [*query, ("format", "xml")])
    assert "'format' is one of lockfile, yaml" in message(reply, 400)


async def test_a_solve_that_takes_long_is_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, tried = DryRun.attempt, []

    async def slow(self: DryRun, asked: object, rules: object) -> Attempt:
        tried.append(asked)
        if len(tried) < 3:
            raise StillSolving
        return await attempt(self, asked, rules)  # type: ignore[arg-type] # as it was called

    monkeypatch.setattr(DryRun, "attempt", slow)
    reply = await solve(client, [("channel", "main"), ("conda", "tool")])
    assert (reply.status, len(tried)) == (200, 3)
    monkeypatch.setattr("registry.web.conda_store.solving._WAIT_SECONDS", 0)
    tried.clear()
    reply = await solve(client, [("channel", "main"), ("conda", "tool")])
    assert "takes longer than one waits" in reply.json()["message"]
