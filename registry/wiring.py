"""Puts the service together from its settings: the one place that chooses drivers."""

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    closing,
)
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx
import structlog

from builder.base_image import LAYOUT_SCHEME, BaseImages
from builder.compilers import Compilers
from builder.contents_cache import ContentsCache
from builder.environment_wheels import EnvironmentWheels
from builder.forms import Forms
from builder.forms.forms import BuildImage, MakeForm
from builder.image import Flavour
from builder.image_name import NameDefaults
from builder.install.canary import differing_encoders
from builder.layer_cache import LayerCache
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.packages import Packages
from builder.pipeline import Pipeline
from builder.platforms import Subdir
from builder.ports import BuildMetrics, ProgressListener, Store, Workers
from builder.pypi import Pypi, Uv
from builder.resolver import Resolver
from builder.solve import Solver
from builder.spec import Channel, VirtualPackage
from registry.auth.access import Access
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy
from registry.auth.policy_file import PolicyFile
from registry.builds.artifacts import Artifacts
from registry.builds.executor import Executor
from registry.builds.images import ImageBuilds
from registry.builds.local import LocalExecutor
from registry.builds.locked import LockedBuilds
from registry.builds.made import MadeImages
from registry.builds.making import Making
from registry.builds.pins import Pins
from registry.builds.processes import LocalProcesses
from registry.builds.records import ImageRecords
from registry.builds.requests import BuildRequests, Patience
from registry.builds.stages import Stages
from registry.builds.traced import TracedExecutor, TracedLayers
from registry.collection.collector import collect_all
from registry.collection.eviction import Budget
from registry.collection.scrub import Scrub
from registry.collection.usage import Usage
from registry.content.bases import HeldBases
from registry.content.blobs import Blobs
from registry.content.files import StoredFiles, StoreLinks
from registry.content.manifests import Manifests
from registry.content.pushed_blobs import PushedBlobs
from registry.content.referrers import Referrers
from registry.content.repositories import Repositories
from registry.content.uploads import Uploads
from registry.locations import parse_location
from registry.pulls import ImagePulls
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from registry.storage.local_copies import LocalCopies
from registry.storage.probe import check_store
from registry.storage.scratch import Scratch
from registry.telemetry import NO_TRACES, Metrics, Traces, open_traces
from registry.upkeep.chores import Chore, do_for_ever
from registry.upkeep.renewal import Renewal
from registry.web.services import BuildServices, QueueGauges, Services

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

    from registry.tasks.connection import Tasks

#: For scratch files where the store is not on this machine.
_CACHE: Final = Path("~/.cache/pullforge/scratch")
#: How often, at most, indexes are fetched that nobody has asked for.
_REFRESH_SECONDS: Final = 60
#: How uv finds its way out, where others find it by themselves.
_NETWORK_VARIABLES: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_HOST_SUBDIRS: Final[dict[str, Subdir]] = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}


@dataclass(frozen=True, slots=True)
class Builder:
    """What turns names into images, with or without a server around it."""

    store: Store
    manifests: Manifests
    repositories: Repositories
    solver: Solver
    resolver: Resolver
    pipeline: Pipeline
    layers: LayerCache
    packages: Packages
    bases: BaseImages
    workers: Workers
    #: A directory for what is being received; gone at the end.
    scratch: Path
    #: Gives forms of locks, from what makes images, and what makes forms elsewhere, if anything.
    forms: Callable[[BuildImage, MakeForm | None], Forms]


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
    timeout = httpx.Timeout(30, read=settings.download_timeout_seconds)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, settings.store))
        scratch = stack.enter_context(closing(Scratch(kept))).path
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=timeout))
        if workers is None:
            workers = stack.enter_context(closing(local_processes(settings)))
        packages = Packages(
            store,
            http,
            scratch,
            metrics,
            allowed_hosts={urlsplit(url).netloc for url in settings.channels.values()},
            wheel_hosts=settings.pypi_hosts if settings.pypi else (),
            max_size_bytes=settings.max_package_bytes,
        )
        stack.push_async_callback(packages.close)
        solver = Solver(
            kept / "repodata",
            timeout_seconds=settings.solve_timeout_seconds,
            repodata_ttl_seconds=settings.repodata_ttl_seconds,
        )
        stack.push_async_callback(solver.close)
        manifests = Manifests(store)
        repositories = Repositories(store, manifests, sparse=settings.sparse_manifests)
        pushed = HeldBases(store, repositories)
        bases = BaseImages(store, http, scratch, _layout(settings.base), pushed)
        compilers = Compilers(
            solver, packages, workers, kept / "compilers", _host_subdir(), settings.sandbox
        )
        stack.push_async_callback(compilers.close)
        contents = ContentsCache(store, packages, workers)
        stack.push_async_callback(contents.close)
        layers = LayerCache(store, packages, workers, compilers.compiler, scratch, metrics)
        stack.push_async_callback(layers.close)
        made = layers if tasks is None else tasks.layers(layers)
        traced = TracedLayers(made, traces, "here" if tasks is None else "elsewhere")
        pipeline = Pipeline(store, bases, contents, traced, compilers)
        wheels = EnvironmentWheels(contents, _pypi(settings, scratch)) if settings.pypi else None
        resolver = Resolver(name_defaults(settings), solver, bases, compilers, metrics, wheels)

        def forms(build: BuildImage, make: MakeForm | None) -> Forms:
            return Forms(store, pipeline, contents, packages, workers, scratch, build, make)

        yield Builder(
            store,
            manifests,
            repositories,
            solver,
            resolver,
            pipeline,
            layers,
            packages,
            bases,
            workers,
            scratch,
            forms,
        )


