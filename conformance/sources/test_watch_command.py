"""``pullforge watch`` has the files of another machine define environments of a server."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.sources.machine import Machine
from conformance.sources.place import SPACE, Place, text, until

_BROKEN = "channels: [conda-forge]\ndependencies:\n  - multi\n - tzdata\n"

MakeMachine = Callable[[str], Machine]


@pytest.fixture(scope="module")
def place(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Place]:
    """Start a server that watches nothing; ada may edit the environments of a namespace."""
    with Place(paths, channel.url, {}) as place:
        for name in ("ada", "bob"):
            place.accounts.add_user(name, "env/**:pull")
        place.admin.must(place.server, "POST", "/namespaces", {"name": SPACE})
        for name, role in (("ada", "admin"), ("bob", "viewer")):
            member = {"subject_kind": "user", "subject": name, "role": role}
            place.admin.must(place.server, "POST", f"/namespaces/{SPACE}/grants", member)
        yield place


@pytest.fixture(scope="module")
def homes(place: Place) -> dict[str, Machine]:
    """Have a machine of each, on which they have logged in."""
    machines: dict[str, Machine] = {}
    for user in ("ada", "bob", "nobody"):
        who = None if user == "nobody" else user
        machines[user] = Machine(place.home / user, place.server, who)
    return machines


@pytest.fixture
def machine(homes: dict[str, Machine], request: pytest.FixtureRequest) -> MakeMachine:
    """Give somebody's machine, with a directory for the test."""

    def machine(user: str) -> Machine:
        return homes[user].with_files(request.node.name)

    return machine


def to(place: Place) -> str:
    """Return what a command is given for the namespace."""
    return f"{place.server.host}/{SPACE}"


def test_once_sends_what_is_there(place: Place, machine: MakeMachine) -> None:
    """Each file is an environment; what is sent again is known already."""
    ada = machine("ada")
    for name in ("once-a", "once-b"):
        ada.path(name).write_text(text("multi", NAME=name))
    first = ada.run("watch", str(ada.files), "--to", to(place), "--name", "once", "--once")
    assert "once-a/environment.yml" in first.stdout
    for name in ("once-a", "once-b"):
        place.until_active(name, 1)
        assert place.environment(name)["managed"]["source"] == "once"
    again = ada.run("watch", str(ada.files), "--to", to(place), "--name", "once", "--once")
    assert not again.stdout
    assert len(place.versions("once-a")) == 1


def test_another_directory_of_the_same_name_is_refused_until_its_name_is_said(
    place: Place, machine: MakeMachine
) -> None:
    """Else the files of the first were gone, and their environments with them."""
    ada = machine("ada")
    first, second = ada.with_files("one/envs"), ada.with_files("two/envs")
    first.path("same-a").write_text(text("multi", NAME="same-a"))
    second.path("same-b").write_text(text("multi", NAME="same-b"))
    ada.run("watch", str(first.files), "--to", to(place), "--once")
    refused = ada.run("watch", str(second.files), "--to", to(place), "--once", code=1)
    assert "the source 'envs' has the files of" in refused.stderr
    assert str(first.files) in refused.stderr
    assert place.environment("same-a")["managed"]["source"] == "envs"
    ada.run("watch", str(second.files), "--to", to(place), "--once", "--name", "envs")
    assert place.environment("same-a")["managed"] is None
    assert place.environment("same-b")["managed"]["source"] == "envs"


def test_once_tells_of_what_is_broken_and_sends_the_rest(
    place: Place, machine: MakeMachine
) -> None:
    """Its exit code says that something is not right; the server shows the sentence."""
    ada = machine("ada")
    ada.path("good").write_text(text("multi"))
    ada.path("bad").write_text(_BROKEN)
    ada.path("secret").symlink_to("/etc/passwd")
    told = ada.run("watch", str(ada.files), "--to", to(place), "--name", "b", "--once", code=1)
    assert "bad/environment.yml" in told.stderr
    assert "line 4" in told.stderr
    assert "secret/environment.yml" in told.stderr
    place.until_active("good", 1)
    assert "line 4" in place.problem("bad", "b")
    assert "link" in place.problem("secret", "b")


