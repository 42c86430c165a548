"""Namespaces, environments and all that follows them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from builder.lock import Lock
from builder.ports import Store
from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.rights import Need
from registry.catalog.accounts import CatalogAccounts, CatalogSessions
from registry.catalog.comparing import compare
from registry.catalog.device_logins import CatalogDeviceLogins
from registry.catalog.environments import Environments
from registry.catalog.events import Events
from registry.catalog.follower import Follower, forget_old, server_name
from registry.catalog.grants import Grants
from registry.catalog.idempotency import Idempotency
from registry.catalog.namespaces import Namespaces
from registry.catalog.outbox import OutboxWriter
from registry.catalog.ports import LockedPackage, MayPull
from registry.catalog.principals import Principals
from registry.catalog.runner import VersionRunner
from registry.catalog.services import CatalogServices
from registry.catalog.tokens import TokenStore
from registry.catalog.versions import Versions
from registry.content.names import parse_repository
from registry.database import Database, open_database
from registry.errors import NameInvalid
from registry.maintenance.periodic import PeriodicJob, run_forever
from registry.requests.requests import BuildRequests, RequirePull
from registry.settings import Settings
from registry.sources.directory import (
    Directory,
    Pointer,
    dump_namespace,
    dump_pointer,
    parse_pointer,
)
from registry.storage.layout import (
    CATALOG,
    DATABASE,
    ENVIRONMENTS,
    NAMESPACES,
    catalog_key,
    manifests_prefix,
    namespace_key,
    repository_in,
)
from registry.storage.location import parse_location

#: How often database and store are compared, in seconds.
_COMPARE_SECONDS: Final = 3600
#: How often it is written down which tokens were used, in seconds.
_USES_SECONDS: Final = 60


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


def database_url(settings: Settings) -> str | None:
    """Return the address of the database; ``None``: there can be none unless it is set."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    location = parse_location(settings.store)
    if not isinstance(location, Path):
        return None
    return f"sqlite:///{(location / DATABASE / 'pullforge.db').absolute()}"


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
        follower = Follower(database, directory, entitlements, server, StoredDocuments(store))
        await follower.start()
        nudged = asyncio.Event()
        runner = VersionRunner(
            database,
            requests,
            _may_pull(access),
            lambda key: _packages_of(lock_of, key),
            server,
            settled=follower.settled,
            limit=max(1, settings.max_builds // 2),
            pins=settings.pin_builds,
            nudged=nudged,
        )
        writer = OutboxWriter(database, store, dump_pointer, follower.changed)
        tokens = TokenStore(database, follower.settled)
        jobs = [
            PeriodicJob("catalog", _COMPARE_SECONDS, lambda: _tidy(database, store, tokens)),
            PeriodicJob("uses", _USES_SECONDS, lambda: tokens.used(entitlements.take_used())),
        ]
        for work in (follower.run(), runner.run(), writer.run(), run_forever(jobs)):
            stack.push_async_callback(_end, asyncio.create_task(work))
        settled = follower.settled

        def file_names() -> Collection[str]:
            return access.policy.identities.keys()

        names = PushedNames(store)
        principals = Principals(database, settled)
        yield CatalogServices(
            namespaces=Namespaces(database, names, settled, partial(_announce, store)),
            environments=Environments(database, names, settled, nudged.set),
            versions=Versions(database, settled, nudged.set),
            events=Events(database, follower.changed),
            grants=Grants(database, settled),
            tokens=tokens,
            principals=principals,
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


async def _packages_of(
    lock_of: Callable[[str], Awaitable[Lock | None]], key: str
) -> Sequence[LockedPackage]:
    lock = await lock_of(key)
    if lock is None:
        return []
    found = [
        LockedPackage(subdir, "conda", one.name, one.version, one.build, one.channel_url)
        for subdir, records in lock.platforms.items()
        for one in records
    ]
    return found + [
        LockedPackage(subdir, "pypi", one.name, one.version, "", "")
        for subdir, wheels in lock.wheels.items()
        for one in wheels
    ]
