"""What a root asks of a server, by its API; implements :class:`registry.prefixes.server.Server`."""

import asyncio
import datetime
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from builder.install.prefix.installation import InstallationPlan, parse_installation
from builder.platforms import Subdir
from registry.cli.api import PREFIX, Api, Document, Refused, etag_of, silent
from registry.cli.download import Expected, download, download_into
from registry.cli.output import plain
from registry.cli.places import EnvironmentPlace
from registry.cli.received import TooLarge, received
from registry.cli.remote import RemoteError
from registry.errors import PrefixError, PrefixSourceUnavailable, PrefixUnusable
from registry.prefixes.server import Wanted, WantedVersion

#: A hundred thousand versions have 25 MB.
_MAX_WANTED_BYTES: Final = 128 * 2**20
_MAX_INSTALLATION_BYTES: Final = 64 * 2**20
_MAX_BYTECODE_BYTES: Final = 4 * 2**30
#: How often is asked again whose answer was lost on the way.
_ATTEMPTS: Final = 3
#: How much longer than asked for an answer may take.
_ANSWER_SECONDS: Final = 30.0
_KEY: Final = re.compile(r"[0-9a-f]{32}")
#: What is part of a path on disk is looked at once more, whatever the server says.
_NAME: Final = re.compile(r"[^/\0]{1,255}")
#: Answers that say nothing of one version: the next one would be answered so, too.
_OF_ALL: Final = frozenset({401, 429})


