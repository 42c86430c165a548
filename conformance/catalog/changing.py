"""People who create, update and activate environments, while servers are killed under them."""

from collections import Counter
from random import Random
from typing import Final

import httpx

from conformance.catalog.person import Person, environment, specification
from conformance.catalog.repeating import Repeating
from conformance.clients.server import Server

#: Environments of each person, which are there.
NAMES: Final = ("one", "two", "three")
#: What is asked for: other variables make another build of packages that are there.
_PACKAGES: Final = ("emptydirdemo", "symlinkdemo", "hardlinkdemo")
#: The longest rest between two changes.
_PAUSE_SECONDS: Final = 0.1


class Changing(Repeating):
    """Changes environments at one server, and notes what was accepted.

    Args:
        person: Who.
        server: At which server.
        chance: Decides what is done.
        seed: Makes what is asked for another thing than before.
    """

    def __init__(self, person: Person, server: Server, chance: Random, seed: str) -> None:
        super().__init__(person, server)
        self._chance = Random(chance.random())
        self._seed = seed
        self._count = 0
        #: Path and number of every version that the server has said it takes.
        self.accepted: list[tuple[str, int]] = []
        #: What succeeded how often; ``cut``: requests that nobody answered.
        self.done: Counter[str] = Counter()

    def once(self) -> float:
        """Change something; end when the server has ended."""
        self._count += 1
        try:
            answer = self._change(f"{self._seed} {self._count}")
        except httpx.TransportError:
            self.done["cut"] += 1
            self._ends.set()
            return 0
        assert answer.status_code in {200, 201, 202, 404, 409}, (
            f"{answer.request.url}: {answer.status_code} {answer.text}"
        )
        return self._chance.uniform(0, _PAUSE_SECONDS)

    def _change(self, variable: str) -> httpx.Response:
        person, name = self.person.name, self._chance.choice(NAMES)
        path = f"{person}/{name}"
        asked = specification(self._chance.choice(_PACKAGES), N=variable)
        match self._chance.randrange(6):
            case 0:
                name = f"new-{variable.replace(' ', '-')}"
                made = f"/namespaces/{person}/environments?name={name}"
                answer = self._send("create", "POST", made, asked)
                if answer.is_success:
                    version = answer.json()["version"]["number"]
                    self.accepted.append((f"{person}/{name}", version))
            case 1 | 2 | 3:
                answer = self._send("update", "POST", f"{environment(path)}/versions", asked)
                if answer.is_success:
                    self.accepted.append((path, answer.json()["number"]))
            case _:
                body = {"version": self._chance.randrange(1, 6)}
                answer = self._send("activate", "PUT", f"{environment(path)}/active", body)
        return answer

    def _send(self, kind: str, method: str, path: str, body: object) -> httpx.Response:
        answer = self.person.send(self.server, method, path, body)
        self.done[kind] += answer.is_success
        return answer
