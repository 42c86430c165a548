"""Servers that are killed while people change environments: everything fits together afterwards."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from conformance.catalog.agreement import require_agreement
from conformance.catalog.changing import NAMES, Changing
from conformance.catalog.pair import Pair, accounts
from conformance.catalog.person import Person, environment, specification
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server

#: Of each of the two: one server with SQLite, two with PostgreSQL. Each takes ten seconds there.
KILLS: Final = int(os.environ.get("CATALOG_KILLS", "10"))
#: After how many accepted versions at most a server is killed, one less each time, and how long
#: after the last of those. A server that has just started takes a second or more for the first.
MOST_ACCEPTED: Final = 5
LONGEST_SECONDS: Final = 0.5
#: How long those may take.
_ACCEPTED_SECONDS: Final = 120


def test_one_server_with_sqlite_killed_at_any_moment_loses_nothing(
    paths: ChannelPaths, channel: ChannelServer, tmp_path: Path
) -> None:
    """Each time it starts again on what the kill has left, and goes on by itself."""
    chance = Random(25)
    people = [Person("ada"), Person("bob")]
    settings: dict[str, object] = {
        "auth_file": accounts(tmp_path / "auth.toml").path,
        "workers": 1,
    }
    changes: list[Changing] = []
    with Server(tmp_path / "store", channel.url, paths.base, settings) as server:
        found(people, server)
        people = [with_token(person, server) for person in people]
        for kill in range(KILLS):
            began = [Changing(person, server, chance, f"{kill} {person.name}") for person in people]
            kill_during(server, kill, chance, began)
            changes += began
            server.start()
        require_all(people, [server], changes)


def test_two_servers_with_postgresql_of_which_one_is_killed_lose_nothing(pair: Pair) -> None:
    """The other one goes on, and takes up what the killed one was at."""
    chance = Random(50)
    people = [pair.ada, pair.bob]
    found(people, pair.servers[0])
    people = [with_token(person, pair.servers[0]) for person in people]
    changes: list[Changing] = []
    for kill in range(KILLS):
        killed, other = chance.sample(pair.servers, 2)
        stays = Changing(people[0], other, chance, f"{kill} stays")
        began = [Changing(person, killed, chance, f"{kill} {person.name}") for person in people]
        stays.start()
        kill_during(killed, kill, chance, began)
        stays.end()
        assert not stays.done["cut"], "the other one did not answer"
        changes += [*began, stays]
        killed.start()
    require_all(people, pair.servers, changes)


def found(people: Sequence[Person], server: Server) -> None:
    """Make everybody's namespace and environments, each with a version."""
    for person in people:
        person.must(server, "POST", "/namespaces", {"name": person.name})
        for name in NAMES:
            person.build(server, f"{person.name}/{name}", specification("emptydirdemo"))


def with_token(person: Person, server: Server) -> Person:
    """Return the same person with a token: a server that starts verifies it in no time."""
    made = person.must(server, "POST", "/tokens", {"name": "killed"})
    return Person(person.name, made["secret"])


def kill_during(server: Server, kill: int, chance: Random, changes: Sequence[Changing]) -> None:
    """Have environments changed at a server, and kill it at a random moment, as number ``kill``."""
    accepted = MOST_ACCEPTED - kill % (MOST_ACCEPTED + 1)
    seconds = chance.uniform(0, LONGEST_SECONDS)
    deadline = time.monotonic() + _ACCEPTED_SECONDS
    for one in changes:
        one.start()
    while sum(len(one.accepted) for one in changes) < accepted:
        assert time.monotonic() < deadline, "it accepts nothing"
        time.sleep(0.005)
    time.sleep(seconds)
    server.kill()
    for one in changes:
        one.join(60)
        one.end()


def require_all(
    people: Sequence[Person], servers: Sequence[Server], changes: Sequence[Changing]
) -> None:
    """Assert that all that was accepted is there and has ended, the same on every server."""
    began = time.monotonic()
    count = require_agreement(servers[0].settings)
    done = sum((one.done for one in changes), Counter[str]())
    accepted = {version for one in changes for version in one.accepted}
    print(
        f"\n{KILLS} kills, {dict(done)}, {len(accepted)} of {count} versions were answered,"
        f" nothing to do after {time.monotonic() - began:.0f} s"
    )
    assert done["cut"] >= KILLS // 2
    assert len(accepted) > 2 * KILLS, "they were killed before anything was done"
    found: dict[str, int] = {}
    for person in people:
        for one in all_items(person, servers[0], "/environments"):
            if one["namespace"] == person.name:
                found[one["path"]] = require_built(person, servers, one["path"], accepted)
    assert {path for path, _ in accepted} <= found.keys()
    assert sum(found.values()) == count


def require_built(
    person: Person, servers: Sequence[Server], path: str, accepted: set[tuple[str, int]]
) -> int:
    """Assert that every server serves what an environment is, and return how many versions it has.

    Whoever makes one of a file makes its first version by that: it is not there without.
    """
    versions = all_items(person, servers[0], f"{environment(path)}/versions")
    assert versions, f"{path} is half made"
    assert {one["state"] for one in versions} == {"built"}, path
    keys = {one["number"]: one["key"] for one in versions}
    assert {number for at, number in accepted if at == path} <= keys.keys()
    for server in servers:
        active = person.must(server, "GET", environment(path))["active"]
        assert person.key(server, f"{path}:latest") == keys[active]
        assert person.key(server, f"{path}:v{active}") == keys[active]
    return len(versions)


def all_items(person: Person, server: Server, path: str) -> list[dict[str, Any]]:
    """Return everything in a list."""
    items: list[dict[str, Any]] = []
    after = ""
    while True:
        page = person.must(server, "GET", f"{path}?limit=100{after}")
        items += page["items"]
        if page["next"] is None:
            return items
        after = f"&after={page['next']}"
