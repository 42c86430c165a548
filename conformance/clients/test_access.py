"""Open and private repositories of one server, by every client."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from conformance.clients.engines import Client
from conformance.clients.matrix import CONTAINERD_1_6, every
from conformance.clients.server import ROOT, Server, StartServer

OPEN: Final = "env/click:latest"
PRIVATE: Final = "env/bzip2-tools:latest"
PASSWORD: Final = "correct horse battery staple"

#: Those whose login asks the server; containerd and crane are given what a Secret holds.
ASKING: Final = ("docker", "docker-29", "podman", "skopeo")


class Accounts:
    """The server's auth file, changed as administrators do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pullforge("user", "add", "ada", "--right=env/**:pull", "--password-stdin")
        self.pullforge("user", "add", "bob", "--right=team/**:pull", "--password-stdin")
        self.robot_token = self.pullforge("token", "create", "node", "--right=env/bzip2-*:pull")
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("private = []", 'private = ["env/bzip2-*"]'), encoding="utf-8")

    def pullforge(self, *arguments: str) -> str:
        """Run a command and return what it prints; passwords are all the same."""
        outcome = subprocess.run(
            [sys.executable, "-m", "registry", *arguments],
            input=PASSWORD,
            env={"PYTHONPATH": str(ROOT), "PULLFORGE_AUTH_FILE": str(self.path)},
            check=True,
            capture_output=True,
            text=True,
        )
        return outcome.stdout.strip()


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """Return the auth file of the module's server."""
    return Accounts(tmp_path_factory.mktemp("auth") / "auth.toml")


@pytest.fixture(scope="module")
def guarded(start_server: StartServer, accounts: Accounts) -> Server:
    """Return a server where one package's images are private."""
    return start_server(auth_file=accounts.path)


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
def test_a_robot_pulls_what_is_private(guest: Client, guarded: Server, accounts: Accounts) -> None:
    """With a token, as Kubernetes nodes do."""
    login = guest.log_in(guarded.host, "node", accounts.robot_token)
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
    secret = accounts.pullforge("token", "create", "leaver", "--right=env/**:pull")
    assert _within_seconds(guest, guarded, secret, ok=True)
    accounts.pullforge("token", "revoke", "leaver")
    assert _within_seconds(guest, guarded, secret, ok=False)


def _within_seconds(client: Client, server: Server, secret: str, *, ok: bool) -> bool:
    """Tell whether logins soon succeed, or fail; the server looks for changes every second."""
    return any(client.log_in(server.host, "leaver", secret).ok is ok for _ in range(50))