@asynccontextmanager
async def open_store(settings: Settings, place: str) -> AsyncIterator[Store]:
    """Give the store at ``place``, a directory or ``s3://BUCKET/PREFIX``, until the exit.

    Raises:
        StoreUnavailable: It cannot be used.
        ValueError: ``place`` is neither.
    """
    location = parse_location(place)
    if isinstance(location, Path):
        with closing(FilesystemStore(location)) as files:
            yield files
        return
    # The SDK takes half a second to import, which a store on disk need not wait for.
    from registry.storage.s3 import open_s3_store  # noqa: PLC0415

    copies = LocalCopies(scratch_of(settings) / "copies")
    async with (
        _s3_client(settings, settings.s3_endpoint) as client,
        open_s3_store(client, location, copies) as objects,
    ):
        yield objects


@asynccontextmanager
async def open_links(settings: Settings) -> AsyncIterator[StoreLinks | None]:
    """Give what sends clients to the store itself, or ``None`` if bytes go through this server."""
    location = parse_location(settings.store)
    if isinstance(location, Path) or not settings.redirect_blobs:
        yield None
        return
    from registry.storage.s3_links import S3Links  # noqa: PLC0415

    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    async with _s3_client(settings, endpoint) as client:
        yield S3Links(client, location, lifetime_seconds=settings.s3_link_seconds)


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
        bases=tuple(settings.bases),
        pypi=settings.pypi,
        wheel_hosts=tuple(settings.pypi_hosts) if settings.pypi else (),
    )


def scratch_of(settings: Settings) -> Path:
    """Return the directory for what may be lost; it may still have to be made."""
    location = parse_location(settings.store)
    beside = location / ".scratch" if isinstance(location, Path) else _CACHE.expanduser()
    return settings.scratch or beside


def local_processes(settings: Settings) -> LocalProcesses:
    """Return processes of this one that compute."""
    return LocalProcesses(settings.workers or os.cpu_count() or 1)


@asynccontextmanager
async def open_workers(settings: Settings, traces: Traces) -> AsyncIterator["Tasks"]:
    """Give what has work done by workers; for settings with a broker."""
    # Celery takes a while to import, which a server without workers need not wait for.
    from registry.tasks.connection import open_tasks  # noqa: PLC0415
    from registry.tasks.orders import OrderPatience  # noqa: PLC0415
    from registry.tasks.queue import make_app  # noqa: PLC0415

    broker = settings.broker_url
    async with open_tasks(
        make_app(broker, task_seconds=settings.task_seconds),
        settings.redis.get_secret_value() if settings.redis else broker,
        OrderPatience(settings.task_seconds, settings.error_ttl_seconds),
        max_waiting=settings.max_waiting,
        traces=traces,
    ) as tasks:
        yield tasks


def _s3_client(settings: Settings, endpoint: str | None) -> "AbstractAsyncContextManager[S3Client]":
    from registry.storage.s3_client import S3Access, open_client  # noqa: PLC0415

    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    access = S3Access(
        endpoint,
        settings.s3_region,
        key.get_secret_value() if key else None,
        secret.get_secret_value() if secret else None,
    )
    return open_client(access)


