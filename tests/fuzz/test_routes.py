"""Whatever is sent to any route, the server answers it, as clients can read it.

The server is the one that users have, in a process of its own, over its socket. ``FUZZ_REQUESTS``
says how many requests each route gets in all; ``make fuzz`` sends 10,000. A route that is new is
found by itself.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from builder.oci.digest import digest_of
from conformance.clients.server import Server
from registry.auth.secret import hash_secret
from tests.builder.fetch.test_base_image import write_layout
from tests.fuzz.client import Connection, Cut, check
from tests.fuzz.requests import BLOB, WISH, Known, Sent, draw, routes, valid_authorizations
from tests.registry.accounts import HASH, TOKEN, basic, write_policy
from tests.registry.pushing import manifest_of
from tests.tiny_channel import write_tiny_channel

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "150"))
#: Who asks: of servers without accounts, and with.
HOUSES = ("no accounts", "strangers", "users")
MAX_KIB = 300 * 1024
_KEY = re.compile(rb'"key": ?"([0-9a-f]{32})"')


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(house: str, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "base").mkdir()
    write_layout(tmp_path / "base")
    channel = write_tiny_channel(tmp_path / "channel")
    settings: dict[str, object] = {
        "pypi": "false",
        "workers": 1,
        "sandbox": "none",
        "access_log": "false",
    }
    if house != "no accounts":
        write_policy(
            tmp_path / "auth.toml",
            'private = ["team/**"]',
            *("[users.ada]", f"hash = '{HASH}'", 'rights = ["team/**:pull,push"]'),
            *("[users.root]", f"hash = '{HASH}'", 'rights = ["**:*"]'),
            *("[tokens.robot]", f"hash = '{hash_secret(TOKEN)}'", 'rights = ["**:pull"]'),
        )
        settings["auth_file"] = tmp_path / "auth.toml"
    with Server(tmp_path / "store", f"file://{channel}", tmp_path / "base", settings) as server:
        yield server


@pytest.mark.timeout(max(300, REQUESTS))
def test_every_request_to_any_route_is_answered(house: str, server: Server, tmp_path: Path) -> None:
    known = Known(valid_authorizations() if house == "users" else [])
    chance = Random(house)
    statuses: Counter[int] = Counter()
    found = routes()
    count = -(-REQUESTS // len(HOUSES))
    with Connection(server.port) as connection:
        _furnish(connection, known, may_push=house == "users")
        for _ in range(count):
            for route in found:
                sent = draw(route, known, chance)
                try:
                    answer = connection.send(sent)
                    check(sent, answer)
                except (AssertionError, Cut, ValueError, KeyError, TimeoutError) as error:
                    error.add_note(f"sent: {sent.wire()[:3000]!r}\n{server.log_end()[-3000:]}")
                    raise
                statuses[answer.status] += 1
                _remember(known, sent, answer.headers.get("location", ""), answer.body)
    print(
        house,
        len(found),
        "routes",
        statuses.total(),
        "requests",
        dict(sorted(statuses.items())),
        connection.opened,
        "connections",
        _peak_kib(server),
        "KiB",
    )
    assert statuses[200]
    assert statuses[404]
    assert _peak_kib(server) <= MAX_KIB
    log = next(tmp_path.glob("store-*.log")).read_text(errors="replace")
    assert "Traceback" not in log
    assert '"level":"error"' not in log


def _furnish(connection: Connection, known: Known, *, may_push: bool) -> None:
    """Make what can be asked for: a build; where accounts are used, an image and an environment."""
    wait = [(b"Host", b"registry.test"), (b"Prefer", b"wait=25")]
    wish = [*wait, (b"Content-Length", b"%d" % len(WISH))]
    built = connection.send(Sent("/api/v1/builds", "POST", b"/api/v1/builds", wish, WISH))
    assert built.status == 201, built
    known.keys.append(built.json()["key"])
    if not may_push:
        return
    login = (b"Authorization", basic("root").encode())
    blobs, manifests = b"/v2/team/app/blobs/uploads/", b"/v2/team/app/manifests/latest"
    manifest = manifest_of(b"{}", BLOB)
    for method, target, body in (
        ("POST", b"%s?digest=%s" % (blobs, digest_of(BLOB).encode()), BLOB),
        ("POST", b"%s?digest=%s" % (blobs, digest_of(b"{}").encode()), b"{}"),
        ("PUT", manifests, manifest),
    ):
        headers = [*wait, login, (b"Content-Length", b"%d" % len(body))]
        answer = connection.send(Sent("", method, target, headers, body))
        assert answer.status == 201, answer
    environments = b"/api/v1/namespaces/lab/environments"
    for target, body in (
        (b"/api/v1/namespaces", b'{"name": "lab"}'),
        (b"%s?name=forecast" % environments, WISH),
    ):
        headers = [*wait, login, (b"Content-Length", b"%d" % len(body))]
        answer = connection.send(Sent("", "POST", target, headers, body))
        assert answer.status == 201, answer


def _remember(known: Known, sent: Sent, location: str, body: bytes) -> None:
    if "/blobs/uploads/" in location:
        known.uploads = [*known.uploads[-20:], location]
    if location.startswith("/api/v1/requests/"):
        known.requests.append(location.rpartition("/")[2])
    if sent.route.startswith("/api/") and (match := _KEY.search(body)):
        known.keys.append(match[1].decode())


def _peak_kib(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
