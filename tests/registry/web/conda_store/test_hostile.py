"""What somebody sends who means no good: all of it is answered, and nothing is theirs by it."""

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from registry.catalog.records import Actor
from registry.requests.runner import BuildRunner
from registry.web.conda_store.addresses import ADDRESSES
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, BOB, ROOT, send
from tests.registry.web.api.site import wish
from tests.registry.web.conda_store.people import API, FACE, data, problem, refusal, token

pytestmark = pytest.mark.anyio

_ADMIN: Final = Actor("root", None, "192.0.2.1", "api")

#: Lists, with what else their addresses take.
LISTS: Final = (
    *("/api/v1/namespace", "/api/v1/environment", "/api/v2/environment", "/api/v1/build"),
    *("/api/v1/package", "/api/v1/channel", "/api/v1/build/{build_id}/packages"),
)
#: What is no number of a page, or is none that there is.
NUMBERS: Final = (
    *("0", "-1", str(10**9), str(10**9 - 1), str(10**30), "9" * 5000, "1e3", "0x10", "1.0"),
    *("٣", "\u00b2", "NaN", "", " 1", "1;DROP", "\0", "null"),
)
#: Texts by which databases, headers and readers of JSON were once misled.
TEXTS: Final = (
    *("\0", "a\0b", "%", "_", "\\", "'", '"', "' OR 1=1 --", "a" * 5000, "\U0001f40d", "\u202e"),
    *("../..", "\r\nX-Injected: 1", "{{7*7}}", "<script>", "*", "ada/*", "\ud7ff", "[", "(a+)+$"),
)
#: The same as parts of addresses, with what is no text at all.
SEGMENTS: Final = (
    *(quote(text, safe="") for text in TEXTS),
    *("%ff%fe", "%c0%af", "%ed%a0%80", "..%2f..%2fetc%2fpasswd", "%2e%2e", "-1", "0", "9" * 16),
    *(
        "9" * 15,
        str(2**31),
        str(2**31 - 1),
        str(2**63),
        "1.0",
        "%d9%a3",
        "%b2",
        "1%00",
        "+1",
        "1_0",
    ),
)
_TEXTUAL: Final = ("search", "name", "namespace", "packages", "build")
#: What no query of a list is.
QUERIES: Final = (
    *({name: text} for name in _TEXTUAL for text in TEXTS),
    *({"search": text, "exact": "1"} for text in TEXTS[:8]),
    *({"sort_by": text} for text in ("id", "name,namespace", "id; DROP TABLE version", "__a__")),
    *({"order": text} for text in ("desc", "DESC", "sideways")),
    *({"status": text} for text in ("COMPLETED", "completed", "BROKEN", "\0")),
    *({"artifact": text} for text in ("LOGS", "DIRECTORY", "X" * 500)),
    *({"environment_id": text} for text in NUMBERS),
    *({"distinct_on": text} for text in ("name", "version", "build", "x")),
)  # fmt: skip


def cursor(last_id: Any, last_value: Any) -> str:
    """Return where a page would begin."""
    text = json.dumps({"last_id": last_id, "last_value": last_value})
    return base64.b64encode(text.encode()).decode()


VALUES: Final[tuple[Any, ...]] = ([], "x", {}, {"id": 1}, {"name": "a", "namespace": "b", "c": 1})
CURSORS: Final[tuple[str, ...]] = (
    *(cursor(number, {"name": "a"}) for number in (10**30, -1, 2**63, 2**31, 0, "1", 1.5, [1])),
    *(cursor(1, {"name": text}) for text in ("\ud800", "\0", "a" * 9000, 5, None, ["a"])),
    *(cursor(1, one) for one in VALUES),
    *("x", "e30=", "W10=", "bnVsbA==", "!!!!", "\u20ac", base64.b64encode(b"[" * 9000).decode()),
    base64.b64encode(b'{"last_id": ' + b"9" * 5000 + b"}").decode(),
)


@dataclass
class House:
    """A service in which ada and bob have an environment each, with a build that was cancelled."""

    client: Client
    #: Their builds.
    adas: int
    bobs: int

    async def send(self, method: str, path: str, who: str | None, body: Any = None) -> Reply:
        """Send a request, and see to it that it is answered as clients can read it."""
        reply = await send(self.client, method, path, who, body)
        assert reply.status < 500, (method, path, body, reply)
        assert "x-injected" not in reply.headers
        if reply.status >= 400:
            _, sentence = problem(reply)
            assert sentence, (method, path)
            assert "Traceback" not in sentence
        return reply


