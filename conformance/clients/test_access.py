"""Open and private repositories of one server, by every client."""

import re
import time
from collections.abc import Iterator
from typing import Final

import pytest

from conformance.accounts import PASSWORD, Accounts
from conformance.clients.engines import Client
from conformance.clients.matrix import CONTAINERD_1_6, every
from conformance.clients.server import Server, StartServer
from registry.auth.policy_file import RELOAD_SECONDS

OPEN: Final = "env/click:latest"
PRIVATE: Final = "env/bzip2-tools:latest"

#: Those whose login asks the server; containerd and crane are given what a Secret holds.
ASKING: Final = ("docker", "docker-29", "podman", "skopeo")


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """Return the auth file of the module's server."""
    accounts = Accounts(tmp_path_factory.mktemp("auth") / "auth.toml")
    accounts.add_user("ada", "env/**:pull")
    accounts.add_user("bob", "team/**:pull")
    accounts.make_private("env/bzip2-*")
    return accounts


@pytest.fixture(scope="module")
def node_token(accounts: Accounts) -> str:
    """Return the token of a robot."""
    return accounts.add_robot("node", "env/bzip2-*:pull")


@pytest.fixture(scope="module")
def guarded(start_module_server: StartServer, accounts: Accounts, node_token: str) -> Server:
    """Return a server where one package's images are private; it knows users and the robot."""
    return start_module_server(auth_file=accounts.path)


@pytest.fixture
def guest(client: Client, guarded: Server) -> Iterator[Client]:
    """Return the client without a login and without the images."""
    yield client
    client.log_out(guarded.host)
    client.remove(guarded.reference(OPEN))
    client.remove(guarded.reference(PRIVATE))


@pytest.mark.parametrize("client", every(), indirect=True)
def test_everybody_pulls_what_is_open(guest: Client, guarded: Server) -> None:
    """Without a login, though there are users: the token is one without a name."""
    result = guest.pull(guarded.reference(OPEN))
    assert result.ok, result.output


@pytest.mark.parametrize("client", every(), indirect=True)
def test_nobody_pulls_what_is_private_without_a_login(guest: Client, guarded: Server) -> None:
    """And the client ends, instead of asking for tokens for ever."""
    result = guest.pull(guarded.reference(PRIVATE))
    assert not result.ok
    assert re.search("log in first|docker login|authorization", result.words), result.output


@pytest.mark.parametrize("client", every(), indirect=True)
def test_a_user_pulls_what_is_private(guest: Client, guarded: Server) -> None:
    """With a password."""
    login = guest.log_in(guarded.host, "ada", PASSWORD)
    assert login.ok, login.output
    for name in (PRIVATE, OPEN):
        result = guest.pull(guarded.reference(name))
        assert result.ok, result.output


@pytest.mark.parametrize("client", every(), indirect=True)
def test_a_robot_pulls_what_is_private(guest: Client, guarded: Server, node_token: str) -> None:
    """With a token, as Kubernetes nodes do."""
    login = guest.log_in(guarded.host, "node", node_token)
    assert login.ok, login.output
    result = guest.pull(guarded.reference(PRIVATE))
    assert result.ok, result.output


@pytest.mark.parametrize("client", every(), indirect=True)
def test_a_user_without_the_right_is_refused(guest: Client, guarded: Server) -> None:
    """Who is logged in is told so, where the client shows it."""
    assert guest.log_in(guarded.host, "bob", PASSWORD).ok
    result = guest.pull(guarded.reference(PRIVATE))
    assert not result.ok
    shown = "403" if guest.name == CONTAINERD_1_6 else "'bob' may not pull 'env/bzip2-tools'"
    assert shown in result.words, result.output
    assert guest.pull(guarded.reference(OPEN)).ok


@pytest.mark.parametrize("client", every(ASKING), indirect=True)
def test_a_wrong_password_is_no_login(guest: Client, guarded: Server) -> None:
    """The client says so at once."""
    result = guest.log_in(guarded.host, "ada", "wrong")
    assert not result.ok
    assert "password" in result.words, result.output


@pytest.mark.engine("podman")
@pytest.mark.parametrize("client", ["podman"], indirect=True)
def test_a_revoked_token_pulls_nothing(guest: Client, guarded: Server, accounts: Accounts) -> None:
    """Within seconds, without a restart."""
    secret = accounts.add_robot("leaver", "env/**:pull")
    assert _within_seconds(guest, guarded, secret, ok=True)
    accounts.pullforge("token", "revoke", "leaver")
    assert _within_seconds(guest, guarded, secret, ok=False)


def _within_seconds(client: Client, server: Server, secret: str, *, ok: bool) -> bool:
    """Tell whether a login succeeds, or fails, once the server has looked for changes.

    Trying again and again would not do: after ten failures it lets nobody of that name in.
    """
    time.sleep(2 * RELOAD_SECONDS)
    return client.log_in(server.host, "leaver", secret).ok is ok
