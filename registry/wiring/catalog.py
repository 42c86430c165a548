"""Namespaces, environments and all that follows them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

from builder.lock import Lock
from builder.ports import Store, Workers
from builder.records import without_credentials
from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.rights import Need
from registry.auth.trail import Trail
from registry.catalog.accounts import CatalogAccounts, CatalogSessions
from registry.catalog.active_versions import ActiveVersions
from registry.catalog.active_waiting import ActiveWaiting
from registry.catalog.administrators import Administrators
from registry.catalog.assessing import Assessor
from registry.catalog.audit import Audit
from registry.catalog.blocks import Blocks
from registry.catalog.build_ids import BuildIds
from registry.catalog.catalog_counts import Counts
from registry.catalog.comparing import compare
from registry.catalog.conda_store_settings import CondaStoreSettings
from registry.catalog.contents import VersionContents
from registry.catalog.counted_builds import CountedBuilds
from registry.catalog.counted_lists import CountedLists
from registry.catalog.deliveries import Deliveries
from registry.catalog.device_logins import CatalogDeviceLogins
from registry.catalog.differences import VersionDifferences
from registry.catalog.due_schedules import DueSchedules
from registry.catalog.environments import Environments
from registry.catalog.events import Events
from registry.catalog.file_events import FileEvents
from registry.catalog.filling import fill_locks, fill_nameless
from registry.catalog.findings import Findings
from registry.catalog.follower import Follower, forget_old, server_name
from registry.catalog.forwarding import Forwarder
from registry.catalog.grants import Grants
from registry.catalog.groups import Groups
from registry.catalog.idempotency import Idempotency
from registry.catalog.importing import Imports
from registry.catalog.judging import Judging
from registry.catalog.lock_content import content_of
from registry.catalog.managed import Managements
from registry.catalog.namespaces import Namespaces
from registry.catalog.outbox import OutboxWriter
from registry.catalog.outgoing import OutgoingWebhooks
from registry.catalog.overviews import Overviews
from registry.catalog.package_users import PackageDirectory
from registry.catalog.people import People
from registry.catalog.policies import Policies
from registry.catalog.ports import ContentOf, LockContent, LockKeeper, MayPull
from registry.catalog.principals import Principals
from registry.catalog.proposals import Proposals
from registry.catalog.pull_writer import write_pulls
from registry.catalog.purging import purge_events
from registry.catalog.queue import QueueReports
from registry.catalog.quotas import Quotas
from registry.catalog.retention import Retentions
from registry.catalog.runner import VersionRunner
from registry.catalog.schedules import Schedules
from registry.catalog.services import CatalogServices
from registry.catalog.sizes import BlobsOf
from registry.catalog.solving_anew import WantedOf
from registry.catalog.source_files import SourceFiles
from registry.catalog.sources import Sources
from registry.catalog.tokens import TokenStore
from registry.catalog.trail_writer import TrailWriter
from registry.catalog.trials import Trials
from registry.catalog.usage import UsageReports
from registry.catalog.versions import Versions
from registry.catalog.waiver_ends import WaiverEnds
from registry.catalog.waivers import Waivers
from registry.catalog.webhooks import Webhooks
from registry.content.names import parse_repository
from registry.database import Database, open_database
from registry.errors import DatabaseUnavailable, NameInvalid
from registry.images.blocked import BlockedBuilds
from registry.maintenance.periodic import PeriodicJob, run_forever
from registry.policy.book import PolicyBook
from registry.requests.requests import BuildRequests, RequirePull
from registry.settings import Settings
from registry.sources.directory import (
    Directory,
    Pointer,
    dump_namespace,
    dump_pointer,
    parse_pointer,
)
from registry.sources.pulls import PullCounts
from registry.storage.layout import (
    CATALOG,
    ENVIRONMENTS,
    LOCKS,
    NAMESPACES,
    catalog_key,
    manifests_prefix,
    namespace_key,
    repository_in,
)
from registry.wiring.database import database_url
from registry.wiring.limits import keeping_of, limit_jobs, limits_of
from registry.wiring.rules import FollowedRules
from registry.wiring.webhooks import problem_with

#: How often database and store are compared, in seconds.
_COMPARE_SECONDS: Final = 3600
#: How often it is written down which tokens were used, in seconds.
_USES_SECONDS: Final = 60
#: For how long a server that ends tries to write down what was pulled.
_LAST_SECONDS: Final = 3
#: How often is looked for waivers that end, in seconds.
_ENDS_SECONDS: Final = 60


class PushedNames:
    """Knows which repositories were pushed to, by the store.

    Implements :class:`registry.catalog.ports.RepositoryNames`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def has_repository(self, name: str) -> bool:
        """Tell whether there are manifests that were pushed to ``name`` or below it.

        A repository whose manifests are all deleted stays in the catalog, and counts no more.
        """
        try:
            parse_repository(name)
        except NameInvalid:
            return False
        if await self._has_manifests(name):
            return True
        async for entry in self._store.entries(catalog_key(f"{name}/")):
            if await self._has_manifests(repository_in(entry.key.removeprefix(CATALOG))):
                return True
        return False

    async def _has_manifests(self, repository: str) -> bool:
        async for _ in self._store.entries(manifests_prefix(repository)):
            return True
        return False


