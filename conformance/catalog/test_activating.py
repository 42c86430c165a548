"""Two servers are told at once to make different versions the active one."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Final

from conformance.catalog.agreement import require_agreement
from conformance.catalog.pair import Pair
from conformance.catalog.person import environment, specification
from conformance.clients.server import Server
from conformance.s3 import BUCKET

ROUNDS: Final = 60
VERSIONS: Final = 4
PATH: Final = "ada/notebook"


def test_two_servers_that_activate_at_once_agree_in_the_end(pair: Pair) -> None:
    """When both have answered, both serve the same version; the store's document follows."""
    ada, (one, two) = pair.ada, pair.servers
    ada.must(one, "POST", "/namespaces", {"name": "ada"})
    keys = {}
    for number in range(1, VERSIONS + 1):
        built = ada.build(one, PATH, specification("emptydirdemo", N=str(number)))
        keys[built["number"]] = built["key"]
    assert len(set(keys.values())) == VERSIONS
    chance = Random(14)
    won = set()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(ROUNDS):
            together = Barrier(2)

            def activate(server: Server, number: int, together: Barrier = together) -> None:
                together.wait()
                ada.activate(server, PATH, number)

            chosen = chance.sample(sorted(keys), 2)
            list(pool.map(activate, (one, two), chosen))
            served = {ada.key(server, f"{PATH}:latest") for server in (one, two)}
            told = {ada.must(server, "GET", environment(PATH))["active"] for server in (one, two)}
            assert len(told) == 1, "they disagree"
            assert served == {keys[told.pop()]}
            won.add(next(iter(served)) == keys[chosen[0]])
    assert won == {True, False}, "each was last at times"
    require_agreement(one.settings)
    document = pair.s3.data / BUCKET / "shared" / "environments" / Path(PATH)
    assert json.loads(document.read_bytes())["active"] in served
    actions = ada.must(one, "GET", f"{environment(PATH)}/events?limit=100")["items"]
    assert actions[0]["action"] == "version.activated"