class BuildFiles:
    """What a prefix of one build is made of.

    All methods raise :class:`RemoteError` as :func:`registry.cli.download.download`.
    """

    def __init__(self, api: Api, address: str) -> None:
        self._api = api
        #: Of the build or version, below ``/api/v1``.
        self._address = address

    async def installation(self, key: str, subdir: Subdir) -> InstallationPlan:
        """Return what the build installs, whose key is known."""
        server = self._api.server
        file = io.BytesIO()
        await download_into(
            file,
            self._api,
            f"{self._address}/installation.json",
            {"platform": str(subdir)},
            Expected(_MAX_INSTALLATION_BYTES),
        )
        try:
            plan = await asyncio.to_thread(parse_installation, file.getvalue())
        except ValueError as exc:
            raise RemoteError(
                f"{server} says in another way what is installed ({plain(str(exc))}): update"
                " pullforge here, or there"
            ) from exc
        if plan.key != key or plan.subdir != subdir:
            raise RemoteError(f"{server} gives the packages of another build: it is broken")
        return plan

    async def package(
        self,
        sha256: str,
        size_bytes: int,
        to: Path,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Put the archive of a package at ``to``, verified."""
        address = f"{self._address}/packages/{sha256}"
        expected = Expected(size_bytes, sha256, size_bytes)
        await download(self._api, address, {}, to, expected, on_progress)

    async def bytecode(self, subdir: Subdir, to: Path) -> None:
        """Put the bytecode of its modules at ``to``, verified: a tar, compressed with zstd."""
        address = f"{self._address}/bytecode.tar.zst"
        query = {"platform": str(subdir)}
        await download(self._api, address, query, to, Expected(_MAX_BYTECODE_BYTES))


class ApiServer:
    """A server that is asked over HTTP.

    All methods raise :class:`PrefixSourceUnavailable` when the server does not answer, knows no
    such token or is no pullforge server, and those of one version :class:`PrefixUnusable` when the
    server cannot give what it is asked for.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def wanted(
        self, only: Sequence[str], versions: int | None, known: str | None, wait_seconds: float
    ) -> Wanted | None:
        """Return what is to be there, or ``None`` if it is still what ``known`` stands for."""
        # What nothing stands for is asked for anew.
        known = known or None
        headers = {"if-none-match": known} if known is not None else {}
        if wait_seconds and known is not None:
            headers["prefer"] = f"wait={round(wait_seconds)}"
        query = [("only", one) for one in only]
        query.append(("versions", "all" if versions is None else str(versions)))
        with _told():
            reply = await self._get("active-versions", query, headers, wait_seconds)
            if reply.status_code == 304 and known is not None:
                return None
            if reply.status_code != 200:
                raise RemoteError(
                    f"{self._api.server} answered {reply.status_code}: it is no pullforge server,"
                    " or something on the way changes answers"
                )
            document = self._api.document(reply)
            return Wanted(
                tuple(map(_version, document.objects("items"))),
                etag_of(reply),
                frozenset(document.words("blocked") if "blocked" in document else ()),
            )

    async def installation(self, version: WantedVersion, subdir: Subdir) -> InstallationPlan:
        """Return what a version installs."""
        with _told(version):
            return await self._files(version).installation(version.key, subdir)

    async def package(self, version: WantedVersion, sha256: str, size_bytes: int, to: Path) -> None:
        """Put the archive of a package of a version at ``to``, verified."""
        with _told(version):
            await self._files(version).package(sha256, size_bytes, to)

    async def bytecode(self, version: WantedVersion, subdir: Subdir, to: Path) -> None:
        """Put the bytecode of a version's modules at ``to``, verified."""
        with _told(version):
            await self._files(version).bytecode(subdir, to)

    def _files(self, version: WantedVersion) -> BuildFiles:
        place = EnvironmentPlace(None, version.namespace, version.environment)
        return BuildFiles(self._api, place.version(version.number))

    async def _get(
        self,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        wait_seconds: float,
    ) -> httpx.Response:
        """Return an answer that is no error, and not too large.

        Raises:
            RemoteError: There is none.
        """
        api, within = self._api, wait_seconds + _ANSWER_SECONDS
        url = httpx.URL(f"{api.server}{PREFIX}/{path}", params=query)
        timeout = httpx.Timeout(_ANSWER_SECONDS, read=within)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with (
                    asyncio.timeout(within + _ANSWER_SECONDS),
                    api.http.stream("GET", url, headers=headers, timeout=timeout) as reply,
                ):
                    whole = await received(reply, _MAX_WANTED_BYTES)
                    break
            except TooLarge as exc:
                raise RemoteError(
                    f"{api.server} tells of more than {_MAX_WANTED_BYTES // 2**20} MiB of versions:"
                    " choose with --only"
                ) from exc
            except (httpx.ReadError, httpx.RemoteProtocolError) as exc:
                # A connection that was kept open may be closed just when it is used again.
                if wait_seconds or attempt == _ATTEMPTS:
                    raise silent(api.server, exc) from exc
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
                raise silent(api.server, exc) from exc
        if whole.is_success or whole.status_code == 304:
            return whole
        raise api.refusal(whole)


def _version(item: Document) -> WantedVersion:
    """Return a version that a server tells of.

    Raises:
        RemoteError: It cannot be one.
    """
    namespace, environment = item.word("namespace"), item.word("environment")
    key, created = item.word("key"), item.word("created_at")
    if (
        not _NAME.fullmatch(namespace)
        or not _NAME.fullmatch(environment)
        or {namespace, environment} & {".", ".."}
        or not _KEY.fullmatch(key)
    ):
        raise RemoteError("the server tells of a version whose name or key cannot be one")
    try:
        moment = datetime.datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError) as exc:
        raise RemoteError("the server tells of a version made at no time") from exc
    return WantedVersion(
        namespace,
        environment,
        item.number("number"),
        key,
        item["is_active"] is True,
        moment,
    )


@contextmanager
def _told(version: WantedVersion | None = None) -> Iterator[None]:
    """Turn what can go wrong into the errors of a root.

    Raises:
        PrefixSourceUnavailable: It concerns all that is asked of the server.
        PrefixUnusable: It concerns ``version`` alone.
    """
    try:
        yield
    except RemoteError as exc:
        kind: type[PrefixError] = PrefixSourceUnavailable
        if (
            version is not None
            and isinstance(exc, Refused)
            and exc.code
            and exc.status not in _OF_ALL
        ):
            kind = PrefixUnusable
        raise kind(str(exc)) from exc
