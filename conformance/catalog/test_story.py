"""The story of one environment, as its people live it, with real engines and two servers."""

import re
from dataclasses import dataclass
from typing import Final

import pytest

from conformance.catalog.pair import Pair
from conformance.catalog.person import Person, environment, sentence
from conformance.clients.engines import Runner
from conformance.clients.matrix import CONTAINERD_1_6, CONTAINERD_2, Engines
from conformance.clients.server import Server

ENGINES: Final = ("docker", "podman", CONTAINERD_1_6, CONTAINERD_2)

#: What ada writes, and what she makes of it.
FIRST: Final = b"name: notebook\nchannels: [conda-forge]\ndependencies: [python, click]\n"
SECOND: Final = FIRST.replace(b"click]", b"click, requests]")
#: Says which of the two it is run in.
PROGRAM: Final = "import click, importlib.util as u; print(2 if u.find_spec('requests') else 1)"


@dataclass
class Stage:
    """Where the story plays."""

    pair: Pair
    runners: list[Runner]

    @property
    def servers(self) -> list[Server]:
        """Both servers."""
        return self.pair.servers

    def log_in(self, person: Person) -> None:
        """Have everybody's engines log in at both servers, as ``docker login`` does."""
        for runner in self.runners:
            for server in self.servers:
                login = runner.log_in(server.host, person.name, person.secret)
                assert login.ok, login.output

    def pulls(self, name: str, version: int) -> None:
        """Assert that each engine pulls an image from both servers, and runs that version."""
        for runner in self.runners:
            for server in self.servers:
                reference = server.reference(name)
                result = runner.pull(reference)
                assert result.ok, f"{runner.name}: {result.output}"
                printed = runner.run(reference, "python", "-c", PROGRAM)
                assert printed.strip() == str(version), (runner.name, name)

    def is_refused(self, name: str) -> None:
        """Assert that each engine ends without the image, at both servers."""
        for runner in self.runners:
            for server in self.servers:
                result = runner.pull(server.reference(name))
                assert not result.ok, f"{runner.name} pulled {name}: {result.output}"

    def digests(self, person: Person, repository: str, *tags: str) -> dict[str, str]:
        """Return the digests behind tags, which both servers must agree about."""
        one, two = (
            {tag: person.digest(server, f"{repository}:{tag}") for tag in tags}
            for server in self.servers
        )
        assert one == two
        return one


@pytest.fixture
def stage(pair: Pair, engines: Engines) -> Stage:
    """Return the servers, and every engine that runs what it pulls."""
    runners = [engines.get(name) for name in ENGINES]
    return Stage(pair, [one for one in runners if isinstance(one, Runner)])


@pytest.mark.engine("docker, podman and containerd")
def test_the_story_of_an_environment(stage: Stage) -> None:
    """Made, changed, taken back, shared, taken away, moved, deleted and restored."""
    ada, ada_token = with_token(stage, stage.pair.ada)
    bob, bob_token = with_token(stage, stage.pair.bob)

    before = made_and_changed(stage, ada)
    hidden_from(stage, bob)
    shared_with(stage, ada, bob)
    revoked(stage, bob, bob_token)
    moved(stage, ada, before)
    deleted_and_restored(stage, ada, before)
    revoked(stage, ada, ada_token)


def with_token(stage: Stage, person: Person) -> tuple[Person, int]:
    """Return somebody who uses a personal token instead of the password, and its number."""
    made = person.must(stage.servers[0], "POST", "/tokens", {"name": "laptop"})
    return Person(person.name, made["secret"]), made["id"]


def made_and_changed(stage: Stage, ada: Person) -> dict[str, str]:
    """Go through ada's own part; return the digests of all there is."""
    one, two = stage.servers
    ada.must(one, "POST", "/namespaces", {"name": "ada"})
    ada.build(one, "ada/notebook", FIRST)
    stage.log_in(ada)
    stage.pulls("ada/notebook:latest", 1)

    ada.build(two, "ada/notebook", SECOND)
    stage.pulls("ada/notebook:v1", 1)
    stage.pulls("ada/notebook:latest", 2)

    ada.activate(one, "ada/notebook", 1)
    found = stage.digests(ada, "ada/notebook", "v1", "v2", "latest")
    assert found["latest"] == found["v1"] != found["v2"], "at once, on both"
    stage.pulls("ada/notebook:latest", 1)
    key = ada.key(one, "ada/notebook:v1")
    assert ada.digest(two, f"ada/notebook:{key}") == found["v1"]
    assert stage.pair.admin.digest(two, f"build/{key}:latest") == found["v1"], "the same bytes"
    return found


