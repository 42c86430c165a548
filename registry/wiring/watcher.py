"""What looks at sources: directories of this machine, and repositories that it fetches."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import structlog

from builder.fetch.channel_credentials import ChannelCredentials, read_credentials
from builder.network.forwarding import open_forwarding
from registry.catalog.follower import server_name
from registry.catalog.services import CatalogServices
from registry.catalog.source_records import NewSource, SourceRecord
from registry.catalog.source_shape import is_trusted_location
from registry.catalog.sources import Sources
from registry.errors import DatabaseUnavailable, RegistryError
from registry.maintenance.periodic import PeriodicJob, run_forever
from registry.settings import Settings, WatchedPath
from registry.telemetry import Metrics
from registry.watcher.directories import DirectoryTree, root_name
from registry.watcher.git import GitTree, Slots
from registry.watcher.git_program import Repository
from registry.watcher.source_task import Watched
from registry.watcher.watcher import Watcher
from registry.wiring.database import database_url
from registry.wiring.network import hosts_of, network_of
from registry.wiring.stores import scratch_of

_log = structlog.get_logger("registry.watcher")

#: How long is waited for a database that does not answer when sources are declared.
_PAUSE_SECONDS: Final = 2.0
#: How many repositories are fetched at once.
_FETCHES: Final = 4
_SWEEP_SECONDS: Final = 3600
#: What cannot be looked at is tried so often before anybody is told: networks fail, and directories
#: are replaced.
_TRIES: Final = 2
#: How often metrics are told how sources are.
_HEALTH_SECONDS: Final = 15.0


@asynccontextmanager
async def open_watcher(
    settings: Settings, catalog: CatalogServices, metrics: Metrics
) -> AsyncIterator[None]:
    """Have sources looked at until the exit; those that the settings name are declared first."""
    credentials = read_credentials(settings.channel_credentials)
    async with open_forwarding(hosts_of(settings), tls_alone=True) as forwarding:
        trees = _Trees(settings, network_of(forwarding), credentials)
        watcher = Watcher(
            catalog.sources,
            catalog.source_files,
            trees.watched_as,
            server_name(),
            lambda: datetime.now(UTC),
            catalog.follower.changed,
        )

        async def tell_health() -> None:
            metrics.sources(*await catalog.sources.health())

        health = PeriodicJob("sources", _HEALTH_SECONDS, tell_health)
        tasks = [
            asyncio.create_task(_declare(settings.watch, catalog.sources)),
            asyncio.create_task(watcher.run()),
            asyncio.create_task(trees.sweep(catalog.sources)),
            asyncio.create_task(run_forever([health])),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Trees:
    """Says how sources are looked at."""

    def __init__(
        self, settings: Settings, network: Mapping[str, str], credentials: ChannelCredentials
    ) -> None:
        self._settings = settings
        self._network = network
        self._credentials = credentials
        self._kept = scratch_of(settings).absolute() / "sources"
        self._slots = Slots(_FETCHES)

    def watched_as(self, source: SourceRecord) -> Watched:
        """Return how a source is looked at."""
        settings = self._settings
        if source.kind == "directory":
            path = Path(source.location)
            tree = DirectoryTree(path, settings.max_request_bytes)
            return Watched(
                tree,
                root_name(path),
                settings.watch_seconds,
                is_moving=True,
                tries=_TRIES,
                is_there=self._is_there(path),
            )
        repository = Repository(
            source.location,
            source.branch,
            source.folder,
            is_trusted=source.is_declared or is_trusted_location(_wanted(source)),
            authorization=_authorization(self._credentials, source.location),
        )
        name = source.folder.strip("/") or source.location.rstrip("/").removesuffix(".git")
        return Watched(
            GitTree(
                repository,
                self._kept / f"{source.id}.git",
                settings.max_request_bytes,
                self._network,
                self._slots,
            ),
            name.rpartition("/")[2],
            settings.git_seconds,
            is_moving=False,
            tries=_TRIES,
        )

    async def sweep(self, sources: Sources) -> None:
        """Remove what was fetched of repositories that are no sources any more; until cancelled."""
        while True:
            with suppress(DatabaseUnavailable, OSError):
                known = {f"{source.id}.git" for source in await sources.watched()}
                await asyncio.to_thread(_remove_others, self._kept, known)
            await asyncio.sleep(_SWEEP_SECONDS)

    def _is_there(self, path: Path) -> Callable[[], Awaitable[bool]] | None:
        if (database_url(self._settings) or "").startswith("sqlite"):
            return None  # there is no other server
        # One of its own: the other may be at work.
        return DirectoryTree(path, self._settings.max_request_bytes).is_there


async def _declare(watched: list[WatchedPath], sources: Sources) -> None:
    for one in watched:
        path = one.path.expanduser().absolute()
        wanted = NewSource(
            name=one.called,
            kind="directory",
            location=str(path),
            namespace=one.namespace,
            patterns=None if one.patterns is None else tuple(one.patterns),
            removed=one.removed,
            edits=one.edits,
            activate=one.activate,
        )
        while True:
            try:
                await sources.declare(wanted)
            except DatabaseUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            except RegistryError as exc:
                _log.error(
                    "failed to declare a source of PULLFORGE_WATCH",
                    path=str(path),
                    why=exc.message,
                )
            break


def _remove_others(kept: Path, known: Collection[str]) -> None:
    for directory in kept.glob("*.git"):
        if directory.name not in known:
            shutil.rmtree(directory, ignore_errors=True)


def _authorization(credentials: ChannelCredentials, url: str) -> str:
    """Return what the host of a repository is sent; a token of conda's addresses is none."""
    request = httpx.Request("GET", url)
    flow = credentials.auth_flow(request)
    next(flow)
    flow.close()
    return str(request.headers.get("Authorization", ""))


def _wanted(source: SourceRecord) -> NewSource:
    return NewSource(source.name, source.kind, source.location, source.namespace)
