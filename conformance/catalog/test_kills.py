"""Servers that are killed while people change environments: everything fits together afterwards."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from conformance.catalog.agreement import require_agreement
from conformance.catalog.changing import NAMES, Changing
from conformance.catalog.pair import Pair, accounts
from conformance.catalog.person import Person, environment
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server

#: Of each of the two: one server with SQLite, two with PostgreSQL.
KILLS: Final = 25
#: After how many seconds at most.
LONGEST_SECONDS: Final = 2.0


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
        for kill in range(KILLS):
            began = [Changing(person, server, chance, f"{kill} {person.name}") for person in people]
            kill_after(server, chance.uniform(0, LONGEST_SECONDS), began)
            changes += began
            server.start()
        require_all(people, [server], changes)


def test_two_servers_with_postgresql_of_which_one_is_killed_lose_nothing(pair: Pair) -> None:
    """The other one goes on, and takes up what the killed one was at."""
    chance = Random(50)
    people = [pair.ada, pair.bob]
    found(people, pair.servers[0])
    changes: list[Changing] = []
    for kill in range(KILLS):
        killed, other = chance.sample(pair.servers, 2)
        stays = Changing(pair.ada, other, chance, f"{kill} stays")
        began = [Changing(person, killed, chance, f"{kill} {person.name}") for person in people]
        stays.start()
        kill_after(killed, chance.uniform(0, LONGEST_SECONDS), began)
        stays.end()
        assert not stays.done["cut"], "the other one did not answer"
        changes += [*began, stays]
        killed.start()
    require_all(people, pair.servers, changes)


def found(people: Sequence[Person], server: Server) -> None:
    """Make everybody's namespace."""
    for person in people:
        person.must(server, "POST", "/namespaces", {"name": person.name})


def kill_after(server: Server, seconds: float, changes: Sequence[Changing]) -> None:
    """Have environments changed at a server, and kill it after so many seconds."""
    for one in changes:
        one.start()
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
    states: Counter[str] = Counter()
    for person in people:
        for name in NAMES:
            path = f"{person.name}/{name}"
            versions = all_versions(person, servers[0], path)
            numbers = {one["number"]: one for one in versions}
            assert {number for at, number in accepted if at == path} <= numbers.keys()
            states.update(one["state"] for one in versions)
            keys = {number: one["key"] for number, one in numbers.items()}
            for server in servers:
                active = person.must(server, "GET", environment(path))["active"]
                assert person.key(server, f"{path}:latest") == keys[active]
                assert person.key(server, f"{path}:v{active}") == keys[active]
    assert set(states) == {"built"}, states


def all_versions(person: Person, server: Server, path: str) -> list[dict[str, object]]:
    """Return every version of an environment."""
    items: list[dict[str, object]] = []
    after = ""
    while True:
        page = person.must(server, "GET", f"{environment(path)}/versions?limit=100{after}")
        items += page["items"]
        if page["next"] is None:
            return items
        after = f"&after={page['next']}"
