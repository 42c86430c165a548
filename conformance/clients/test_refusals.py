"""A name that cannot be understood or solved: each client shows why, and nothing is kept."""

import pytest

from conformance.clients.engines import Client
from conformance.clients.images import error_message, get_manifest
from conformance.clients.matrix import CONTAINERD_1_6, CONTAINERD_2, every
from conformance.clients.refusal import assert_shown
from conformance.clients.server import Server
from conformance.clients.trace import left_behind

MISSPELT = "env/nunpy:latest"
NO_SUCH_PACKAGE = "no package 'nunpy' in conda-forge for linux-64; did you mean 'numpy'?"

#: One wants numpy 2 or later, the other something older.
CONFLICTING = "env/needs-new-numpy.needs-old-numpy:latest"


@pytest.mark.parametrize("client", every(), indirect=True)
def test_misspelt_package_is_named_with_what_was_meant(client: Client, server: Server) -> None:
    """The whole sentence, in the client's own output."""
    assert_shown(client, client.pull(server.reference(MISSPELT)), NO_SUCH_PACKAGE)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_conflict_says_which_constraints_exclude_each_other(client: Client, server: Server) -> None:
    """The solver's explanation, in one line."""
    message = error_message(server, CONFLICTING)
    assert "numpy >=2" in message
    assert "numpy <2" in message
    assert "\n" not in message
    assert_shown(client, client.pull(server.reference(CONFLICTING)), message)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_unknown_tag_is_refused(client: Client, server: Server) -> None:
    """Tags are made of known parts; the sentence says which part is not."""
    message = error_message(server, "env/numpy:stable")
    assert "stable" in message
    assert_shown(client, client.pull(server.reference("env/numpy:stable")), message)


@pytest.mark.parametrize("client", every(), indirect=True)
@pytest.mark.parametrize("name", [f"build/{'0' * 32}", "team/nobody-pushed-it"])
def test_what_is_not_there_is_refused_with_a_sentence(
    client: Client, server: Server, name: str
) -> None:
    """Not only names that cannot be built: a pod's events show nothing but this."""
    result = client.pull(server.reference(f"{name}:latest"))
    assert not result.ok
    if client.name != CONTAINERD_1_6:  # which says "not found"
        assert error_message(server, f"{name}:latest") in result.words, result.output


@pytest.mark.parametrize(
    "repository",
    [
        "env/NumPy",
        "env/numpy..pandas",
        "env/numpy.",
        "env/-numpy",
        "env//numpy",
        "env/numpy+pandas",
        "env/numpy%0A",
        "env/numpy.ge",
        "env/3.11.numpy",
        "env/" + "a" * 300,
    ],
)
def test_malformed_name_is_refused_by_the_server_itself(server: Server, repository: str) -> None:
    """Clients refuse most of them before they ask; the server relies on no client."""
    answer = get_manifest(server, f"{repository}:latest")
    assert answer.status_code in {400, 404}, answer.text
    [error] = answer.json()["errors"]
    assert error["code"] in {"NAME_INVALID", "NAME_UNKNOWN", "MANIFEST_UNKNOWN"}
    assert error["message"]


@pytest.mark.parametrize("client", every((CONTAINERD_1_6, CONTAINERD_2)), indirect=True)
def test_malformed_name_from_a_client_that_sends_anything(client: Client, server: Server) -> None:
    """``ctr`` sends the name as it is."""
    result = client.pull(server.reference("env/NumPy:latest"))
    assert not result.ok
    assert client.name == CONTAINERD_1_6 or "NumPy" in result.words, result.output


@pytest.mark.parametrize("name", [MISSPELT, CONFLICTING, "env/numpy:stable", "env/numpy.ge:latest"])
def test_refused_name_leaves_nothing_behind(server: Server, name: str) -> None:
    """No lock, no image, no blob, no file that was not finished."""
    before = server.files()
    error_message(server, name)
    assert left_behind(before, server.files) == []


@pytest.mark.parametrize("client", every(), indirect=True)
def test_client_pulls_after_it_was_refused(client: Client, server: Server) -> None:
    """A refusal is about the name; the server and the client are well."""
    assert not client.pull(server.reference(MISSPELT)).ok
    result = client.pull(server.reference("env/click:latest"))
    assert result.ok, result.output