def test_for_ever_follows_saves_also_while_the_server_is_away(
    place: Place, machine: MakeMachine
) -> None:
    """Nothing is lost, and the command goes on."""
    ada = machine("ada")
    ada.path("lasting").write_text(text("multi"))
    with ada.running("watch", str(ada.files), "--to", to(place), "--name", "lasting") as watching:
        place.until_active("lasting", 1)
        ada.path("lasting").write_text(text("multi", SAVED="once"))
        place.until_active("lasting", 2)
        place.server.kill()
        ada.path("lasting").write_text(text("multi", SAVED="while it was away"))
        ada.path("new").write_text(text("multi"))
        until(lambda: "does not answer" in ada.log.read_text())
        place.server.start()
        place.until_text("lasting", text("multi", SAVED="while it was away"))
        place.until_active("new", 1)
        ada.path("new").unlink()
        place.until_unmanaged("new")
        assert watching.runs
    assert "Traceback" not in ada.log.read_text()
    assert ada.log.read_text().count("does not answer") == 1, "it is told of once"


def test_who_may_not_is_told_in_one_sentence(place: Place, machine: MakeMachine) -> None:
    """A viewer, somebody who is not logged in, and a namespace that there is not."""
    for user, where in (("bob", SPACE), ("nobody", SPACE), ("ada", "nobodys")):
        somebody = machine(user)
        somebody.path("mine").write_text(text("multi"))
        host = place.server.host
        told = somebody.run("watch", str(somebody.files), "--to", f"{host}/{where}", code=1)
        assert len(told.stderr.splitlines()) == 1, told.stderr
        assert told.stderr.startswith("pullforge: ")
    assert not place.environment("mine")


def test_who_loses_a_source_is_told_in_one_sentence(place: Place, machine: MakeMachine) -> None:
    """Its source was deleted: the command ends, as what it does makes no sense any more."""
    ada = machine("ada")
    ada.path("lost").write_text(text("multi"))
    with ada.running("watch", str(ada.files), "--to", to(place), "--name", "lost") as watching:
        place.until_active("lost", 1)
        source = place.source("lost")
        place.admin.must(place.server, "DELETE", f"/sources/{source['id']}")
        ada.path("lost").write_text(text("multi", AND="more"))
        until(lambda: not watching.runs)
    *_, last = ada.log.read_text().splitlines()
    assert last.startswith("pullforge: there is no source")


@pytest.mark.parametrize("directory", ["nowhere", "empty"])
def test_a_directory_without_files_changes_nothing(
    place: Place, machine: MakeMachine, directory: str
) -> None:
    """It is perhaps one that was not mounted."""
    ada = machine("ada")
    name = f"mount-{directory}"
    ada.path(name).write_text(text("multi"))
    ada.run("watch", str(ada.files), "--to", to(place), "--name", name, "--once")
    place.until_active(name, 1)
    other = ada.files.with_name(directory)
    if directory == "empty":
        other.mkdir()
    told = ada.run("watch", str(other), "--to", to(place), "--name", name, "--once", code=1)
    assert len(told.stderr.splitlines()) == 1, told.stderr
    assert place.environment(name)["managed"] is not None


def test_a_directory_that_is_not_there_becomes_no_source(
    place: Place, machine: MakeMachine
) -> None:
    """Its name is perhaps mistyped."""
    ada = machine("ada")
    told = ada.run("watch", f"{ada.files}x", "--to", to(place), "--name", "x", "--once", code=1)
    assert "is not there" in told.stderr
    assert not place.source("x")


def test_it_ends_when_it_is_asked_to(place: Place, machine: MakeMachine) -> None:
    """Ctrl-C is no error of ours."""
    ada = machine("ada")
    ada.path("ended").write_text(text("multi"))
    with ada.running("watch", str(ada.files), "--to", to(place), "--name", "e") as watching:
        place.until_active("ended", 1)
        os.kill(watching.pid, signal.SIGINT)
        until(lambda: not watching.runs)
    assert "Traceback" not in ada.log.read_text()
