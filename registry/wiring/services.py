"""Everything the faces of the server need."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    closing,
)

import structlog

from builder.exports.exports import MakeForm
from builder.install.encoder_check import differing_encoders
from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy
from registry.auth.policy_file import PolicyFile
from registry.content.blobs import Blobs
from registry.content.files import StoredFiles, StoreLinks
from registry.content.pushed_blobs import PushedBlobs
from registry.content.referrers import Referrers
from registry.content.uploads import Uploads
from registry.images.catalog import BuildCatalog
from registry.images.executor import Executor
from registry.images.inventory import BuiltFlavours
from registry.images.local import LocalExecutor
from registry.images.pins import Pins
from registry.images.rate_limit import RateLimit
from registry.images.records import ImageRecords
from registry.images.stages import Stages
from registry.images.traced import TracedExecutor
from registry.maintenance.periodic import run_forever
from registry.requests.requests import BuildRequests, RequestTimeouts
from registry.requests.runner import BuildRunner
from registry.settings import Settings
from registry.sources.directory import Directory
from registry.sources.pushed import PushedSource
from registry.storage.probe import check_store
from registry.telemetry import Metrics, open_traces
from registry.web.services import BuildServices, PinsOf, QueueGauges, ReadinessCheck, Services
from registry.wiring.building import (
    Builder,
    local_processes,
    open_builder,
    tell_of_sandbox,
)
from registry.wiring.catalog import database_url, open_catalog
from registry.wiring.login import open_login
from registry.wiring.schedule import chores_of
from registry.wiring.sources import Maker, all_sources, open_maker
from registry.wiring.stores import open_links
from registry.wiring.workers import open_workers


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
        # Not the workers: without them, all that was ever pulled is answered.
        checks: dict[str, ReadinessCheck] = {"store": lambda: check_store(store)}
        records = ImageRecords(store, workers)
        if settings.broker is None:
            # A server that can make nothing must not take the place of one that can.
            checks["sandbox"] = lambda: _find_sandbox(builder)
            await tell_of_sandbox(builder)
            stages = Stages(metrics, traces)
            local = LocalExecutor(
                builder.resolver, builder.policy, builder.pipeline, records, now, stages
            )
            executor = TracedExecutor(local, traces, "here")
        else:
            tasks = await stack.enter_async_context(open_workers(settings, traces))
            executor = TracedExecutor(tasks.executor(records), traces, "elsewhere")
            gauges, make_form = tasks.task_state.waiting, tasks.forms.make
        rate_limit = RateLimit(settings.new_images, settings.new_images_per_minute)
        maker = await stack.enter_async_context(
            open_maker(
                settings,
                builder,
                executor,
                metrics,
                now,
                rate_limit=rate_limit,
                make_form=make_form,
            )
        )
        if settings.broker is None:
            keeping = asyncio.create_task(
                run_forever(chores_of(settings, store, maker.source, now))
            )
            stack.callback(keeping.cancel)
        links = await stack.enter_async_context(open_links(settings))
        pushed_blobs = PushedBlobs(builder.store)
        pushed = PushedSource(builder.repositories, pushed_blobs, Referrers(builder.store))
        uploads = Uploads(
            builder.store,
            pushed_blobs,
            builder.scratch,
            max_blob_bytes=settings.max_blob_bytes,
        )
        stack.callback(uploads.close)
        directory = Directory()
        entitlements = Entitlements(directory)
        access = await stack.enter_async_context(open_access(settings, entitlements))
        builds = await stack.enter_async_context(
            _open_builds(settings, builder, maker, rate_limit, links, now)
        )
        catalog = await stack.enter_async_context(
            open_catalog(
                settings,
                store,
                builds.requests,
                records.lock,
                access,
                directory=directory,
                entitlements=entitlements,
            )
        )
        login = None
        if catalog is not None:
            login = await stack.enter_async_context(
                open_login(settings, catalog.accounts, catalog.sessions, catalog.devices)
            )
        yield Services(
            sources=all_sources(maker, pushed, store, directory, catalog, now),
            manifests=builder.manifests,
            blobs=Blobs(builder.store, links),
            repositories=builder.repositories,
            pushed_blobs=pushed_blobs,
            uploads=uploads,
            metrics=metrics,
            builds=builds,
            access=access,
            checks=checks,
            queue=gauges,
            public_url=settings.public_url.rstrip("/") if settings.public_url else None,
            traces=traces,
            login=login,
            catalog=catalog,
        )


@asynccontextmanager
async def _open_builds(
    settings: Settings,
    builder: Builder,
    maker: Maker,
    rate_limit: RateLimit,
    links: StoreLinks | None,
    now: Callable[[], float],
) -> AsyncIterator[BuildServices]:
    """Give what the API answers from."""
    builds = maker.builds
    pins = Pins(builder.store, builder.packages, builder.bases, now)
    images = BuiltFlavours(builder.store, builds)
    making = BuildRunner(
        builder.store,
        builds,
        images,
        pins,
        max_age_seconds=settings.latest_ttl_seconds,
    )
    requests = BuildRequests(
        builder.store,
        builder.workers,
        making,
        builder.policy,
        RequestTimeouts(settings.error_ttl_seconds),
        rate_limit,
        limit=settings.max_builds,
        max_bytes=settings.max_request_bytes,
        now=now,
    )
    looking = asyncio.create_task(requests.look_after())
    try:
        yield BuildServices(
            requests,
            BuildCatalog(builder.store, builds, images, pins, settings.platforms),
            pins,
            maker.forms,
            StoredFiles(builder.store, links),
            settings.max_request_bytes,
            pins_of=_pins_of(settings),
        )
    finally:
        looking.cancel()
        await requests.close()
        await pins.close()


def _pins_of(settings: Settings) -> PinsOf:
    if not settings.pin_builds:
        return "nobody"
    return "everybody" if settings.pin_builds_of_strangers else "rightful"


@asynccontextmanager
async def open_access(
    settings: Settings, entitlements: Entitlements | None = None
) -> AsyncIterator[Access]:
    """Give what knows who may do what; it follows the auth file until the exit.

    Args:
        settings: All of them.
        entitlements: Follow the database; ``None``: nothing is known of one.

    Raises:
        PolicyInvalid: The auth file cannot be used.
    """
    entitlements = entitlements or Entitlements()
    has_provider = settings.oidc_issuer is not None and database_url(settings) is not None
    async with aclosing(Logins()) as logins:
        if settings.auth_file is None:
            yield Access(FixedPolicy(), logins, entitlements, has_provider)
            return
        source = PolicyFile(settings.auth_file)
        following = asyncio.create_task(source.follow())
        try:
            yield Access(source, logins, entitlements, has_provider)
        finally:
            following.cancel()


async def _find_sandbox(builder: Builder) -> None:
    await builder.sandbox()


def _warn_of_other_encoders() -> None:
    """Say in the log if layers made on this machine would have digests of their own."""
    differing = differing_encoders()
    if differing:
        structlog.get_logger().warning(
            "this machine compresses otherwise than others: do not share its store",
            encodings=differing,
        )