@asynccontextmanager
async def open_catalog(
    settings: Settings,
    store: Store,
    requests: BuildRequests,
    lock_of: Callable[[str], Awaitable[Lock | None]],
    access: Access,
    *,
    directory: Directory,
    entitlements: Entitlements,
    book: PolicyBook,
    blocked: BlockedBuilds,
    trail: Trail,
    pulls: PullCounts,
    blobs_of: BlobsOf,
    wanted_of: WantedOf,
    now: Callable[[], float],
    workers: Workers,
    locks: LockKeeper,
) -> AsyncIterator[CatalogServices | None]:
    """Give the catalog, followed and worked for until the exit; ``None``: there is no database.

    Args:
        settings: All of them.
        store: Has the documents of environments.
        requests: Makes builds.
        lock_of: Reads locks by their keys.
        access: Says what whoever asks for a version may pull.
        directory: Is kept as the database is.
        entitlements: Are kept as the database is.
        book: Is kept as the database is.
        blocked: Are kept as the database is.
        trail: Is written into the audit log.
        pulls: Are written down.
        blobs_of: What the image of a build consists of.
        wanted_of: Reads what versions were asked for by.
        now: The time in seconds since 1970, by which uses are noted in the store.
        workers: Hold locks against policies.
        locks: Keeps locks of other tools.

    Raises:
        DatabaseOutdated: The database has the tables of another version of the program.
    """
    url = database_url(settings)
    if url is None:
        yield None
        return
    server = server_name()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        follower = Follower(
            database,
            directory,
            entitlements,
            server,
            StoredDocuments(store),
            book=book,
            blocks=blocked,
        )
        await follower.start()
        nudged = asyncio.Event()
        limits = limits_of(settings)
        content_of_key = partial(_content_of, lock_of)
        channels = {without_credentials(url): name for name, url in settings.channel_urls.items()}
        judging = Judging(
            database,
            book,
            Assessor(database, workers, channels),
            server,
            changed=follower.changed,
            settled=follower.settled,
        )
        runner = VersionRunner(
            database,
            requests,
            _may_pull(access),
            content_of_key,
            server,
            settled=follower.settled,
            limit=max(1, settings.max_builds // 2),
            pins=settings.pin_builds,
            nudged=nudged,
            caught_up=follower.catch_up,
            rules_of=FollowedRules(book, lambda: follower.has_loaded),
            limits=limits,
            blobs_of=blobs_of,
        )
        writer = OutboxWriter(database, store, dump_pointer, follower.changed)
        tokens = TokenStore(database, follower.settled)
        jobs = [
            PeriodicJob("catalog", _COMPARE_SECONDS, lambda: _tidy(database, store, tokens)),
            PeriodicJob("uses", _USES_SECONDS, lambda: tokens.used(entitlements.take_used())),
            PeriodicJob("waivers", _ENDS_SECONDS, WaiverEnds(database, follower.settled).look),
        ]
        jobs.append(
            PeriodicJob("locks", _COMPARE_SECONDS, lambda: _fill(database, store, content_of_key))
        )
        usage = UsageReports(database)
        retentions = Retentions(database, store, now, keeping_of(settings))
        stack.push_async_callback(retentions.close)
        jobs += limit_jobs(database, pulls, blobs_of, usage, retentions)
        stack.push_async_callback(_write_last, database, pulls)
        events = Events(database, follower.changed)
        works = [follower.run(), runner.run(), writer.run(), judging.run()]
        works.append(TrailWriter(database, trail, entitlements.is_namespace).run())
        works.append(FileEvents(database, lambda: access.policy, book.policies).run())
        if settings.audit_days is not None:
            days = settings.audit_days
            jobs.append(PeriodicJob("audit", _COMPARE_SECONDS, lambda: _purge(database, days)))
        if settings.audit_log:
            works.append(Forwarder(database, events, wait=follower.changed).run())
        for work in (*works, run_forever(jobs)):
            stack.push_async_callback(_end, asyncio.create_task(work))
        settled = follower.settled

        def file_names() -> Collection[str]:
            return access.policy.identities.keys()

        names = PushedNames(store)
        outgoing = OutgoingWebhooks(database, server)
        administrators = Administrators(database, lambda: access.policy)
        principals = Principals(database, settled, administrators)
        active_versions = ActiveVersions(directory, blocked)
        namespaces = Namespaces(database, names, settled, partial(_announce, store))
        yield CatalogServices(
            namespaces=namespaces,
            environments=Environments(database, names, settled, nudged.set, limits),
            versions=Versions(database, settled, nudged.set, limits),
            imports=Imports(database, locks, names, settled, limits),
            build_ids=BuildIds(database),
            counted=CountedLists(database),
            counted_builds=CountedBuilds(database),
            conda_store_settings=CondaStoreSettings(database),
            active_versions=active_versions,
            active_waiting=ActiveWaiting(active_versions, follower.changed),
            contents=VersionContents(database, channels),
            differences=VersionDifferences(database),
            overviews=Overviews(database),
            packages=PackageDirectory(database),
            schedules=Schedules(database, wanted_of, nudged.set, limits),
            due_schedules=DueSchedules(database, wanted_of, nudged.set, limits),
            waivers=Waivers(database, book.policies_of, settled, nudged.set),
            webhooks=Webhooks(database, problem_with(settings), outgoing.nudged.set),
            deliveries=Deliveries(database, outgoing.nudged.set),
            outgoing=outgoing,
            proposals=Proposals(database, settled, blocked.sentence),
            sources=Sources(database, namespaces),
            managements=Managements(database),
            source_files=SourceFiles(
                database,
                namespaces,
                names,
                requests,
                _may_pull(access),
                nudged.set,
                limits,
            ),
            policies=Policies(database, book, settled),
            findings=Findings(database),
            blocks=Blocks(database, settled),
            trials=Trials(database, book, judging),
            book=book,
            events=events,
            audit=Audit(database),
            grants=Grants(database, settled, administrators),
            quotas=Quotas(database, limits),
            retentions=retentions,
            usage=usage,
            counts=Counts(database),
            tokens=tokens,
            principals=principals,
            people=People(database, principals, lambda: access.policy),
            groups=Groups(database, settled, administrators),
            queue=QueueReports(database),
            idempotency=Idempotency(database),
            follower=follower,
            directory=directory,
            accounts=CatalogAccounts(principals, file_names),
            sessions=CatalogSessions(database, tokens, entitlements.session),
            devices=CatalogDeviceLogins(database),
        )


class StoredDocuments:
    """Has what the store knows of the catalog; no database is asked.

    Implements :class:`registry.catalog.ports.Documents`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def namespaces(self) -> AsyncIterator[str]:
        """Yield the slugs of all namespaces; each is a key, and nothing is read for it."""
        async for entry in self._store.entries(NAMESPACES):
            yield entry.key.removeprefix(NAMESPACES)

    async def pointers(self) -> AsyncIterator[Pointer]:
        """Yield where environments lead to."""
        async for entry in self._store.entries(ENVIRONMENTS):
            data = await self._store.read(entry.key)
            if data is not None:
                yield parse_pointer(data)


async def _tidy(database: Database, store: Store, tokens: TokenStore) -> None:
    await compare(database, store, dump_pointer)
    await forget_old(database)
    await tokens.forget_sessions()


async def _write_last(database: Database, pulls: PullCounts) -> None:
    """Write down what was pulled since the last time, before this server ends."""
    with suppress(DatabaseUnavailable, TimeoutError):
        async with asyncio.timeout(_LAST_SECONDS):
            await write_pulls(database, pulls)


async def _fill(database: Database, store: Store, content_of_key: ContentOf) -> None:
    await fill_locks(database, content_of_key)
    await fill_nameless(database, _lock_keys(store), content_of_key)


async def _lock_keys(store: Store) -> AsyncIterator[str]:
    async for entry in store.entries(LOCKS):
        yield entry.key.removeprefix(LOCKS).removesuffix(".yml")


async def _purge(database: Database, days: int) -> None:
    await purge_events(database, days)


async def _announce(store: Store, slug: str) -> None:
    await store.write(namespace_key(slug), dump_namespace(slug))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _may_pull(access: Access) -> MayPull:
    def of(principal: str | None) -> RequirePull:
        async def require(repository: str) -> None:
            access.check(access.named(principal), [Need("pull", repository)])

        return require

    return of


async def _content_of(lock_of: Callable[[str], Awaitable[Lock | None]], key: str) -> LockContent:
    lock = await lock_of(key)
    return LockContent() if lock is None else await asyncio.to_thread(content_of, lock)