@pytest.fixture(scope="module")
async def house(shared: Client) -> AsyncIterator[House]:
    catalog = shared.services.catalog
    assert catalog is not None
    builds = []

    async def never(*_: Any, **__: Any) -> str:
        raise AssertionError("nothing is built here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BuildRunner, "make", never)
        for owner in ("ada", "bob"):
            await catalog.namespaces.create(_ADMIN, owner, owner=owner)
            await catalog.environments.create(_ADMIN, owner, "mine")
            version, _ = await catalog.versions.ask(_ADMIN, owner, "mine", wish("tool"))
            await catalog.versions.cancel(_ADMIN, owner, "mine", version.number)
            builds.append(await catalog.build_ids.id_of(owner, "mine", version.number))
        await catalog.follower.settled(2**62)
        yield House(shared, *builds)


async def test_builds_of_others_are_reached_by_nothing_of_ones_own(house: House) -> None:
    client, theirs, nobodys = house.client, house.adas, 987_654
    environment, told = "/environment/bob/mine", []
    for number in (theirs, nobodys):
        said = (
            await refusal(client, "PUT", environment, BOB, {"build_id": number}),
            await refusal(client, "GET", f"{environment}/lockfile?build_id={number}", BOB),
            await refusal(client, "GET", f"/build/{number}/packages", BOB),
        )
        told.append([(status, re.sub(rf"\b{number}\b", "N", text)) for status, text in said])
    assert told[0] == told[1], "nobody learns which numbers are builds"
    for query in ("namespace=ada", "name=mine", f"environment_id={theirs}", "status=CANCELED"):
        found = await data(client, "GET", f"/build?{query}", BOB)
        assert theirs not in [one["id"] for one in found], query
    spaces = await data(client, "GET", "/namespace", BOB)
    assert "ada" not in [one["name"] for one in spaces]


async def test_somebody_elses_token_shows_no_more_than_both_may_see(house: House) -> None:
    client = house.client
    adas = await token(client, ADA)
    seen = [await data(client, "GET", f"/environment?jwt={adas}", who) for who in (BOB, ROOT)]
    assert [[one["namespace"]["name"] for one in found] for found in seen] == [[], ["ada"]]
    for other in ("x", "pft_eyJ.e30.x", "\0", "a" * 9000):
        reply = await house.send("GET", f"{API}/environment?{urlencode({'jwt': other})}", BOB)
        assert reply.status == 403


async def test_numbers_of_pages_are_taken_or_refused(house: House) -> None:
    for path in LISTS:
        url = FACE + path.format(build_id=house.adas)
        for number in NUMBERS:
            for name in ("page", "size", "limit"):
                reply = await house.send("GET", f"{url}?{urlencode({name: number})}", ROOT)
                assert reply.status in {200, 400}, (path, name, number)
                if reply.status == 200:
                    assert len(reply.json()["data"]) <= 1000


async def test_whatever_lists_are_asked_for_is_answered(house: House) -> None:
    for turn, path in enumerate(LISTS):
        url = FACE + path.format(build_id=house.adas)
        for query in QUERIES[turn % 2 :: 2]:
            if path == "/api/v1/channel" or ("distinct_on" in query and "package" not in path):
                continue
            await house.send("GET", f"{url}?{urlencode(query)}", ROOT)
    for one in CURSORS:
        reply = await house.send(
            "GET", f"{FACE}/api/v2/environment?{urlencode({'cursor': one})}", ROOT
        )
        assert reply.status in {200, 400}, one


def doors() -> Iterator[tuple[str, str]]:
    for address, handlers in ADDRESSES.items():
        for method in handlers:
            yield method, address


async def test_odd_characters_in_any_part_of_an_address_are_answered(house: House) -> None:
    whole = {"namespace": "ada", "environment": "mine", "build_id": str(house.adas)}
    turns = count()  # each has a third of them: there are many addresses
    for method, address in doors():
        for field in whole:
            if f"{{{field}}}" not in address:
                continue
            turn = next(turns)
            for segment in SEGMENTS[turn % 3 :: 3]:
                path = FACE + address.format(**{**whole, field: segment})
                slash = "/" if turn % 2 else ""
                # Nothing that is sent there could be done.
                await house.send(method, path + slash, ROOT, None if method == "GET" else b"[]")


async def test_whatever_is_sent_to_any_address_is_answered(house: House) -> None:
    bodies = (b"", b"[]", b"null", b"\xff", b"[" * 20_000, b'{"a": ' + b"9" * 5000 + b"}", b"{}")
    texts: tuple[Any, ...] = ("\ud800", "\0", "a" * 70_000, 10**400, -1, True, None, [], {}, ["\0"])
    fields = (
        *("specification", "namespace", "environment_name", "build_id", "description", "metadata"),
        *("role_mappings", "role_bindings", "expiration", "exp", "primary_namespace", "role"),
        *("other_namespace", "username", "password", "next", "conda_command", "no_such_setting"),
    )
    whole = {"namespace": "none", "environment": "none", "build_id": "987654"}
    for method, address in doors():
        if method == "GET":
            continue
        path = FACE + address.format(**whole)
        for body in bodies:
            await house.send(method, path, ADA, body)
        if "{" in address:
            continue
        for name in fields:
            for text in texts:
                await house.send(method, path, ADA, json.dumps({name: text}).encode())
