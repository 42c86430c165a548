import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from registry.cli.api import Api, Refused, Unreachable
from registry.cli.archive_download import download_archive
from registry.cli.remote import RemoteError

DATA = bytes(range(256)) * 40
ADDRESS = f"builds/{'ab' * 16}"
DIGEST = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
ABOUT = {"repr-digest": f"sha-256=:{DIGEST}:", "etag": '"one"'}

Answer = Callable[[httpx.Request], httpx.Response]


def download(answer: Answer, target: Path) -> str:
    async def scenario() -> str:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            api = Api(http, "http://host")
            return await download_archive(api, ADDRESS, "linux-64", target, lambda _: None)

    return asyncio.run(scenario())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PAUSE_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(f"registry.cli.archive_download.{name}", 0)


def whole(data: bytes = DATA) -> httpx.ByteStream:
    return httpx.ByteStream(data)


async def some(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise httpx.ReadError("gone")


def test_what_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        begun = request.headers.get("range", "")
        asked.append(begun)
        match = re.fullmatch(r"bytes=([0-9]+)-", begun)
        if match is None:
            return httpx.Response(200, headers=ABOUT, content=some(DATA[:1000]))
        assert request.headers["if-range"] == '"one"'
        start = int(match[1])
        if start < 3000:
            return httpx.Response(206, headers=ABOUT, content=some(DATA[start : start + 1000]))
        return httpx.Response(206, headers=ABOUT, stream=whole(DATA[start:]))

    assert download(answer, tmp_path / "a") == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert asked == ["", "bytes=1000-", "bytes=2000-", "bytes=3000-"]
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_file_that_is_another_one_by_now_is_begun_anew(tmp_path: Path) -> None:
    count = 0

    def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if count == 1:
            return httpx.Response(200, headers=ABOUT, content=some(b"old"))
        return httpx.Response(200, headers=ABOUT, stream=whole())

    download(answer, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_file_is_fetched_from_where_the_server_sends_to_and_is_what_the_server_says(
    tmp_path: Path,
) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.url.host}{request.url.path}")
        if request.url.host == "bucket":
            return httpx.Response(200, headers={"etag": '"of s3"'}, stream=whole())
        if "wait" not in request.url.params:
            return httpx.Response(307, headers={"location": "archive.tar.zst?wait=1"})
        return httpx.Response(307, headers={**ABOUT, "location": "http://bucket/x"})

    download(answer, tmp_path / "a")
    assert [one.partition("/")[0] for one in seen] == ["host", "host", "bucket"]


def test_an_archive_that_is_being_made_is_waited_for(tmp_path: Path) -> None:
    left = [503, 429, 200]

    def answer(_request: httpx.Request) -> httpx.Response:
        status = left.pop(0)
        error = {"error": {"code": "STILL_BUILDING", "message": "wait"}}
        if status == 200:
            return httpx.Response(200, headers=ABOUT, stream=whole())
        return httpx.Response(status, headers={"retry-after": "0"}, json=error)

    download(answer, tmp_path / "a")
    assert left == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            lambda _: httpx.Response(200, headers=ABOUT, stream=whole(DATA[1:])),
            RemoteError,
            "came as",
        ),
        (lambda _: httpx.Response(200, stream=whole()), RemoteError, "does not say the digest"),
        (lambda _: httpx.Response(404, text="no"), Refused, "no pullforge server"),
        (
            lambda _: httpx.Response(403, json={"error": {"code": "DENIED", "message": "not you"}}),
            Refused,
            "not you",
        ),
        (
            lambda _: httpx.Response(200, headers=ABOUT, content=some(b"")),
            Unreachable,
            "does not answer: gone",
        ),
    ],
)
def test_what_cannot_be_had_is_told(
    tmp_path: Path, answer: Answer, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        download(answer, tmp_path / "a")
