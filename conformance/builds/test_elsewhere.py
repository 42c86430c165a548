"""What one server locked is sent to another one, in each form."""

from pathlib import Path
from typing import Any

import pytest

from conformance.builds.sending import ENVIRONMENT, digest, fetch_form, push, send
from conformance.clients.server import Server, StartServer

#: Forms of a build that can be sent.
FORMS = ("lock", "environment.yml", "pixi.lock", "explicit")
CONDA_ONLY = b"dependencies: [python=3.11, numpy, click]\n"


@pytest.fixture(scope="module")
def other(start_module_server: StartServer) -> Server:
    """Return a server with an empty store."""
    return start_module_server()


def test_a_lock_has_the_same_key_and_image(server: Server, other: Server, tmp_path: Path) -> None:
    """Bit for bit, though the other server solved nothing."""
    build = push(server, ENVIRONMENT)
    lock = tmp_path / "conda-lock.yml"
    lock.write_bytes(fetch_form(server, build, "lock"))
    assert push(other, lock)["key"] == build["key"]
    assert digest(other, build["key"]) == digest(server, build["key"])
    assert other.metric("pullforge_solves_total") == 0


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_condas_packages_has_the_same_key(
    server: Server, other: Server, form: str
) -> None:
    """The formats differ, the packages do not."""
    build = _sent(server, CONDA_ONLY)
    assert _sent(other, fetch_form(server, build, form))["key"] == build["key"]


def test_a_pinned_file_with_wheels_and_variables_has_the_same_key(
    server: Server, other: Server
) -> None:
    """Everything that the lock knows follows from it."""
    build = push(server, ENVIRONMENT)
    assert _sent(other, fetch_form(server, build, "environment.yml"))["key"] == build["key"]


def test_a_pixi_lock_and_an_explicit_list_have_the_same_wheels(
    server: Server, other: Server
) -> None:
    """Neither has a place for all of a lock, so that their build has a key of its own."""
    build = push(server, ENVIRONMENT)
    pixi = _sent(other, fetch_form(server, build, "pixi.lock"))
    explicit = _sent(other, fetch_form(server, build, "explicit"))
    assert build["key"] != pixi["key"] == explicit["key"]
    wheels = build["platforms"]["linux-64"]["wheels"]
    assert pixi["platforms"]["linux-64"]["wheels"] == wheels > 0
    assert explicit["platforms"]["linux-64"]["wheels"] == wheels


def _sent(server: Server, data: bytes) -> dict[str, Any]:
    answer = send(server, data)
    assert answer.is_success, answer.text
    document: dict[str, Any] = answer.json()
    return document
