"""Getting files of a build: in a stream, gone on with where it broke off, and verified."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx

from registry.cli.api import PREFIX, Api, Refused, etag_of, silent
from registry.cli.received import TooLarge, received
from registry.cli.remote import RemoteError

#: How often a download that breaks off is gone on with, as long as nothing more comes, and after
#: which pause the first time; each is twice as long as the one before.
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 1.0
#: How often a file is asked for that is still being made: each time the server waits minutes.
_ROUNDS: Final = 10
_RETRY_SECONDS: Final = 5.0
_MAX_RETRY_SECONDS: Final = 60.0
_CHUNK_BYTES: Final = 1024 * 1024
#: Of a sentence that says why there is no file.
_MAX_REFUSAL_BYTES: Final = 1024 * 1024
#: A connection that is slower than this for long is given up: it is no better than a broken one.
_LEAST_BYTES_PER_SECOND: Final = 20_000
_PATIENCE_SECONDS: Final = 120.0
#: RFC 9530: what the whole file is, also where a part of it is answered.
_DIGEST: Final = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file is to be."""

    #: The most that it may have.
    max_bytes: int
    #: ``None``: what the server says that it is.
    sha256: str | None = None
    #: ``None``: any up to the most.
    size_bytes: int | None = None


async def download(
    api: Api,
    address: str,
    query: Mapping[str, str],
    to: Path,
    expected: Expected,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Write a file of a build to ``to``, which is made anew; as :func:`download_into`."""
    with to.open("wb") as file:
        await download_into(file, api, address, query, expected, on_progress)


async def download_into(
    file: IO[bytes],
    api: Api,
    address: str,
    query: Mapping[str, str],
    expected: Expected,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Write a file of a build into ``file``, verified.

    What breaks off is gone on with where it broke off. What is written after an error is of no use.

    Args:
        file: Can be sought in, and is written from its beginning.
        api: The server.
        address: Below ``/api/v1``.
        query: Its parameters.
        expected: What it is to be.
        on_progress: Is told how many bytes have come.

    Raises:
        Refused: There is no such file, or one may not have it.
        Unreachable: The server does not answer.
        RemoteError: What comes is not what it is to be.
        OSError: The file cannot be written.
    """
    lost = rounds = 0
    part = _Part(file, expected, on_progress)
    while True:
        before = part.size_bytes
        try:
            await _go_on(api, address, query, part)
        except httpx.TooManyRedirects as exc:
            raise RemoteError(
                f"{api.server} only sends elsewhere: it is no pullforge server"
            ) from exc
        except (httpx.HTTPError, TimeoutError) as exc:
            lost = 1 if part.size_bytes > before else lost + 1
            # One that was there a moment ago may be about to start anew.
            is_away = isinstance(exc, httpx.ConnectError) and not part.size_bytes
            if lost == _ATTEMPTS or is_away:
                raise silent(api.server, exc) from exc
            await asyncio.sleep(_PAUSE_SECONDS * 2 ** (lost - 1))
        except _NotYet as wait:
            rounds += 1
            if rounds == _ROUNDS:
                raise wait.refusal from None
            await asyncio.sleep(wait.seconds)
        else:
            part.verify(api.server, address)
            return


class _NotYet(Exception):
    """The file is still being made."""

    def __init__(self, refusal: Refused, seconds: float) -> None:
        super().__init__()
        self.refusal = refusal
        self.seconds = seconds


class _Part:
    """As much of a file as has come."""

    def __init__(
        self, file: IO[bytes], expected: Expected, on_progress: Callable[[int], None] | None
    ) -> None:
        self._file = file
        self._on_progress = on_progress
        self.expected = expected
        self.sha256 = expected.sha256 or ""
        #: Stands for the bytes that have come; empty: they cannot be gone on with.
        self.etag = ""
        self.begin()

    def begin(self) -> None:
        """Forget what has come."""
        self._file.seek(0)
        self._file.truncate()
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes | bytearray) -> None:
        """Write what comes next."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def tell(self) -> None:
        """Say how much has come."""
        if self._on_progress is not None:
            self._on_progress(self.size_bytes)

    def verify(self, server: str, address: str) -> None:
        """Refuse what is not what it is to be.

        Raises:
            RemoteError: It is something else.
        """
        self._file.flush()
        found = self._hash.hexdigest()
        if self.expected.size_bytes not in {None, self.size_bytes} or found != self.sha256:
            raise RemoteError(
                f"{server} gave {self.size_bytes} bytes with sha256:{found} for {address}, which"
                f" is sha256:{self.sha256}: something on the way changes files"
            )


async def _go_on(api: Api, address: str, query: Mapping[str, str], part: _Part) -> None:
    """Get all that is missing.

    Raises:
        HTTPError: It broke off.
        TimeoutError: It is too slow.
    """
    headers = {"accept-encoding": "identity"}
    if part.size_bytes and part.etag:
        headers |= {"range": f"bytes={part.size_bytes}-", "if-range": part.etag}
    size_bytes = part.expected.size_bytes or part.expected.max_bytes
    patience = _PATIENCE_SECONDS + size_bytes / _LEAST_BYTES_PER_SECOND
    async with (
        asyncio.timeout(patience),
        # A store in S3 has the bytes come from elsewhere; who waits for one is sent here again.
        api.http.stream(
            "GET",
            f"{api.server}{PREFIX}/{address}",
            params=dict(query),
            headers=headers,
            follow_redirects=True,
        ) as reply,
    ):
        if not reply.is_success:
            await _refuse(api, reply, part)
            return
        if reply.status_code != 206 or not _goes_on(reply, part):
            part.begin()
        _note(api, reply, part)
        came = bytearray()
        try:
            async for chunk in reply.aiter_raw():
                came += chunk
                if part.size_bytes + len(came) > size_bytes:
                    raise RemoteError(
                        f"{api.server} gives more than the {size_bytes} bytes that {address} may"
                        " have"
                    )
                if len(came) >= _CHUNK_BYTES:
                    whole, came = came, bytearray()
                    # Hashing 1 MiB takes a millisecond, and other downloads go on meanwhile.
                    await asyncio.to_thread(part.add, whole)
                    part.tell()
        finally:
            # Also what has come before it broke off.
            part.add(came)


async def _refuse(api: Api, reply: httpx.Response, part: _Part) -> None:
    """Raise what an answer says that is an error; all may have come, too.

    Raises:
        Refused: It cannot be had.
        _NotYet: It can be had later.
    """
    if reply.status_code == 416 and part.size_bytes:
        return
    try:
        whole = await received(reply, _MAX_REFUSAL_BYTES)
    except TooLarge:  # nothing of ours is so long
        whole = httpx.Response(reply.status_code)
    refusal = api.refusal(whole)
    if refusal.status in {429, 503} and refusal.code:
        raise _NotYet(refusal, _retry_seconds(reply))
    raise refusal


def _goes_on(reply: httpx.Response, part: _Part) -> bool:
    """Tell whether a part of a file begins where the last one broke off."""
    part_of = str(reply.headers.get("content-range", ""))
    return part_of.startswith(f"bytes {part.size_bytes}-")


def _note(api: Api, reply: httpx.Response, part: _Part) -> None:
    """Note what the server says of the whole file.

    Raises:
        RemoteError: It does not say its digest, which nobody else knows.
    """
    part.etag = etag_of(reply)
    if part.expected.sha256 is not None:
        return
    # The server itself says it, and not the store to which it may have sent us.
    for one in (*reply.history, reply):
        match = _DIGEST.search(one.headers.get("repr-digest", ""))
        if match is not None:
            part.sha256 = base64.b64decode(match[1]).hex()
            return
    raise RemoteError(
        f"{api.server} does not say the digest of its files: it is no pullforge server, or an older"
        " one"
    )


def _retry_seconds(reply: httpx.Response) -> float:
    text = reply.headers.get("retry-after", "")
    seconds = float(text) if text.isascii() and text.isdigit() else _RETRY_SECONDS
    return min(seconds, _MAX_RETRY_SECONDS)
