"""What answers references to images made here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from builder.build.image import Flavour
from builder.exports import Exports
from builder.exports.exports import MakeForm
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.policy import EnvironmentPolicy
from builder.ports import ProgressListener, Store
from builder.solve import Solver
from registry.catalog.services import CatalogServices
from registry.images.artifacts import Artifacts
from registry.images.blocked import BlockedBuilds
from registry.images.executor import Executor
from registry.images.images import ImageBuilds
from registry.images.judging import BuildJudge
from registry.images.rate_limit import RateLimit
from registry.images.records import ImageRecords
from registry.images.tag_records import TagRecords
from registry.images.usage import Usage
from registry.maintenance.periodic import PeriodicJob, run_forever
from registry.settings import Settings
from registry.sources.built import BuiltSource
from registry.sources.directory import Directory
from registry.sources.environments import EnvironmentSource, StoredPointers
from registry.sources.holdings import Holdings
from registry.sources.source import Source, Sources
from registry.telemetry import Metrics
from registry.wiring.building import Builder

#: How often, at most, indexes are fetched that nobody has asked for.
_REFRESH_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Maker:
    """What answers references to images made here."""

    source: BuiltSource
    #: Knows what builds consist of.
    holdings: Holdings
    blocked: BlockedBuilds
    builds: ImageBuilds
    forms: Exports


@asynccontextmanager
async def open_maker(
    settings: Settings,
    builder: Builder,
    executor: Executor,
    judge: BuildJudge,
    metrics: Metrics,
    now: Callable[[], float],
    *,
    rate_limit: RateLimit,
    make_form: MakeForm | None = None,
) -> AsyncIterator[Maker]:
    """Give what answers references, by what ``executor`` solves and builds.

    Forms are made here, unless there is a ``make_form`` that has them made elsewhere.
    """
    store = builder.store
    async with AsyncExitStack() as stack:
        records, tags = ImageRecords(store, builder.workers), TagRecords(store)
        builds = ImageBuilds(store, records, executor, now)
        stack.push_async_callback(builds.close)

        async def build(lock: Lock, flavour: Flavour, on_progress: ProgressListener) -> Digest:
            return (await builds.build(lock, flavour, on_progress)).top

        forms = builder.forms(build, make_form)
        stack.push_async_callback(forms.close)
        artifacts = Artifacts(store, builds, forms, builder.workers)
        stack.push_async_callback(artifacts.close)
        source = BuiltSource(
            builder.manifests,
            builder.resolver,
            builder.policy,
            builds,
            judge,
            artifacts,
            tags,
            Usage(store, now),
            metrics,
            rate_limit,
            now=now,
            latest_ttl_seconds=settings.latest_ttl_seconds,
            error_ttl_seconds=settings.error_ttl_seconds,
        )
        stack.push_async_callback(source.close)
        refreshing = asyncio.create_task(
            run_forever([_refresh(settings, builder.policy, builder.solver)])
        )
        stack.callback(refreshing.cancel)
        holdings = Holdings(records, tags, builder.manifests)
        yield Maker(source, holdings, judge.blocked, builds, forms)


def all_sources(
    maker: Maker,
    pushed: Source,
    store: Store,
    directory: Directory,
    catalog: CatalogServices | None,
    now: Callable[[], float],
) -> Sources:
    """Return what knows who answers for each repository.

    Args:
        maker: Has images that are made here.
        pushed: Has what was pushed.
        store: Has where environments lead to.
        directory: Has it in memory.
        catalog: Keeps ``directory``; ``None``: there are no environments.
        now: The time in seconds since 1970.
    """
    if catalog is None:
        return Sources(built=maker.source, pushed=pushed)
    follower = catalog.follower

    def is_followed() -> bool:
        return follower.has_loaded

    stored = StoredPointers(
        store, is_followed, follower.learn, directory.is_namespace, follower.learn_namespace
    )
    return Sources(
        built=maker.source,
        pushed=pushed,
        named=EnvironmentSource(
            directory,
            maker.source,
            maker.holdings,
            maker.blocked,
            now,
            rules_of=catalog.book,
            is_followed=is_followed,
        ),
        environments=directory,
        look=stored.look,
    )


def _refresh(settings: Settings, policy: EnvironmentPolicy, solver: Solver) -> PeriodicJob:
    """Return what has the channels' indexes at hand when they are needed, in this process."""
    channels = [one for one in policy.channels if one.name in policy.default_channels]

    async def fetch() -> None:
        await solver.known_names(channels, policy.platforms)

    return PeriodicJob("refresh", max(settings.repodata_ttl_seconds, _REFRESH_SECONDS), fetch)
