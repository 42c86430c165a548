"""Package archives and wheels: downloaded once, verified, kept in the store."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from builder.concurrency.priority import PrioritySemaphore
from builder.concurrency.single_flight import SingleFlight, together
from builder.errors import CorruptPackage, PackageUnavailable, UnsafePackage
from builder.fetch.channel_credentials import SETTING, ChannelCredentials
from builder.fetch.saving import save
from builder.keys import package_key
from builder.network.hosts import RefusedHost
from builder.network.mirrors import NO_MIRRORS, Mirrors
from builder.ports import BuildMetrics, Store
from builder.records import ArchiveRecord, PackageRecord, WheelRecord

Result = TypeVar("Result")

_CHUNK: Final = 1024 * 1024
_ATTEMPTS: Final = 3
#: Statuses after which the same request may succeed a moment later.
_RETRIED: Final = frozenset({429, 500, 502, 503, 504})
#: A host that wants to be left alone for longer is not waited for.
_LONGEST_PAUSE_SECONDS: Final = 30


class Packages:
    """Gives package archives and wheels as local files.

    Args:
        store: Where archives are kept.
        http: For downloads; its timeouts bound every wait.
        scratch: A directory for downloads under way.
        metrics: Counts downloads.
        allowed_hosts: Hosts that packages may come from, with the port where there is one;
            ``""`` allows ``file://``. Of a channel that has a mirror, it is the mirror's.
        wheel_hosts: The same for wheels.
        max_size_bytes: The largest archive to accept.
        credentials: What private channels ask for; wheels are asked for without.
        mirrors: Where channels are fetched from.
        parallel: How many downloads run at once.
        retry_seconds: How long to wait before the second try; the third waits twice that.
    """

    def __init__(
        self,
        store: Store,
        http: httpx.AsyncClient,
        scratch: Path,
        metrics: BuildMetrics,
        *,
        allowed_hosts: Collection[str],
        wheel_hosts: Collection[str],
        max_size_bytes: int,
        credentials: ChannelCredentials | None = None,
        mirrors: Mirrors = NO_MIRRORS,
        parallel: int = 8,
        retry_seconds: float = 1,
    ) -> None:
        self._store = store
        self._http = http
        self._scratch = scratch
        self._metrics = metrics
        self._allowed_hosts = frozenset(allowed_hosts)
        self._wheel_hosts = frozenset(wheel_hosts)
        self._max_size_bytes = max_size_bytes
        self._credentials = credentials or ChannelCredentials()
        self._mirrors = mirrors
        self._retry_seconds = retry_seconds
        self._slots = PrioritySemaphore(parallel)
        self._flights: SingleFlight[Path] = SingleFlight()

    async def archive(self, record: ArchiveRecord) -> Path:
        """Return a file with the archive of ``record``, downloaded if it is not in the store.

        However many ask at once, it is downloaded once. What the file holds has the record's
        sha256.

        Raises:
            PackageUnavailable: Its host does not answer, or does not have it any more.
            CorruptPackage: Its host has other bytes than the record says.
            UnsafePackage: It is too large, or lies on a host that is not allowed.
        """
        return await self._flights.run(record.sha256, lambda: self._archive(record))

    async def use(
        self, records: Sequence[ArchiveRecord], work: Callable[[list[Path]], Awaitable[Result]]
    ) -> Result:
        """Return what ``work`` makes of the archives, which are in the order of ``records``.

        An archive that is evicted before ``work`` opens it is downloaded, which makes it too new to
        be evicted again, and ``work`` is repeated.

        Raises:
            PackageError: As :meth:`archive`.
            Exception: Whatever ``work`` raised.
        """
        for _ in range(_ATTEMPTS - 1):
            paths = await together(self.archive(record) for record in records)
            try:
                return await work(paths)
            except FileNotFoundError as exc:
                if exc.filename not in {str(path) for path in paths}:
                    raise
        return await work(await together(self.archive(record) for record in records))

    async def sums(self, record: PackageRecord) -> tuple[str, str]:
        """Return sha256 and md5 of an archive of which the channel gives at most one.

        It is downloaded if it is not in the store, verified by what is known, and kept.

        Raises:
            PackageError: As :meth:`archive`.
        """
        if record.sha256:
            md5 = await self.use([record], lambda paths: asyncio.to_thread(_md5_of, paths[0]))
            return record.sha256, md5
        self._check(record)
        async with self._slots.slot():
            return await self._download(record)

    async def close(self) -> None:
        """Cancel the running downloads and wait for them to end."""
        await self._flights.close()

    async def _archive(self, record: ArchiveRecord) -> Path:
        key = package_key(record.sha256)
        kept = await self._store.local_path(key, self._scratch)
        if kept is not None:
            return kept
        self._check(record)
        async with self._slots.slot():
            await self._download(record)
        kept = await self._store.local_path(key, self._scratch)
        if kept is None:
            raise PackageUnavailable(
                f"the store lost {record.file_name} right after its download; pull again"
            )
        return kept

    def _check(self, record: ArchiveRecord) -> None:
        allowed, place = self._allowed_hosts, "the host of a channel of this server"
        if isinstance(record, WheelRecord):
            allowed, place = self._wheel_hosts, "a host that this server takes wheels from"
        host = urlsplit(self._address(record)).netloc
        if isinstance(record, PackageRecord) and record.channel:
            # The channel's index says that it lies there: whoever made the record has seen that.
            channel = urlsplit(self._mirrors.address(record.channel))
            host = "a file" if not host and channel.netloc else channel.netloc
        if host not in allowed:
            raise UnsafePackage(f"{record.file_name} lies on '{host}', which is not {place}")
        if record.size_bytes > self._max_size_bytes:
            raise UnsafePackage(
                f"{record.file_name} has {record.size_bytes} bytes; this server accepts packages"
                f" up to {self._max_size_bytes}"
            )

    async def _download(self, record: ArchiveRecord) -> tuple[str, str]:
        """Put the archive into the store; return its sha256 and md5."""
        path = self._scratch / f"package-{secrets.token_hex(8)}"
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    size_bytes, sha256, md5 = await self._fetch(record, path)
                except RefusedHost as exc:
                    raise UnsafePackage(
                        f"{record.file_name} cannot be downloaded: {self._source(record)} {exc}"
                    ) from exc
                except httpx.HTTPError as exc:
                    pause_seconds = _retry_after(exc) or attempt * self._retry_seconds
                    too_long = pause_seconds > _LONGEST_PAUSE_SECONDS
                    if attempt == _ATTEMPTS or too_long or not _may_pass(exc):
                        # What a status error says has the address, and a redirect may hold a token.
                        said = None if isinstance(exc, httpx.HTTPStatusError) else exc
                        raise self._unavailable(record, exc) from said
                    await asyncio.sleep(pause_seconds)
                else:
                    break
            await self._store.adopt(package_key(sha256), path)
        finally:
            path.unlink(missing_ok=True)
        self._metrics.downloaded(size_bytes)
        return sha256, md5

    async def _fetch(self, record: ArchiveRecord, path: Path) -> tuple[int, str, str]:
        """Write the right archive to ``path``; return its size, sha256 and any md5 checked."""
        sha256, md5 = hashlib.sha256(), _md5()
        hashes = [sha256] if record.sha256 else [sha256, md5]
        limit = record.size_bytes or self._max_size_bytes
        seen = await save(self._bytes(record), path, hashes, max_bytes=limit)
        kind, promised, found = "sha256", record.sha256, sha256.hexdigest()
        if not promised and isinstance(record, PackageRecord):
            kind, promised, found = "md5", record.md5, md5.hexdigest()
        if promised and found != promised:
            raise CorruptPackage(
                f"{record.file_name} is damaged: {self._source(record)} sent {seen} bytes that do"
                f" not have the {kind} {_promise(record)}"
            )
        if not promised and record.size_bytes not in {0, seen}:
            raise CorruptPackage(
                f"{record.file_name} is damaged: {self._source(record)} sent {seen} bytes, and not"
                f" the {record.size_bytes} {_promise(record)}"
            )
        return seen, sha256.hexdigest(), md5.hexdigest()

    async def _bytes(self, record: ArchiveRecord) -> AsyncIterator[bytes]:
        url = self._address(record)
        if url.startswith("file://"):
            path = Path(unquote(urlsplit(url).path))
            try:
                with path.open("rb") as file:
                    while chunk := await asyncio.to_thread(file.read, _CHUNK):
                        yield chunk
            except FileNotFoundError as exc:
                raise PackageUnavailable(
                    f"{path.name} is not in the directory of its channel any more"
                ) from exc
            return
        # Archives are compressed already; a server that compresses again only costs time.
        headers = {"Accept-Encoding": "identity"}
        auth = None if isinstance(record, WheelRecord) else self._credentials
        async with self._http.stream(
            "GET", url, headers=headers, auth=auth, follow_redirects=True
        ) as response:
            response.raise_for_status()
            # Not aiter_bytes(_CHUNK), which copies everything twice to cut it.
            pieces: list[bytes] = []
            size = 0
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size >= _CHUNK:
                    yield b"".join(pieces)
                    pieces, size = [], 0
            yield b"".join(pieces)

    def _unavailable(self, record: ArchiveRecord, error: httpx.HTTPError) -> PackageUnavailable:
        if isinstance(error, RefusedHost):
            return PackageUnavailable(f"{record.file_name} cannot be downloaded: {error}")
        reason = "does not answer"
        if isinstance(error, httpx.TooManyRedirects):
            reason = f"redirects more than {self._http.max_redirects} times"
        if isinstance(error, httpx.HTTPStatusError):
            status = error.response.status_code
            reason = f"answered {status} for it"
            is_private = status in {401, 403} and not error.response.history
            if is_private and self._credentials.knows(error.request.url.host):
                reason += f", with the credentials that {SETTING} has for its host"
        return PackageUnavailable(
            f"{record.file_name} cannot be downloaded: {self._source(record)} {reason}; pull again"
            " later"
        )

    def _address(self, record: ArchiveRecord) -> str:
        """Return where an archive is fetched from; wheels have no mirrors."""
        return record.url if isinstance(record, WheelRecord) else self._mirrors.fetched(record.url)

    def _source(self, record: ArchiveRecord) -> str:
        """Return who has the archive: a channel's address, or a wheel's host."""
        if isinstance(record, WheelRecord):
            return urlsplit(record.url).netloc or "the local index"
        return self._mirrors.told(record.channel_url, record.url)


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def _may_pass(error: httpx.HTTPError) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        response = error.response
        # A store that was sent to: the address was signed for a while, and the next one is new.
        expired = bool(response.history) and response.status_code in {401, 403}
        return expired or response.status_code in _RETRIED
    return isinstance(error, httpx.TransportError)


def _retry_after(error: httpx.HTTPError) -> int:
    """Return the seconds of the host's ``Retry-After``; 0 without one."""
    if not isinstance(error, httpx.HTTPStatusError):
        return 0
    text = error.response.headers.get("retry-after", "")
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else 0


def _promise(record: ArchiveRecord) -> str:
    if isinstance(record, WheelRecord):
        return "that is locked; lock the environment again"
    return "its index promises; tell the channel's owner"
