"""What turns names into images, with or without a server around it."""

import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    closing,
)
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import structlog

from builder.build.activation_cache import ActivationCache
from builder.build.contents_cache import ContentsCache
from builder.build.interpreters import CompilingPythons
from builder.build.layer_cache import LayerCache, Layers
from builder.build.pipeline import Pipeline
from builder.errors import SandboxUnavailable
from builder.exports import Exports
from builder.exports.exports import BuildImage, MakeForm
from builder.fetch.base_image import LAYOUT_SCHEME, BaseImages
from builder.fetch.channel_credentials import read_credentials
from builder.fetch.packages import Packages
from builder.image_name import EnvironmentPolicy
from builder.network.content_encoding import refuse_encodings
from builder.network.forwarding import open_forwarding
from builder.network.hosts import guard
from builder.network.index_limits import IndexLimits
from builder.network.mirrors import Mirrors
from builder.platforms import OF_MACHINES, Subdir
from builder.policy import DEFAULT_VIRTUAL_PACKAGES
from builder.ports import BuildMetrics, Store, Workers
from builder.pypi import Pypi, Uv
from builder.resolve.checksums import Sums
from builder.resolve.resolver import Resolver
from builder.resolve.wheels import WheelResolver
from builder.sandbox.sandbox import Sandbox
from builder.solve import Solver
from builder.spec import Channel, VirtualPackage
from registry.auth.authorities import trusted_authorities
from registry.content.bases import HeldBases
from registry.content.manifests import Manifests
from registry.content.repositories import Repositories
from registry.images.processes import LocalProcesses
from registry.images.traced import watch_layers
from registry.settings import Settings
from registry.storage.scratch import open_scratch
from registry.telemetry import NO_TRACES, Traces
from registry.wiring.network import child_environment, hosts_of, indexes, network_of

if TYPE_CHECKING:
    from registry.jobs.connection import Tasks
from registry.wiring.stores import open_store, scratch_of


@dataclass(frozen=True, slots=True)
class Builder:
    """What turns names into images, with or without a server around it."""

    store: Store
    manifests: Manifests
    repositories: Repositories
    #: What the server offers.
    policy: EnvironmentPolicy
    solver: Solver
    resolver: Resolver
    pipeline: Pipeline
    layers: LayerCache
    packages: Packages
    bases: BaseImages
    workers: Workers
    #: Gives what code of packages runs in; raises ``SandboxUnavailable`` where nothing works.
    sandbox: Callable[[], Awaitable[Sandbox]]
    #: A directory for what is being received; gone at the end.
    scratch: Path
    #: Gives forms of locks, from what makes images, and what makes forms elsewhere, if anything.
    forms: Callable[[BuildImage, MakeForm | None], Exports]