def _pypi(settings: Settings, scratch: Path) -> Pypi:
    kept = scratch_of(settings) / "pypi"
    uv = Uv(
        settings.pypi_index,
        kept / "uv",
        environment={name: os.environ[name] for name in _NETWORK_VARIABLES if name in os.environ},
        timeout_seconds=settings.solve_timeout_seconds,
    )
    return Pypi(uv, scratch, kept / "stubs", settings.pypi_hosts)


def _layout(base: str) -> Path | None:
    return Path(base.removeprefix(LAYOUT_SCHEME)) if base.startswith(LAYOUT_SCHEME) else None


def _host_subdir() -> Subdir:
    return _HOST_SUBDIRS[platform.machine()]


@asynccontextmanager
async def open_access(settings: Settings) -> AsyncIterator[Access]:
    """Give what knows who may do what; it follows the auth file until the exit.

    Raises:
        PolicyInvalid: The auth file cannot be used.
    """
    async with aclosing(Logins()) as logins:
        if settings.auth_file is None:
            yield Access(FixedPolicy(), logins)
            return
        source = PolicyFile(settings.auth_file)
        following = asyncio.create_task(source.follow())
        try:
            yield Access(source, logins)
        finally:
            following.cancel()


@dataclass(frozen=True, slots=True)
class Maker:
    """What answers references to images made here."""

    pulls: ImagePulls
    builds: ImageBuilds
    forms: Forms


@asynccontextmanager
async def open_maker(
    settings: Settings,
    builder: Builder,
    executor: Executor,
    metrics: Metrics,
    now: Callable[[], float],
    *,
    make_form: MakeForm | None = None,
) -> AsyncIterator[Maker]:
    """Give what answers references, by what ``executor`` solves and builds.

    Forms are made here, unless there is a ``make_form`` that has them made elsewhere.
    """
    store = builder.store
    async with AsyncExitStack() as stack:
        builds = ImageBuilds(store, ImageRecords(store, builder.workers), executor, now)
        stack.push_async_callback(builds.close)

        async def build(lock: Lock, flavour: Flavour, listen: ProgressListener) -> Digest:
            return (await builds.build(lock, flavour, listen)).top

        forms = builder.forms(build, make_form)
        stack.push_async_callback(forms.close)
        artifacts = Artifacts(store, builds, forms, builder.workers)
        stack.push_async_callback(artifacts.close)
        pulls = ImagePulls(
            store,
            builder.manifests,
            builder.resolver,
            builds,
            artifacts,
            Usage(store, now),
            metrics,
            now=now,
            latest_ttl_seconds=settings.latest_ttl_seconds,
            error_ttl_seconds=settings.error_ttl_seconds,
        )
        stack.push_async_callback(pulls.close)
        refreshing = asyncio.create_task(do_for_ever([_refresh(settings, builder.solver)]))
        stack.callback(refreshing.cancel)
        yield Maker(pulls, builds, forms)


def _refresh(settings: Settings, solver: Solver) -> Chore:
    """Return what has the channels' indexes at hand when they are needed, in this process."""
    defaults = name_defaults(settings)
    channels = [one for one in defaults.channels if one.name in defaults.default_channels]

    async def fetch() -> None:
        await solver.known_names(channels, defaults.platforms)

    return Chore("refresh", max(settings.repodata_ttl_seconds, _REFRESH_SECONDS), fetch)


def chore_seconds(settings: Settings) -> dict[str, float]:
    """Return which chores there are, and after how many seconds each is done again."""
    found: dict[str, float] = {"collect": 3600}
    if settings.renew_hours:
        found["renew"] = settings.latest_ttl_seconds / 4
    if settings.prewarm:
        found["prewarm"] = settings.latest_ttl_seconds / 4
    if settings.scrub_days is not None:
        found["scrub"] = settings.scrub_days * 86_400 / 256
    return found


def chores_of(
    settings: Settings, store: Store, pulls: ImagePulls, now: Callable[[], float]
) -> Sequence[Chore]:
    """Return the chores that the settings ask for."""
    renewal = Renewal(store, pulls, now)
    budget = Budget.of(settings.cache_bytes, settings.cache_days)
    seconds = chore_seconds(settings)

    async def scrub() -> None:
        report = await Scrub(store, delete=True, threads=1, listen=lambda _: None).run_share(
            int(now() / seconds["scrub"]) % 256
        )
        for found in report.findings:
            structlog.get_logger().warning("found damage", **asdict(found))

    work: dict[str, Callable[[], Awaitable[None]]] = {
        "collect": lambda: collect_all(
            store, budget, now(), upload_seconds=settings.upload_seconds
        ),
        # An answer expires within the next two rounds, or there is time until the round after.
        "renew": lambda: renewal.renew(
            within_seconds=settings.latest_ttl_seconds / 2,
            used_seconds=settings.renew_hours * 3600,
        ),
        "prewarm": lambda: renewal.prewarm(settings.prewarm),
        "scrub": scrub,
    }
    return [Chore(name, every, work[name]) for name, every in seconds.items()]