def hidden_from(stage: Stage, bob: Person) -> None:
    """Assert that bob is told of it what he is told of what was never pushed."""
    for server in stage.servers:
        for tag in ("latest", "v1", "no-such"):
            private = bob.manifest(server, f"ada/notebook:{tag}")
            unknown = bob.manifest(server, f"ada/nowhere:{tag}")
            assert private.status_code == unknown.status_code == 404
            assert private.text.replace("notebook", "nowhere") == unknown.text
        private = bob.send(server, "GET", environment("ada/notebook"))
        unknown = bob.send(server, "GET", environment("ada/nowhere"))
        assert private.status_code == unknown.status_code == 404
        assert private.text.replace("notebook", "nowhere") == unknown.text
        assert bob.must(server, "GET", "/environments")["items"] == []
    stage.log_in(bob)
    for runner in stage.runners:
        for server in stage.servers:
            there = runner.pull(server.reference("ada/notebook:latest"))
            nowhere = runner.pull(server.reference("ada/nowhere:latest"))
            assert not there.ok
            assert not nowhere.ok
            assert _last_line(there.output, "notebook") == _last_line(nowhere.output, "nowhere")


def _last_line(output: str, name: str) -> str:
    """Return what an engine says at the end, without the name and its log's time."""
    return re.sub('time="[^"]*"', "", output.strip().splitlines()[-1].replace(name, "NAME"))


def shared_with(stage: Stage, ada: Person, bob: Person) -> None:
    """Give bob a role: he pulls at once, and changes nothing."""
    one, two = stage.servers
    grant = {"subject": "bob", "role": "viewer", "environment": "note*"}
    ada.must(one, "POST", "/namespaces/ada/grants", grant)
    for server in (one, two):
        assert bob.manifest(server, "ada/notebook:v2").status_code == 200, "at once"
    stage.pulls("ada/notebook:latest", 1)
    stage.pulls("ada/notebook:v2", 2)
    refused = bob.send(two, "PUT", f"{environment('ada/notebook')}/active", {"version": 2})
    assert "editor" in sentence(refused, 403)


def revoked(stage: Stage, person: Person, token: int) -> None:
    """Revoke a token: nobody is let in with it any more, at once, at either server."""
    one, two = stage.servers
    name = person.must(one, "GET", "/users/me")["name"]
    assert name == person.name
    Person(name).must(two, "DELETE", f"/tokens/{token}")
    repository = "ada/notebook" if name == "bob" else "analytics/notebook"
    for server in stage.servers:
        assert person.manifest(server, f"{repository}:latest").status_code == 401
        assert person.send(server, "GET", "/users/me").status_code == 401
    stage.is_refused(f"{repository}:latest")


def moved(stage: Stage, ada: Person, before: dict[str, str]) -> None:
    """Move it to a namespace that an administrator made; nothing is left where it was."""
    one, two = stage.servers
    new = {"name": "analytics", "owner": "ada"}
    stage.pair.admin.must(two, "POST", "/namespaces", new)
    moving = f"{environment('ada/notebook')}/move"
    assert ada.must(one, "POST", moving, {"namespace": "analytics"})["path"] == "analytics/notebook"
    for server in stage.servers:
        assert ada.manifest(server, "ada/notebook:latest").status_code == 404
        assert ada.send(server, "GET", environment("ada/notebook")).status_code == 404
    assert stage.digests(ada, "analytics/notebook", *before) == before
    stage.log_in(ada)
    stage.pulls("analytics/notebook:latest", 1)
    stage.is_refused("ada/notebook:latest")


def deleted_and_restored(stage: Stage, ada: Person, before: dict[str, str]) -> None:
    """Delete and restore it: the same digests, and the same history."""
    one, two = stage.servers
    place = environment("analytics/notebook")
    history = ada.must(one, "GET", f"{place}/versions")["items"]
    ada.must(one, "DELETE", place)
    for server in stage.servers:
        assert ada.manifest(server, "analytics/notebook:v1").status_code == 404
        assert ada.send(server, "GET", place).status_code == 404
    stage.is_refused("analytics/notebook:latest")
    ada.must(two, "POST", f"{place}/restore")
    assert stage.digests(ada, "analytics/notebook", *before) == before
    assert ada.must(one, "GET", f"{place}/versions")["items"] == history
    stage.pulls("analytics/notebook:latest", 1)
    stage.pulls("analytics/notebook:v2", 2)