@asynccontextmanager
async def open_builder(
    settings: Settings,
    metrics: BuildMetrics,
    *,
    workers: Workers | None = None,
    tasks: "Tasks | None" = None,
    traces: Traces = NO_TRACES,
) -> AsyncIterator[Builder]:
    """Give a builder over the settings' store; everything it started has ended on exit.

    Args:
        settings: All of them.
        metrics: Counts.
        workers: Compute; ``None`` for processes of its own.
        tasks: By which layers are assembled elsewhere; ``None``: here.
        traces: Records what is done.
    """
    kept = scratch_of(settings)
    credentials = read_credentials(settings.channel_credentials)
    timeout = httpx.Timeout(30, read=settings.download_timeout_seconds)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, settings.store))
        scratch = await stack.enter_async_context(open_scratch(kept))
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                timeout=timeout,
                verify=trusted_authorities(),
                event_hooks={"response": [refuse_encodings]},
            )
        )
        mirrors = Mirrors(tuple(settings.mirrors.items()))
        hosts = hosts_of(settings)
        guard(http, hosts)
        tls_alone = not any(url.startswith("http:") for url in indexes(settings))
        forwarding = await stack.enter_async_context(open_forwarding(hosts, tls_alone=tls_alone))
        network = network_of(forwarding)
        if workers is None:
            workers = stack.enter_context(closing(local_processes(settings)))
        packages = Packages(
            store,
            http,
            scratch,
            metrics,
            allowed_hosts={urlsplit(url).netloc for url in settings.mirrors.values()},
            wheel_hosts=settings.pypi_hosts if settings.pypi else (),
            max_size_bytes=settings.max_package_bytes,
            credentials=credentials,
            mirrors=mirrors,
        )
        stack.push_async_callback(packages.close)
        sums = Sums(store, packages)
        stack.push_async_callback(sums.close)
        solver = Solver(
            kept / "repodata",
            timeout_seconds=settings.solve_timeout_seconds,
            repodata_ttl_seconds=settings.repodata_ttl_seconds,
            limits=_index_limits(settings),
            complete=sums.complete,
            credentials=credentials,
            environment=child_environment(network),
            mirrors=mirrors,
        )
        stack.push_async_callback(solver.close)
        manifests = Manifests(store)
        repositories = Repositories(store, manifests, sparse=settings.sparse_manifests)
        pushed = HeldBases(store, repositories)
        bases = BaseImages(
            store,
            http,
            scratch,
            _layout(settings.base),
            pushed,
            max_layer_bytes=settings.max_blob_bytes,
        )
        compilers = CompilingPythons(
            solver, packages, workers, kept / "compilers", host_subdir(), settings.sandbox
        )
        stack.push_async_callback(compilers.close)
        contents = ContentsCache(store, packages, workers)
        stack.push_async_callback(contents.close)
        layers = LayerCache(
            store,
            packages,
            workers,
            compilers.compiler,
            scratch,
            metrics,
            watch_layers(traces, "here"),
        )
        stack.push_async_callback(layers.close)
        made: Layers = layers
        if tasks is not None:
            made = elsewhere = tasks.layers(layers, watch_layers(traces, "elsewhere"))
            stack.push_async_callback(elsewhere.close)
        activations = ActivationCache(
            store, workers, compilers.sandbox, scratch, max(1, _processors(settings) // 2)
        )
        stack.push_async_callback(activations.close)
        pipeline = Pipeline(store, bases, contents, made, compilers, activations)
        wheels = (
            WheelResolver(contents, _pypi(settings, scratch, network)) if settings.pypi else None
        )
        resolver = Resolver(solver, bases, compilers, metrics, wheels)

        def forms(build: BuildImage, make: MakeForm | None) -> Exports:
            return Exports(store, pipeline, contents, packages, workers, scratch, build, make)

        yield Builder(
            store=store,
            manifests=manifests,
            repositories=repositories,
            policy=environment_policy(settings),
            solver=solver,
            resolver=resolver,
            pipeline=pipeline,
            layers=layers,
            packages=packages,
            bases=bases,
            workers=workers,
            sandbox=compilers.sandbox,
            scratch=scratch,
            forms=forms,
        )


async def tell_of_sandbox(builder: Builder) -> None:
    """Say in the log what code of packages will run in, or that nothing works here."""
    log = structlog.get_logger()
    try:
        sandbox = await builder.sandbox()
    except SandboxUnavailable as exc:
        log.error("no sandbox works here: nothing can be compiled", reason=exc.message)  # noqa: TRY400
    else:
        log.info("code of packages runs in a sandbox", kind=sandbox.kind)


def environment_policy(settings: Settings) -> EnvironmentPolicy:
    """Return what names mean beyond what they say, as the administrator set it."""
    return EnvironmentPolicy(
        channels=tuple(Channel(name, url) for name, url in settings.channel_urls.items()),
        default_channels=tuple(settings.default_channels),
        platforms=tuple(settings.platforms),
        virtual_packages=virtual_packages(settings),
        base=settings.base,
        user=settings.user or "",
        bases=tuple(settings.bases),
        pypi=settings.pypi,
        wheel_hosts=tuple(settings.pypi_hosts) if settings.pypi else (),
        mirrors=Mirrors(tuple(settings.mirrors.items())),
    )


def virtual_packages(settings: Settings) -> tuple[VirtualPackage, ...]:
    """Return what every image offers, sorted; what the administrator names comes last and wins."""
    found = {(package.name, package.platform): package for package in DEFAULT_VIRTUAL_PACKAGES}
    for platform_, build in settings.archspec.items():
        found["__archspec", platform_] = VirtualPackage("__archspec", "1", build, platform_)
    named = {"__glibc": settings.glibc, "__linux": settings.linux, **settings.virtual_packages}
    for name, text in named.items():
        version, _, build = text.partition(" ")
        found = {key: package for key, package in found.items() if key[0] != name}
        found[name, None] = VirtualPackage(name, version, build or "0")
    return tuple(sorted(found.values(), key=lambda package: (package.name, package.platform or "")))


def local_processes(settings: Settings) -> LocalProcesses:
    """Return processes of this one that compute."""
    return LocalProcesses(_processors(settings))


def _processors(settings: Settings) -> int:
    return settings.workers or os.cpu_count() or 1


def _pypi(settings: Settings, scratch: Path, network: Mapping[str, str]) -> Pypi:
    kept = scratch_of(settings) / "pypi"
    uv = Uv(
        settings.pypi_index,
        kept / "uv",
        environment=network,
        timeout_seconds=settings.solve_timeout_seconds,
        limits=_index_limits(settings),
    )
    return Pypi(uv, scratch, kept / "stubs", settings.pypi_hosts)


def _index_limits(settings: Settings) -> IndexLimits:
    return IndexLimits(
        settings.max_index_bytes, settings.index_cache_bytes, settings.index_memory_bytes
    )


def _layout(base: str) -> Path | None:
    return Path(base.removeprefix(LAYOUT_SCHEME)) if base.startswith(LAYOUT_SCHEME) else None


def host_subdir() -> Subdir:
    """Return what this machine's programs are."""
    return OF_MACHINES[platform.machine()]
