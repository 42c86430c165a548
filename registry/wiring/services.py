"""Everything the faces of the server need."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    closing,
    suppress,
)
from dataclasses import dataclass

import structlog

from builder.errors import StoreUnavailable
from builder.exports.exports import MakeForm
from builder.install.encoder_check import differing_encoders
from builder.spec import EnvironmentSpec
from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy
from registry.auth.policy_file import PolicyFile
from registry.auth.trail import NO_TRAIL, Trail
from registry.catalog.blobs import ImageBlobs
from registry.content.blobs import Blobs
from registry.content.files import StoredFiles, StoreLinks
from registry.content.pushed_blobs import PushedBlobs
from registry.content.referrers import Referrers
from registry.content.uploads import Uploads
from registry.images.catalog import BuildCatalog
from registry.images.executor import Executor
from registry.images.image_layers import ImageLayers
from registry.images.inventory import BuiltFlavours
from registry.images.judging import BuildJudge
from registry.images.local import LocalExecutor
from registry.images.lock_facts import KnownLockFacts
from registry.images.package_index import PackageIndex
from registry.images.pins import Pins
from registry.images.rate_limit import RateLimit
from registry.images.records import ImageRecords
from registry.images.rules import RulesRecords
from registry.images.stages import Stages
from registry.images.traced import TracedExecutor
from registry.maintenance.periodic import run_forever
from registry.policy.dry_run import DryRun
from registry.requests.requests import BuildRequests, RequestTimeouts
from registry.requests.runner import BuildRunner
from registry.requests.sent_locks import SentLocks
from registry.requests.wanted import WantedPackages
from registry.requests.written import WrittenSpecifications
from registry.settings import Settings
from registry.sources.directory import Directory
from registry.sources.pulls import PullCounts
from registry.sources.pushed import PushedSource
from registry.storage.probe import check_store
from registry.telemetry import Metrics, Traces, open_traces
from registry.web.services import BuildServices, PinsOf, QueueGauges, ReadinessCheck, Services
from registry.wiring.building import (
    Builder,
    local_processes,
    open_builder,
    tell_of_sandbox,
)
from registry.wiring.catalog import open_catalog
from registry.wiring.database import database_url
from registry.wiring.login import open_login
from registry.wiring.policy import open_policies
from registry.wiring.rules import GlobalRules, open_judge
from registry.wiring.schedule import chores_of
from registry.wiring.sources import Maker, all_sources, open_maker
from registry.wiring.stores import open_links
from registry.wiring.upkeep import open_upkeep
from registry.wiring.watcher import open_watcher
from registry.wiring.webhooks import open_webhooks
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
        # Not the workers: without them, all that was ever pulled is answered.
        checks: dict[str, ReadinessCheck] = {"store": lambda: check_store(store)}
        if settings.broker is None:
            # A server that can make nothing must not take the place of one that can.
            checks["sandbox"] = lambda: _find_sandbox(builder)
        records = ImageRecords(store, workers)
        book = await stack.enter_async_context(open_policies(settings, workers, metrics, now))
        everywhere = GlobalRules(book, RulesRecords(store, now))
        judge = await stack.enter_async_context(open_judge(builder, records, everywhere))
        making = await stack.enter_async_context(
            _open_making(settings, builder, records, judge.records, metrics, traces, now)
        )
        rate_limit = RateLimit(settings.new_images, settings.new_images_per_minute)
        maker = await stack.enter_async_context(
            open_maker(
                settings,
                builder,
                making.executor,
                judge,
                metrics,
                now,
                rate_limit=rate_limit,
                make_form=making.make_form,
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
        pulls = PullCounts(directory, now)
        trail = Trail(metrics.audit_lost)
        entitlements = Entitlements(directory)
        access = await stack.enter_async_context(open_access(settings, entitlements))
        builds = await stack.enter_async_context(
            _open_builds(settings, builder, maker, judge, rate_limit, links, now)
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
                book=book,
                blocked=judge.blocked,
                trail=trail,
                pulls=pulls,
                blobs_of=ImageBlobs(store, records).of,
                wanted_of=builds.wanted.of,
                now=now,
                workers=workers,
                locks=SentLocks(builds.requests, maker.builds, now),
            )
        )
        login = None
        if catalog is not None:
            follower = catalog.follower
            everywhere.has_loaded = lambda: follower.has_loaded
            await stack.enter_async_context(open_webhooks(settings, catalog, metrics))
            await stack.enter_async_context(open_watcher(settings, catalog, metrics))
            login = await stack.enter_async_context(
                open_login(settings, catalog.accounts, catalog.sessions, catalog.devices)
            )
            await stack.enter_async_context(
                open_upkeep(settings, builder, builds.forms, records.lock, catalog)
            )
        if not everywhere.is_followed():
            with suppress(StoreUnavailable):  # it is tried again and again
                await judge.blocked.read()
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
            queue=making.gauges,
            public_url=settings.public_url.rstrip("/") if settings.public_url else None,
            traces=traces,
            pulls=pulls,
            # Where there is no database, nobody would write it.
            trail=trail if catalog is not None else NO_TRAIL,
            login=login,
            catalog=catalog,
        )


@dataclass(frozen=True, slots=True)
class _Making:
    """Who solves and builds."""

    executor: Executor
    gauges: QueueGauges | None = None
    make_form: MakeForm | None = None


@asynccontextmanager
async def _open_making(
    settings: Settings,
    builder: Builder,
    records: ImageRecords,
    rules: RulesRecords,
    metrics: Metrics,
    traces: Traces,
    now: Callable[[], float],
) -> AsyncIterator[_Making]:
    """Give what solves and builds: this process, or workers elsewhere."""
    if settings.broker is None:
        await tell_of_sandbox(builder)
        stages = Stages(metrics, traces)
        local = LocalExecutor(
            builder.resolver, builder.policy, builder.pipeline, records, rules, now, stages
        )
        yield _Making(TracedExecutor(local, traces, "here"))
        return
    async with open_workers(settings, traces) as tasks:
        executor = TracedExecutor(tasks.executor(records), traces, "elsewhere")
        yield _Making(executor, tasks.task_state.waiting, tasks.forms.make)


@asynccontextmanager
async def _open_builds(
    settings: Settings,
    builder: Builder,
    maker: Maker,
    judge: BuildJudge,
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
        judge,
        max_age_seconds=settings.latest_ttl_seconds,
    )
    requests = BuildRequests(
        builder.store,
        builder.workers,
        making,
        judge,
        builder.policy,
        RequestTimeouts(settings.error_ttl_seconds),
        rate_limit,
        limit=settings.max_builds,
        max_bytes=settings.max_request_bytes,
        now=now,
    )
    packages = PackageIndex(
        builder.solver,
        builder.policy.channels,
        builder.policy.default_channels,
        builder.policy.platforms,
        offers_pypi=builder.policy.pypi,
    )
    written = WrittenSpecifications(builder.workers, settings.max_request_bytes)

    async def read_name(repository: str, tag: str) -> EnvironmentSpec:
        today = datetime.datetime.fromtimestamp(now(), datetime.UTC).date()
        return await builder.resolver.spec(repository, tag, builder.policy, today)

    locked = BuildCatalog(builder.store, builds, images, pins, settings.platforms, judge.blocked)
    looking = asyncio.create_task(requests.look_after())
    try:
        yield BuildServices(
            requests,
            locked,
            pins,
            maker.forms,
            StoredFiles(builder.store, links),
            DryRun(
                requests.read, builds, judge, settings.latest_ttl_seconds, rate_limit, read_name
            ),
            packages,
            settings.max_request_bytes,
            pins_of=_pins_of(settings),
            judge=judge,
            layers=ImageLayers(builder.store, builds.records),
            lock_facts=KnownLockFacts(locked.lock),
            wanted=WantedPackages(builder.workers, builder.policy, settings.max_request_bytes),
            written=written,
            workers=builder.workers,
        )
    finally:
        looking.cancel()
        await packages.close()
        await written.close()
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
