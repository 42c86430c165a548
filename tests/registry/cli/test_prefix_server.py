"""What a root asks of servers that answer, break off, change files, refuse, or are none."""

import asyncio
import base64
import gzip
import hashlib
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from registry.cli.api import open_api
from registry.cli.prefix_server import ApiServer
from registry.cli.profile import Profile
from registry.cli.token_file import FileToken
from registry.errors import PrefixError, PrefixSourceUnavailable, PrefixUnusable
from registry.prefixes.server import Wanted, WantedVersion

pytestmark = pytest.mark.anyio

KEY = "0123456789abcdef" * 2
VERSION = WantedVersion("ada", "tools", 3, KEY, True, 1_900_000_000.0)
ITEM = {
    "namespace": "ada",
    "environment": "tools",
    "number": 3,
    "key": KEY,
    "is_active": True,
    "created_at": "2030-03-17T17:46:40+00:00",
}
BODY = bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(BODY).hexdigest()

#: What is answered to the text of a request; the connection is closed after it.
Answer = Callable[[str], bytes]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.cli.download._PAUSE_SECONDS", 0)


def answer(status: int, body: bytes = b"", lacks: int = 0, **headers: str) -> bytes:
    """Return an answer; so many bytes of its body never come."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body) + lacks}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def document(status: int, content: Any, **headers: str) -> bytes:
    return answer(status, json.dumps(content).encode(), 0, **headers)


def refusal(status: int, code: str, message: str, **headers: str) -> bytes:
    return document(status, {"error": {"code": code, "message": message}}, **headers)


class Asked:
    """A server, and what it was asked."""

    def __init__(self, server: ApiServer, requests: list[str]) -> None:
        self.server = server
        self.requests = requests

    async def wanted(self, known: str | None = None, wait_seconds: float = 0) -> Wanted | None:
        return await self.server.wanted(["ada/*"], 2, known, wait_seconds)


@asynccontextmanager
async def asked(*answers: Answer | bytes, token: Path | None = None) -> AsyncIterator[Asked]:
    """Run a server that gives one answer after another, the last one for ever."""
    left, requests = list(answers), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        requests.append(request)
        given = left.pop(0) if len(left) > 1 else left[0]
        writer.write(given if isinstance(given, bytes) else given(request))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        profile = Profile(f"http://127.0.0.1:{port}", None if token else "pft_secret")
        async with open_api(profile, FileToken(token) if token else None) as api:
            yield Asked(ApiServer(api), requests)


async def test_what_is_wanted_is_asked_for_and_read() -> None:
    content = {"items": [ITEM], "blocked": ["f" * 32]}
    async with asked(document(200, content, etag='W/"7"'), answer(304)) as it:
        found = await it.wanted()
        assert found == Wanted((VERSION,), 'W/"7"', frozenset({"f" * 32}))
        assert await it.wanted('W/"7"', 25) is None
    first, second = it.requests
    assert first.startswith("GET /api/v1/active-versions?only=ada%2F%2A&versions=2 HTTP/1.1")
    assert "Bearer pft_secret" in first
    assert "prefer" not in first
    assert 'if-none-match: W/"7"' in second
    assert "prefer: wait=25" in second


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (answer(200, b"<html>"), "it is no pullforge server"),
        (answer(404, b"<html>"), "it is no pullforge server"),
        (answer(302, location="/login"), "it is no pullforge server"),
        (document(200, []), "it is no pullforge server"),
        (document(200, {"items": 3}), "no list 'items'"),
        (document(200, {"items": [{**ITEM, "number": "3"}]}), "no number 'number'"),
        (document(200, {"items": [{**ITEM, "key": "../../etc"}]}), "cannot be one"),
        (document(200, {"items": [{**ITEM, "environment": ".."}]}), "cannot be one"),
        (document(200, {"items": [{**ITEM, "namespace": "a/b"}]}), "cannot be one"),
        (document(200, {"items": [{**ITEM, "created_at": "soon"}]}), "at no time"),
        (document(200, {"items": [{**ITEM, "created_at": "0001-01-01T00:00:00"}]}), "at no time"),
        (answer(304), "answered 304"),
        (document(206, {"items": []}), "answered 206"),
        (answer(200, zlib.compress(b"{}"), content_encoding="deflate"), "packed as deflate"),
        (answer(200, b"{}", content_encoding="gzip"), "does not answer"),
        (
            answer(200, gzip.compress(b"{}", mtime=0)[:-9], content_encoding="gzip"),
            "it is not whole",
        ),
        (answer(200, b"{", lacks=9), "does not answer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not answer"),
        (refusal(401, "UNAUTHORIZED", "the token has expired"), "expired ('pullforge login"),
        (refusal(403, "DENIED", "you may not"), "you may not"),
        (refusal(503, "UNAVAILABLE", "the database is away"), "the database is away"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_one_sentence(given: bytes, sentence: str) -> None:
    async with asked(given) as it:
        with pytest.raises(PrefixSourceUnavailable) as error:
            await it.wanted()
    assert sentence in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize("etag", ["\xe9", "a" * 5000, ""])
async def test_what_cannot_be_sent_back_stands_for_no_answer(etag: str) -> None:
    given = document(200, {"items": [ITEM]}, etag=etag)
    async with asked(given) as it:
        for _ in range(2):
            found = await it.wanted("", 25)
            assert found == Wanted((VERSION,), "")
        assert "if-none-match" not in it.requests[1]


async def test_an_answer_may_be_packed() -> None:
    packed = gzip.compress(json.dumps({"items": [ITEM] * 20_000}).encode())
    async with asked(answer(200, packed, content_encoding="gzip")) as it:
        found = await it.wanted()
    assert found is not None
    assert len(found.versions) == 20_000


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_an_answer_that_is_huge_when_it_is_unpacked_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, encoding: str
) -> None:
    monkeypatch.setattr("registry.cli.prefix_server._MAX_WANTED_BYTES", 2**20)
    body = bytes(2**26)
    packed = {
        "gzip": gzip.compress(body, 9),
        "zstd": zstandard.ZstdCompressor().compress(body),
    }[encoding]
    async with asked(answer(status, packed, content_encoding=encoding)) as it:
        tracemalloc.start()
        try:
            with pytest.raises(PrefixSourceUnavailable) as error:
                await it.wanted()
            if status == 404:
                with pytest.raises(PrefixError):
                    await it.server.package(VERSION, SHA256, 10, tmp_path / "archive")
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert "\n" not in error.value.message
    assert taken < 2**24


async def test_a_connection_that_was_closed_meanwhile_is_no_fault() -> None:
    async with asked(b"", document(200, {"items": []}, etag='"1"')) as it:
        assert await it.wanted() == Wanted((), '"1"')
        assert len(it.requests) == 2


async def test_a_wait_that_breaks_off_is_told_at_once() -> None:
    async with asked(b"") as it:
        with pytest.raises(PrefixSourceUnavailable):
            await it.wanted('"1"', 25)
        assert len(it.requests) == 1, "whoever follows decides how long to wait next"


async def test_a_server_that_is_not_there_is_told() -> None:
    async with open_api(Profile("http://127.0.0.1:1", "pft_x")) as api:
        with pytest.raises(PrefixSourceUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
            await ApiServer(api).wanted([], 0, None, 0)


def broken_off(request: str) -> bytes:
    """Give at most 1.1 million bytes of what is asked for, and claim to give all."""
    begin = 0
    for line in request.splitlines():
        if line.startswith("range: bytes="):
            begin = int(line.removeprefix("range: bytes=").rstrip("-"))
    body = BODY[begin:]
    more = {"content-range": f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}"} if begin else {}
    sent = body[:1_100_000]
    return answer(206 if begin else 200, sent, len(body) - len(sent), etag='"a"', **more)


async def test_a_download_that_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    async with asked(broken_off) as it:
        await it.server.package(VERSION, SHA256, len(BODY), tmp_path / "package")
    assert (tmp_path / "package").read_bytes() == BODY
    ranges = [line for one in it.requests for line in one.splitlines() if "range: " in line]
    assert len(it.requests) == 3
    assert "range: bytes=1100000-" in ranges
    assert it.requests[0].startswith(
        f"GET /api/v1/namespaces/ada/environments/tools/versions/3/packages/{SHA256} HTTP/1.1"
    )


async def test_a_file_that_has_changed_meanwhile_is_fetched_from_its_beginning(
    tmp_path: Path,
) -> None:
    async with asked(answer(200, BODY[:99], len(BODY) - 99, etag='"a"'), answer(200, BODY)) as it:
        await it.server.package(VERSION, SHA256, len(BODY), tmp_path / "package")
    assert (tmp_path / "package").read_bytes() == BODY


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        (answer(200, BODY[::-1]), PrefixSourceUnavailable, "something on the way changes files"),
        (answer(200, BODY + b"x"), PrefixSourceUnavailable, "gives more than the 2560000 bytes"),
        (answer(200, BODY[:-1]), PrefixSourceUnavailable, "something on the way changes files"),
        (answer(404, b"<html>"), PrefixSourceUnavailable, "it is no pullforge server"),
        (refusal(404, "PACKAGE_UNKNOWN", "it has none such"), PrefixUnusable, "it has none such"),
        (refusal(403, "BLOCKED", "it is blocked"), PrefixUnusable, "it is blocked"),
        (refusal(502, "CHANNEL", "the channel is away"), PrefixUnusable, "the channel is away"),
        (refusal(401, "UNAUTHORIZED", "expired"), PrefixSourceUnavailable, "expired"),
        (
            refusal(429, "STILL_BUILDING", "still at it", retry_after="0"),
            PrefixSourceUnavailable,
            "still at it",
        ),
        (answer(307, location="?wait=1"), PrefixSourceUnavailable, "only sends elsewhere"),
    ],
)
async def test_a_package_that_cannot_be_had_is_one_sentence(
    tmp_path: Path, given: bytes, kind: type[PrefixError], sentence: str
) -> None:
    async with asked(given) as it:
        with pytest.raises(kind) as error:
            await it.server.package(VERSION, SHA256, len(BODY), tmp_path / "package")
    assert type(error.value) is kind
    assert sentence in error.value.message


async def test_a_file_that_is_still_being_made_is_waited_for(tmp_path: Path) -> None:
    digest = base64.b64encode(bytes.fromhex(SHA256)).decode()
    async with asked(
        refusal(429, "STILL_BUILDING", "still at it", retry_after="0"),
        answer(307, location="?wait=1"),
        answer(200, BODY, repr_digest=f"sha-256=:{digest}:"),
    ) as it:
        await it.server.bytecode(VERSION, "linux-64", tmp_path / "bytecode")
    assert (tmp_path / "bytecode").read_bytes() == BODY
    assert "/versions/3/bytecode.tar.zst?platform=linux-64 HTTP" in it.requests[0]


async def test_a_form_whose_digest_nobody_says_is_not_believed(tmp_path: Path) -> None:
    async with asked(answer(200, BODY)) as it:
        with pytest.raises(PrefixSourceUnavailable, match="does not say the digest"):
            await it.server.bytecode(VERSION, "linux-64", tmp_path / "bytecode")


async def test_an_installation_that_is_none_or_of_another_build_is_told() -> None:
    for body in (b"{}", b"\xff", b"[" * 100_000):
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        async with asked(answer(200, body, repr_digest=f"sha-256=:{digest}:")) as it:
            with pytest.raises(PrefixSourceUnavailable, match="update pullforge"):
                await it.server.installation(VERSION, "linux-64")


async def test_a_token_of_a_file_is_read_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with asked(document(200, {"items": []}), token=token) as it:
        with pytest.raises(PrefixSourceUnavailable, match="cannot be read"):
            await it.wanted()
        token.write_text("two words\n")
        with pytest.raises(PrefixSourceUnavailable, match="has no token"):
            await it.wanted()
        for text in ("pft_one\n", "pft_two"):
            token.write_text(text)
            await it.wanted()
    assert ["Bearer pft_one" in one for one in it.requests] == [True, False]
    assert ["Bearer pft_two" in one for one in it.requests] == [False, True]
