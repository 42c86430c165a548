"""Somebody who comes to a site: a container on its network, and so an address of its own."""

import json
from dataclasses import dataclass
from typing import Any, Final

from conformance.deploy.images import BuildingDocker

#: Asks for names on several connections, each time as if for somebody else, until all are asked
#: for and some seconds have passed; those that were refused are asked for again. Prints what came.
_ASKING: Final = """
import asyncio, collections, json, random, sys, time
import httpx

order = json.loads(sys.argv[1])
statuses, asked, refusals, seconds = collections.Counter(), set(), [], {}
end = time.monotonic() + order["seconds"]

async def ask(client, names):
    while names and (names[0] not in asked or time.monotonic() < end):
        name = names.popleft()
        invented = ".".join(str(random.randrange(1, 255)) for _ in range(4))
        started = time.monotonic()
        reply = await client.get(f"/v2/env/{name}/manifests/latest", headers={
            "accept": order["accept"], "x-forwarded-for": invented, "forwarded": f"for={invented}"})
        statuses[reply.status_code] += 1
        asked.add(name)
        if reply.status_code == 200:
            seconds[name] = time.monotonic() - started
        elif reply.status_code == 429:
            message = reply.json()["errors"][0]["message"]
            refusals.append([reply.headers.get("retry-after"), message])
            names.append(name)

async def main():
    names = collections.deque(order["names"])
    settings = {"base_url": order["url"], "timeout": 150, "follow_redirects": True}
    async with httpx.AsyncClient(**settings) as client:
        await asyncio.gather(*(ask(client, names) for _ in range(order["connections"])))
    print(json.dumps({"statuses": statuses, "asked": len(asked), "refusals": refusals,
                      "seconds": seconds}))

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of asking."""

    #: HTTP status → how many answers had it.
    statuses: dict[int, int]
    #: How many names were asked for.
    asked: int
    #: ``Retry-After`` and the sentence of each answer 429.
    refusals: list[tuple[str | None, str]]
    #: Name → how long its first answer 200 took.
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Comes with an address of its own."""

    docker: BuildingDocker
    #: Any with Python and httpx.
    image: str
    #: The site's, and its address there.
    network: str
    url: str

    def ask(
        self, names: list[str], accept: str, *, connections: int = 1, seconds: float = 0
    ) -> Answers:
        """Ask for the manifests of names at ``latest``, all at least once, and so long.

        Args:
            names: As in ``env/NAME``.
            accept: The types of manifests to take.
            connections: How many requests at once.
            seconds: How long those that are refused are asked for again.
        """
        order = {
            "names": names,
            "accept": accept,
            "connections": connections,
            "seconds": seconds,
            "url": self.url,
        }
        printed = self.docker.call(
            *("run", "--rm", f"--network={self.network}", "--entrypoint=python3", self.image),
            *("-c", _ASKING, json.dumps(order)),
            timeout_seconds=600,
        )
        found: dict[str, Any] = json.loads(printed)
        return Answers(
            {int(status): count for status, count in found["statuses"].items()},
            found["asked"],
            [(after, message) for after, message in found["refusals"]],
            found["seconds"],
        )
