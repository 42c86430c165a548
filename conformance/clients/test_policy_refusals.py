"""What a policy refuses, and a build that is blocked: each client shows the sentence."""

from typing import Final

import pytest

from conformance.accounts import ADMIN
from conformance.catalog.pair import accounts
from conformance.catalog.person import Person
from conformance.clients.engines import Client
from conformance.clients.images import error_message, get_manifest
from conformance.clients.matrix import CONTAINERD_1_6, every
from conformance.clients.refusal import assert_shown
from conformance.clients.server import Server, StartServer
from conformance.clients.trace import left_behind
from conformance.deploy.images import wait_until
from registry.storage.layout import BLOCKED as BLOCKS

POLICY: Final = """\
contact = "it@example.org"
[packages]
denied = [{ spec = "click", reason = "it was withdrawn" }]
"""
DENIED: Final = "env/click:latest"
BLOCKED: Final = "env/tzdata:latest"
REASON: Final = "it was built of a stolen package, ask it@example.org"


@pytest.fixture(scope="module")
def server(start_module_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Return a server with a policy, on which one build is blocked after it was pulled."""
    home = tmp_path_factory.mktemp("company")
    policies = home / "policies"
    policies.mkdir()
    (policies / "company.toml").write_text(POLICY, encoding="utf-8")
    server = start_module_server(policies=policies, auth_file=accounts(home / "auth.toml").path)
    answer = get_manifest(server, BLOCKED)
    assert answer.status_code == 200, answer.text
    block = {"key": answer.headers["pullforge-build"], "reason": REASON}
    Person(ADMIN).must(server, "POST", "/blocks", block)
    # The file for servers that follow no database is written after the answer.
    wait_until(lambda: any(path.startswith(BLOCKS) for path in server.files()), "the block's file")
    return server


@pytest.mark.parametrize("client", every(), indirect=True)
def test_what_a_policy_refuses_is_shown_with_whom_to_ask(client: Client, server: Server) -> None:
    """As what cannot be solved: package, policy, reason and contact in one sentence."""
    message = error_message(server, DENIED)
    for part in ("click", "policy 'company'", "it was withdrawn", "ask it@example.org"):
        assert part in message
    assert_shown(client, client.pull(server.reference(DENIED)), message)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_a_build_that_is_blocked_is_shown_with_the_reason(client: Client, server: Server) -> None:
    """It was pulled before, and is refused from then on."""
    result = client.pull(server.reference(BLOCKED))
    assert not result.ok, result.output
    shown = "403 Forbidden" if client.name == CONTAINERD_1_6 else REASON
    assert shown in result.words, result.output


def test_what_a_policy_refuses_leaves_nothing_behind(server: Server) -> None:
    """No lock, no image, no blob; the rules alone, which whoever solves would read."""
    before = server.files()
    error_message(server, DENIED)
    assert left_behind(before, server.files) == []
