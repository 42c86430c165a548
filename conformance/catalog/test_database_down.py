"""PostgreSQL goes and comes back in the middle of everything."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

import httpx
import pytest

from conformance.catalog.agreement import require_agreement
from conformance.catalog.pair import Pair
from conformance.catalog.person import Person, environment, sentence, specification
from conformance.catalog.repeating import Repeating
from conformance.clients.server import Server

#: How often it goes while people write.
STOPS: Final = 6
#: Who write at once, and each at which server.
WRITERS: Final = 4
#: Within so many seconds of its start, everything goes on by itself.
BACK_SECONDS: Final = 10
#: Waits of a database that does not answer are shorter than this, in seconds.
PATIENCE_SECONDS: Final = 15


@pytest.fixture(scope="module")
def furnished(pair: Pair) -> Pair:
    """Return servers with ``ada/notebook``, ``ada/cold`` and ``ada/shown``, which all may see."""
    ada, (one, two) = pair.ada, pair.servers
    ada.must(one, "POST", "/namespaces", {"name": "ada"})
    for number in ("1", "2"):
        ada.build(one, "ada/notebook", specification("emptydirdemo", N=number))
    for name in ("cold", "shown"):
        ada.build(two, f"ada/{name}", specification("emptydirdemo", N=name))
    shown = {"subject_kind": "everyone", "role": "viewer", "environment": "shown"}
    ada.must(one, "POST", "/namespaces/ada/grants", shown)
    return pair


@contextmanager
def stopped(pair: Pair) -> Iterator[None]:
    """Stop PostgreSQL for the block."""
    pair.postgres.stop()
    try:
        yield
    finally:
        pair.postgres.start()


def test_pulls_go_on_and_writes_are_refused_while_the_database_is_stopped(furnished: Pair) -> None:
    """Warm and cold, at both servers; afterwards everything goes on by itself."""
    ada, servers = furnished.ada, furnished.servers
    tags = ("latest", "v1", "v2")
    before = {tag: ada.digest(servers[0], f"ada/notebook:{tag}") for tag in tags}
    warm = {server.port: median_seconds(ada, server, "ada/notebook:latest") for server in servers}
    with stopped(furnished):
        for server in servers:
            assert {tag: ada.digest(server, f"ada/notebook:{tag}") for tag in tags} == before
            pull(ada, server, "ada/notebook:latest")
            pull(ada, server, "ada/cold:latest")
            taken = median_seconds(ada, server, "ada/notebook:latest")
            print(f"\nwarm: {warm[server.port] * 1e3:.1f} ms, stopped: {taken * 1e3:.1f} ms")
            refuses_to_write(ada, server)
    for server in servers:
        assert {tag: ada.digest(server, f"ada/notebook:{tag}") for tag in tags} == before
        print(f"\nwrites again {until_written(ada, server):.1f} s after the start")
    require_agreement(servers[0].settings)


def test_a_server_that_starts_without_the_database_serves_what_is_public(furnished: Pair) -> None:
    """As the store has it; who may perhaps more is told to come again, not that there is none."""
    ada, bob, (one, two) = furnished.ada, furnished.bob, furnished.servers
    shown = ada.digest(one, "ada/shown:latest")
    with stopped(furnished):
        two.kill()
        two.start()
        assert bob.digest(two, "ada/shown:latest") == shown
        for who in (ada, bob):
            for name in ("ada/notebook:latest", "ada/nothing:latest"):
                answer = who.manifest(two, name)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "10"), name
        refuses_to_write(ada, two)
    until_written(ada, two)
    assert ada.digest(two, "ada/notebook:v1") == ada.digest(one, "ada/notebook:v1")


def test_versions_under_way_when_the_database_stops_end_by_themselves(furnished: Pair) -> None:
    """A version that was accepted is built, whatever it was at."""
    ada, (one, two) = furnished.ada, furnished.servers
    asked = specification("click", UNDER="way")  # not made before: it takes its seconds
    numbers = {}
    for server, name in ((one, "first"), (two, "second")):
        made = f"/namespaces/ada/environments?name={name}"
        numbers[name] = ada.must(server, "POST", made, asked)["version"]["number"]
    with stopped(furnished):
        time.sleep(3)
    for name, number in numbers.items():
        until_written(ada, two)
        assert ada.version(two, f"ada/{name}", number)["state"] == "built"
    require_agreement(one.settings)


def test_nothing_is_lost_or_half_done_when_it_stops_while_people_write(furnished: Pair) -> None:
    """It is stopped in good order and killed, in turns; pulls go on all the time."""
    ada, servers = furnished.ada, furnished.servers
    writers = [Writer(ada, servers[one % 2], f"written-{one}") for one in range(WRITERS)]
    pullers = [Puller(ada, server, "ada/notebook:v1") for server in servers]
    moments = Random(14)
    for each in (*writers, *pullers):
        each.start()
    for stop in range(STOPS):
        time.sleep(moments.uniform(0.5, 1.5))
        (furnished.postgres.kill if stop % 2 else furnished.postgres.stop)()
        time.sleep(moments.uniform(0.1, 1.5))
        furnished.postgres.start()
    time.sleep(1)
    for each in (*writers, *pullers):
        each.end()
    for server in servers:
        until_written(ada, server)
    require_agreement(servers[0].settings)
    accepted = 0
    for writer in writers:
        assert writer.refused, "none was sent while it was stopped"
        assert {sentence(one, 503) for one in writer.refused} == {
            "the database does not answer: try again in a moment"
        }
        for number in writer.accepted:
            assert ada.version(servers[0], writer.path, number)["state"] == "built"
        accepted += len(writer.accepted)
    assert accepted > STOPS
    statuses = {one.status_code for puller in pullers for one in puller.answers}
    assert statuses == {200}
    print(
        f"\n{accepted} versions accepted, {sum(len(one.refused) for one in writers)} refused,"
        f" {sum(len(one.answers) for one in pullers)} pulls"
    )


class Writer(Repeating):
    """Asks for one version after the other; each is another one."""

    def __init__(self, person: Person, server: Server, name: str) -> None:
        """Make the environment."""
        super().__init__(person, server)
        self.path = f"ada/{name}"
        person.must(server, "POST", "/namespaces/ada/environments", {"name": name})
        #: The numbers of versions.
        self.accepted: list[int] = []
        self.refused: list[httpx.Response] = []
        self._count = 0

    def once(self) -> float:
        """Ask for a version."""
        self._count += 1
        asked = specification("emptydirdemo", N=f"{self.path} {self._count}")
        began = time.monotonic()
        answer = self.person.send(self.server, "POST", f"{environment(self.path)}/versions", asked)
        assert time.monotonic() < began + PATIENCE_SECONDS, "it took too long"
        if answer.is_success:
            self.accepted.append(answer.json()["number"])
        else:
            self.refused.append(answer)
        return 0.05


class Puller(Repeating):
    """Asks for an image again and again."""

    def __init__(self, person: Person, server: Server, name: str) -> None:
        """Prepare it."""
        super().__init__(person, server)
        self._name = name
        self.answers: list[httpx.Response] = []

    def once(self) -> float:
        """Ask for it."""
        self.answers.append(self.person.manifest(self.server, self._name))
        return 0.02


def pull(person: Person, server: Server, name: str) -> None:
    """Take an image with all its blobs, as engines do."""
    manifest = person.manifest(server, name).raise_for_status().json()
    repository = name.partition(":")[0]
    if "manifests" in manifest:
        platform = manifest["manifests"][0]["digest"]
        manifest = person.manifest(server, f"{repository}:{platform}").raise_for_status().json()
    for blob in (manifest["config"], *manifest["layers"]):
        answer = httpx.get(
            f"{server.url}/v2/{repository}/blobs/{blob['digest']}",
            auth=(person.name, person.secret),
            follow_redirects=True,
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        assert len(answer.content) == blob["size"]


def median_seconds(person: Person, server: Server, name: str) -> float:
    """Return how long an image's manifest takes."""
    taken = []
    for _ in range(30):
        began = time.perf_counter()
        person.digest(server, name)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def refuses_to_write(person: Person, server: Server) -> None:
    """Assert that every kind of change is answered with one sentence, and before long."""
    notebook = environment("ada/notebook")
    asked = specification("emptydirdemo", N="refused")
    for method, path, body in (
        ("POST", "/namespaces/ada/environments", {"name": "refused"}),
        ("POST", "/namespaces/ada/environments?name=refused", asked),
        ("POST", f"{notebook}/versions", asked),
        ("PUT", f"{notebook}/active", {"version": 1}),
        ("PATCH", notebook, {"description": "refused"}),
        ("POST", f"{notebook}/copy", {"name": "refused"}),
        ("POST", f"{notebook}/move", {"name": "refused"}),
        ("DELETE", notebook, None),
        ("POST", "/namespaces/ada/grants", {"subject": "bob", "role": "viewer"}),
        ("DELETE", "/namespaces/ada", None),
        ("POST", "/tokens", {"name": "refused"}),
    ):
        began = time.monotonic()
        answer = person.send(server, method, path, body)
        assert time.monotonic() < began + PATIENCE_SECONDS, path
        assert "database does not answer" in sentence(answer, 503), path


def until_written(person: Person, server: Server) -> float:
    """Return after how many seconds a change succeeds again."""
    began = time.monotonic()
    while True:
        text = {"description": f"written {began}"}
        answer = person.send(server, "PATCH", environment("ada/notebook"), text)
        if answer.is_success:
            return time.monotonic() - began
        assert answer.status_code in {503, 404, 401}, answer.text
        assert time.monotonic() < began + BACK_SECONDS, answer.text
        time.sleep(0.05)
