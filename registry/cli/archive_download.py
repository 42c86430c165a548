"""Getting the archive of a build, verified."""

import asyncio
import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from rich.filesize import decimal

from registry.cli.api import PREFIX, Api, Refused, silent
from registry.cli.environment_cache import sha256_of
from registry.cli.remote import RemoteError

_FORM: Final = "archive.tar.zst"
#: How often a download that breaks off is gone on with.
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 1.0
#: How often an archive is asked for that is still being made: each time the server waits minutes.
_ROUNDS: Final = 10
_RETRY_SECONDS: Final = 5
_MAX_RETRY_SECONDS: Final = 60
#: RFC 9530: what the whole file is, also where a part of it is answered.
_DIGEST: Final = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):")


async def download_archive(
    api: Api, address: str, platform: str, target: Path, on_progress: Callable[[str], None]
) -> str:
    """Write the archive of a build to a file, and return its digest, which was verified.

    What breaks off is gone on with where it broke off.

    Args:
        api: The server.
        address: Of the build or version, below ``/api/v1``.
        platform: Such as ``"linux-64"``.
        target: Does not exist; what is there after an error is of no use.
        on_progress: Is told how far it is.

    Raises:
        Refused: There is no such build, or one may not have it.
        Unreachable: The server does not answer.
        RemoteError: What came is not what the server says it is.
        OSError: The file cannot be written.
    """
    part = _Part(target)
    lost = rounds = 0
    while True:
        try:
            is_whole = await _go_on(api, address, platform, part, on_progress)
        except httpx.TooManyRedirects as exc:
            raise RemoteError(
                f"{api.server} only sends elsewhere: it is no pullforge server"
            ) from exc
        except httpx.HTTPError as exc:
            lost += 1
            if lost == _ATTEMPTS or isinstance(exc, httpx.ConnectError):
                raise silent(api.server, exc) from exc
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        except _NotYet as wait:
            rounds += 1
            if rounds == _ROUNDS:
                raise wait.refusal from None
            await asyncio.sleep(wait.seconds)
            continue
        if is_whole:
            return _verified(address, part)


class _NotYet(Exception):
    """The archive is still being made."""

    def __init__(self, refusal: Refused, seconds: float) -> None:
        super().__init__()
        self.refusal = refusal
        self.seconds = seconds


class _Part:
    """As much of a file as has come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        #: Of the whole file, as the server says; empty before it has said it.
        self.sha256 = ""
        self.etag = ""


async def _go_on(
    api: Api, address: str, platform: str, part: _Part, on_progress: Callable[[str], None]
) -> bool:
    """Get what is missing; whether that is all of it.

    Raises:
        HTTPError: It broke off.
    """
    headers = {"accept-encoding": "identity"}
    if part.size_bytes and part.etag:
        headers |= {"range": f"bytes={part.size_bytes}-", "if-range": part.etag}
    url = f"{api.server}{PREFIX}/{address}/{_FORM}"
    query = {"platform": platform}
    # A store in S3 has the bytes come from elsewhere; a client that waits is sent here again.
    async with api.http.stream(
        "GET", url, params=query, headers=headers, follow_redirects=True
    ) as reply:
        if not reply.is_success:
            await reply.aread()
            if reply.status_code == 416 and part.size_bytes:
                return True
            refusal = api.refusal(reply)
            if refusal.status in {429, 503}:
                raise _NotYet(refusal, _retry_seconds(reply))
            raise refusal
        _note(api, reply, part)
        if reply.status_code != 206:
            part.size_bytes = 0
        with part.path.open("ab") as file:
            file.truncate(part.size_bytes)
            async for chunk in reply.aiter_raw():
                file.write(chunk)
                part.size_bytes += len(chunk)
                on_progress(f"fetched {decimal(part.size_bytes)}")
    return True


def _note(api: Api, reply: httpx.Response, part: _Part) -> None:
    """Note what the server says of the whole file."""
    # The server itself says it, and not the store to which it may have sent us.
    for one in (*reply.history, reply):
        match = _DIGEST.search(one.headers.get("repr-digest", ""))
        if match is not None:
            part.sha256 = base64.b64decode(match[1]).hex()
            part.etag = reply.headers.get("etag", "")
            return
    raise RemoteError(
        f"{api.server} does not say the digest of archives: it is no pullforge server, or an"
        " older one"
    )


def _verified(address: str, part: _Part) -> str:
    found = sha256_of(part.path)
    if found != part.sha256:
        raise RemoteError(
            f"the archive of {address} came as sha256:{found}, and is sha256:{part.sha256} as the"
            " server says: run it again"
        )
    return f"sha256:{found}"


def _retry_seconds(reply: httpx.Response) -> float:
    text = reply.headers.get("retry-after", "")
    seconds = int(text) if text.isascii() and text.isdigit() else _RETRY_SECONDS
    return min(seconds, _MAX_RETRY_SECONDS)
