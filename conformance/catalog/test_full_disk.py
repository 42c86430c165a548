"""A disk that is full, with the store and SQLite on it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from conformance.catalog.agreement import require_agreement
from conformance.catalog.disk import SmallDisk
from conformance.catalog.pair import accounts
from conformance.catalog.person import Person, environment, sentence, specification
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server

#: Room for the store, the compilers of packages and what is pulled.
DISK_MIB: Final = 256
#: How many changes SQLite's log may still have room for.
_MOST: Final = 200
_BACK_SECONDS: Final = 30
NOTEBOOK: Final = environment("ada/notebook")


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """Mount a disk."""
    with SmallDisk(DISK_MIB) as disk:
        yield disk


def test_a_full_disk_is_told_pulls_go_on_and_it_works_again_when_there_is_room(
    disk: SmallDisk, paths: ChannelPaths, channel: ChannelServer, tmp_path: Path
) -> None:
    """Twice, the second time with a server that starts on the full disk."""
    ada = Person("ada")
    settings: dict[str, object] = {
        "auth_file": accounts(tmp_path / "auth.toml").path,
        "scratch": tmp_path / "scratch",
        "workers": 1,
    }
    server = Server(disk.path / "store", channel.url, paths.base, settings)
    server.log = tmp_path / "server.log"
    with server:
        ada.must(server, "POST", "/namespaces", {"name": "ada"})
        for number in ("1", "2"):
            ada.build(server, "ada/notebook", specification("emptydirdemo", N=number))
        before = digests(ada, server)
        for turn in range(2):
            disk.fill()
            if turn:
                server.kill()
                server.start()
            accepted, refused = write_until_refused(ada, server)
            print(f"\nturn {turn}: {len(accepted)} changes fit, then: {refused}")
            assert "full" in refused
            assert digests(ada, server) == before, "pulls go on"
            for answer in others(ada, server):
                assert answer.is_success or "full" in sentence(answer, 503)
            assert ada.send(server, "GET", NOTEBOOK).status_code == 200
            disk.empty()
            until_built(ada, server, f"after {turn}")
            for version in accepted:
                assert ada.version(server, "ada/notebook", version)["state"] == "built"
            before["latest"] = digests(ada, server)["latest"]
            assert digests(ada, server) == before
            require_agreement(server.settings)
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


def digests(person: Person, server: Server) -> dict[str, str]:
    """Return the digest of each image there is."""
    return {tag: person.digest(server, f"ada/notebook:{tag}") for tag in ("v1", "v2", "latest")}


def write_until_refused(person: Person, server: Server) -> tuple[list[int], str]:
    """Return the versions that still fit, and with which sentence the next one is refused."""
    accepted: list[int] = []
    for number in range(_MOST):
        asked = specification("emptydirdemo", N=f"{number} {time.monotonic()}") + b" " * 100_000
        answer = person.send(server, "POST", f"{NOTEBOOK}/versions?activate=false", asked)
        if not answer.is_success:
            return accepted, sentence(answer, 503)
        accepted.append(answer.json()["number"])
    raise AssertionError("it is never full")


def others(person: Person, server: Server) -> Iterator[httpx.Response]:
    """Yield the answers to changes of all kinds, some of which may still fit."""
    large = {"description": "x" * 2000}
    yield person.send(server, "PATCH", NOTEBOOK, large)
    grant = {"subject": "bob", "role": "viewer"}
    yield person.send(server, "POST", "/namespaces/ada/grants", grant)
    yield person.send(server, "POST", "/tokens", {"name": "laptop"})
    asked = specification("symlinkdemo", N=str(time.monotonic()))
    yield person.send(server, "POST", "/builds", asked)


def until_built(person: Person, server: Server, variable: str) -> None:
    """Ask for a version until it is taken, and wait until it is built."""
    deadline = time.monotonic() + _BACK_SECONDS
    asked = specification("emptydirdemo", N=variable)
    while True:
        answer = person.send(server, "POST", f"{NOTEBOOK}/versions", asked)
        if answer.is_success:
            break
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert person.version(server, "ada/notebook", answer.json()["number"])["state"] == "built"
