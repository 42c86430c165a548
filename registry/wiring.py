"""Puts the service together from its settings: the one place that chooses drivers."""

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from builder.base_image import LAYOUT_SCHEME, BaseImages
from builder.compilers import Compilers
from builder.contents_cache import ContentsCache
from builder.image_name import NameDefaults
from builder.install.canary import differing_encoders
from builder.layer_cache import LayerCache
from builder.packages import Packages
from builder.pipeline import Pipeline
from builder.platforms import Subdir
from builder.ports import BuildMetrics
from builder.resolver import Resolver
from builder.solve import Solver
from builder.spec import Channel, VirtualPackage
from registry.builds.images import ImageBuilds
from registry.builds.processes import LocalProcesses
from registry.content.blobs import Blobs
from registry.content.manifests import Manifests
from registry.pulls import ImagePulls
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from registry.storage.probe import check_store
from registry.telemetry import Metrics
from registry.web.services import Services

_HOST_SUBDIRS: Final[dict[str, Subdir]] = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}


@dataclass(frozen=True, slots=True)
class Builder:
    """What turns names into images, with or without a server around it."""

    store: FilesystemStore
    resolver: Resolver
    pipeline: Pipeline
    workers: LocalProcesses


@asynccontextmanager
async def open_builder(settings: Settings, metrics: BuildMetrics) -> AsyncIterator[Builder]:
    """Give a builder over the settings' store; everything it started has ended on exit."""
    scratch = settings.scratch or settings.store / ".scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    timeout = httpx.Timeout(30, read=settings.download_timeout_seconds)
    async with AsyncExitStack() as stack:
        store = FilesystemStore(settings.store)
        stack.callback(store.close)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=timeout))
        workers = LocalProcesses(settings.workers or os.cpu_count() or 1)
        stack.callback(workers.close)
        packages = Packages(
            store,
            http,
            scratch,
            metrics,
            allowed_hosts={urlsplit(url).netloc for url in settings.channels.values()},
            max_size_bytes=settings.max_package_bytes,
        )
        stack.push_async_callback(packages.close)
        solver = Solver(
            scratch / "repodata",
            timeout_seconds=settings.solve_timeout_seconds,
            repodata_ttl_seconds=settings.repodata_ttl_seconds,
        )
        stack.push_async_callback(solver.close)
        bases = BaseImages(store, http, scratch, _layout(settings.base))
        compilers = Compilers(solver, packages, workers, scratch / "compilers", _host_subdir())
        stack.push_async_callback(compilers.close)
        contents = ContentsCache(store, packages, workers)
        stack.push_async_callback(contents.close)
        layers = LayerCache(store, packages, workers, scratch, metrics)
        stack.push_async_callback(layers.close)
        pipeline = Pipeline(store, bases, contents, layers, compilers, settings.sandbox)
        resolver = Resolver(name_defaults(settings), solver, bases, compilers, metrics)
        yield Builder(store, resolver, pipeline, workers)


def name_defaults(settings: Settings) -> NameDefaults:
    """Return what names mean beyond what they say, as the administrator set it."""
    return NameDefaults(
        channels=tuple(Channel(name, url) for name, url in settings.channels.items()),
        default_channels=tuple(settings.default_channels),
        platforms=tuple(settings.platforms),
        virtual_packages=(
            VirtualPackage("__glibc", settings.glibc),
            VirtualPackage("__linux", settings.linux),
            VirtualPackage("__unix", "0"),
        ),
        base=settings.base,
    )


def _layout(base: str) -> Path | None:
    return Path(base.removeprefix(LAYOUT_SCHEME)) if base.startswith(LAYOUT_SCHEME) else None


def _host_subdir() -> Subdir:
    return _HOST_SUBDIRS[platform.machine()]


@asynccontextmanager
async def open_services(
    settings: Settings, *, now: Callable[[], float] = time.time
) -> AsyncIterator[Services]:
    """Give everything the faces of the server need; all of it has ended on exit."""
    _warn_of_other_encoders()
    metrics = Metrics()
    async with open_builder(settings, metrics) as builder, AsyncExitStack() as stack:
        loading = asyncio.create_task(builder.workers.start())
        stack.callback(loading.cancel)
        manifests = Manifests(builder.store)
        builds = ImageBuilds(
            builder.store, builder.resolver, builder.pipeline, builder.workers, now
        )
        stack.push_async_callback(builds.close)
        pulls = ImagePulls(
            builder.store,
            manifests,
            builder.resolver,
            builds,
            metrics,
            now=now,
            latest_ttl_seconds=settings.latest_ttl_seconds,
            error_ttl_seconds=settings.error_ttl_seconds,
        )
        stack.push_async_callback(pulls.close)
        yield Services(
            pulls,
            manifests,
            Blobs(builder.store),
            metrics,
            checks={"store": lambda: check_store(builder.store)},
        )


def _warn_of_other_encoders() -> None:
    """Say in the log if layers made on this machine would have digests of their own."""
    differing = differing_encoders()
    if differing:
        structlog.get_logger().warning(
            "this machine compresses otherwise than others: do not share its store",
            encodings=differing,
        )