@asynccontextmanager
async def open_services(
    settings: Settings, *, now: Callable[[], float] = time.time
) -> AsyncIterator[Services]:
    """Give everything the faces of the server need; all of it has ended on exit."""
    _warn_of_other_encoders()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        # Closed last: all else may still have something to record.
        traces = stack.enter_context(
            open_traces(settings.traces, settings.traces_ratio, "pullforge")
        )
        workers = stack.enter_context(closing(local_processes(settings)))
        loading = asyncio.create_task(workers.start())
        stack.callback(loading.cancel)
        builder = await stack.enter_async_context(
            open_builder(settings, metrics, workers=workers, traces=traces)
        )
        store = builder.store
        gauges: QueueGauges | None = None
        make_form: MakeForm | None = None
        executor: Executor
        if settings.broker is None:
            records, stages = ImageRecords(store, workers), Stages(metrics, traces)
            local = LocalExecutor(builder.resolver, builder.pipeline, records, now, stages)
            executor = TracedExecutor(local, traces, "here")
        else:
            tasks = await stack.enter_async_context(open_workers(settings, traces))
            executor = TracedExecutor(tasks.executor, traces, "elsewhere")
            gauges, make_form = tasks.board.waiting, tasks.forms.make
        maker = await stack.enter_async_context(
            open_maker(settings, builder, executor, metrics, now, make_form=make_form)
        )
        if settings.broker is None:
            keeping = asyncio.create_task(do_for_ever(chores_of(settings, store, maker.pulls, now)))
            stack.callback(keeping.cancel)
        links = await stack.enter_async_context(open_links(settings))
        pushed_blobs = PushedBlobs(builder.store)
        uploads = Uploads(
            builder.store,
            pushed_blobs,
            builder.scratch,
            max_blob_bytes=settings.max_blob_bytes,
        )
        stack.callback(uploads.close)
        access = await stack.enter_async_context(open_access(settings))
        yield Services(
            maker.pulls,
            builder.manifests,
            Blobs(builder.store, links),
            builder.repositories,
            pushed_blobs,
            Referrers(builder.store),
            uploads,
            metrics,
            await stack.enter_async_context(_open_builds(settings, builder, maker, links, now)),
            access,
            # Not the workers: without them, all that was ever pulled is answered.
            checks={"store": lambda: check_store(store)},
            queue=gauges,
            public_url=settings.public_url.rstrip("/") if settings.public_url else None,
            traces=traces,
        )


@asynccontextmanager
async def _open_builds(
    settings: Settings,
    builder: Builder,
    maker: Maker,
    links: StoreLinks | None,
    now: Callable[[], float],
) -> AsyncIterator[BuildServices]:
    """Give what the API answers from."""
    builds = maker.builds
    pins = Pins(builder.store, builder.packages, builder.bases, now)
    images = MadeImages(builder.store, builds)
    making = Making(
        builder.store,
        builds,
        images,
        pins,
        pin=settings.pin_builds,
        max_age_seconds=settings.latest_ttl_seconds,
    )
    requests = BuildRequests(
        builder.store,
        builder.workers,
        making,
        name_defaults(settings),
        Patience(settings.error_ttl_seconds),
        limit=settings.max_builds,
        max_bytes=settings.max_request_bytes,
        now=now,
    )
    looking = asyncio.create_task(requests.look_after())
    try:
        yield BuildServices(
            requests,
            LockedBuilds(builder.store, builds, images, pins),
            pins,
            maker.forms,
            StoredFiles(builder.store, links),
            settings.max_request_bytes,
        )
    finally:
        looking.cancel()
        await requests.close()
        await pins.close()


def _warn_of_other_encoders() -> None:
    """Say in the log if layers made on this machine would have digests of their own."""
    differing = differing_encoders()
    if differing:
        structlog.get_logger().warning(
            "this machine compresses otherwise than others: do not share its store",
            encodings=differing,
        )
