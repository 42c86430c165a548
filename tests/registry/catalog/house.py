"""The catalog over a database, with stand-ins for what builds and for what servers know."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from builder.errors import PolicyRefused, Refusal
from builder.lock import Told
from builder.rules.model import NO_RULES, Rules
from registry.catalog.contents import VersionContents
from registry.catalog.differences import VersionDifferences
from registry.catalog.due_schedules import DueSchedules
from registry.catalog.environments import Environments
from registry.catalog.events import Events
from registry.catalog.follower import Follower
from registry.catalog.grants import Grants
from registry.catalog.idempotency import Idempotency
from registry.catalog.namespaces import Namespaces
from registry.catalog.overviews import Overviews
from registry.catalog.package_users import PackageDirectory
from registry.catalog.ports import LockContent, LockedPackage
from registry.catalog.principals import Principals
from registry.catalog.proposals import Proposals
from registry.catalog.records import (
    EVERYTHING,
    Actor,
    Environment,
    GrantRecord,
    State,
    TokenInfo,
    Version,
)
from registry.catalog.runner import VersionRunner
from registry.catalog.schedules import Schedules
from registry.catalog.tokens import TokenStore
from registry.catalog.versions import Versions
from registry.catalog.waiver_ends import WaiverEnds
from registry.catalog.waivers import Waivers
from registry.database import Database
from registry.errors import Denied
from registry.images.failure import Failure
from registry.policy.book import PolicyBook
from registry.requests.requests import RequirePull
from registry.requests.status import RequestStatus
from registry.requests.wanted import Kind, Wanted
from registry.sources.directory import Pointer

ADA = Actor("ada", address="192.0.2.1")
BOB = Actor("bob")


def key_of(data: bytes) -> str:
    """Return the key that a specification is built as, where nothing else is said."""
    return hashlib.sha256(data).hexdigest()[:32]


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Pushed:
    """Knows which repositories were pushed to."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def has_repository(self, name: str) -> bool:
        return any(one == name or one.startswith(f"{name}/") for one in self.names)


class ScriptedRequests:
    """Has builds made as a test says: at once, or when it lets them end."""

    def __init__(self) -> None:
        self.keys: dict[bytes, str] = {}
        self.failures: dict[bytes, str] = {}
        #: What a policy refuses, until it is let pass.
        self.refusals: dict[bytes, Refusal] = {}
        #: Which rules hold; by them it is known what is let pass.
        self.rules: Callable[[], Rules] = lambda: NO_RULES
        self.errors: dict[bytes, Exception] = {}
        #: Those that wait until they are let go.
        self.held: dict[bytes, asyncio.Event] = {}
        self.asked: list[tuple[bytes, bool]] = []
        #: By which rules each was asked for last.
        self.asked_by: dict[bytes, Rules | None] = {}
        #: What policies did.
        self.told: dict[bytes, Told] = {}
        self._data: dict[str, bytes] = {}

    def hold(self, data: bytes) -> asyncio.Event:
        """Have the request for ``data`` wait, and return what lets it end."""
        self.held[data] = asyncio.Event()
        return self.held[data]

    async def ask(
        self,
        data: bytes,
        *,
        may_pull: RequirePull,
        renew: bool = False,
        pin: bool = False,
        rules: Rules | None = None,
    ) -> RequestStatus:
        self.asked_by[data] = rules
        self.asked.append((data, renew))
        if data in self.errors:
            raise self.errors[data]
        if data.startswith(b"registry:"):
            await may_pull(data.decode().removeprefix("registry:"))
        status = RequestStatus(key_of(b"request" + data))
        self._data[status.id] = data
        return status

    async def next(self, seen: RequestStatus, timeout_seconds: float) -> RequestStatus:
        data = self._data[seen.id]
        if data in self.held:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self.held[data].wait()
            except TimeoutError:
                return seen
        refusal = self.refusals.get(data)
        if refusal is not None and not _is_exempt(refusal, self.rules()):
            error = PolicyRefused("it is refused", refusal)
            return replace(seen, state="failed", failure=Failure.of(error))
        if data in self.failures:
            return replace(seen, state="failed", failure=Failure("", self.failures[data]))
        told = self.told.get(data, Told())
        return replace(seen, state="done", key=self.keys.get(data, key_of(data)), told=told)


def _is_exempt(refusal: Refusal, rules: Rules) -> bool:
    passed = {(one.policy, one.manager, one.spec) for one in rules.exemptions}
    return bool(refusal.packages) and all(
        (refusal.policy, refusal.manager, spec) in passed for spec in refusal.packages
    )


class Memory:
    """What a server knows: where environments lead to, and who may do what."""

    def __init__(self) -> None:
        self.pointers: dict[str, Pointer] = {}
        self.namespaces: set[str] = set()
        self.grants: dict[int, GrantRecord] = {}
        self.tokens: dict[int, TokenInfo] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.disabled: set[str] = set()
        self.of_file: set[str] = set()
        self.signing_key = ""
        self.is_known = True

    def put(self, pointer: Pointer) -> None:
        self.pointers[f"{pointer.namespace}/{pointer.environment}"] = pointer

    def remove(self, namespace: str, environment: str) -> None:
        self.pointers.pop(f"{namespace}/{environment}", None)

    def put_namespace(self, slug: str) -> None:
        self.namespaces.add(slug)

    def remove_namespace(self, slug: str) -> None:
        self.namespaces.discard(slug)

    def put_grant(self, grant: GrantRecord) -> None:
        self.grants[grant.id] = grant

    def remove_grant(self, grant: int) -> None:
        self.grants.pop(grant, None)

    def put_token(self, token: TokenInfo) -> None:
        self.tokens[token.id] = token

    def remove_token(self, token: int) -> None:
        self.tokens.pop(token, None)

    def put_principal(
        self, name: str, *, is_disabled: bool, groups: Sequence[str], is_of_file: bool = False
    ) -> None:
        (self.of_file.add if is_of_file else self.of_file.discard)(name)
        self.groups[name] = tuple(groups)
        (self.disabled.add if is_disabled else self.disabled.discard)(name)

    def put_signing_key(self, key: str) -> None:
        self.signing_key = key

    def set_known(self, is_known: bool) -> None:
        self.is_known = is_known


def no_repository_is_open(principal: str | None) -> RequirePull:
    """Refuse every base to everybody but ada."""

    async def require(repository: str) -> None:
        if principal != "ada":
            raise Denied(f"'{principal}' may not pull {repository}")

    return require


class House:
    """The whole catalog over one database."""

    def __init__(self, database: Database, server: str = "one") -> None:
        self.database = database
        self.pushed = Pushed()
        self.requests = ScriptedRequests()
        self.memory = Memory()
        self.packages: dict[str, list[LockedPackage]] = {}
        self.book = PolicyBook(database.now)
        self.follower = Follower(database, self.memory, self.memory, server, book=self.book)
        settled = self.follower.settled
        self.namespaces = Namespaces(database, self.pushed, settled)
        self.environments = Environments(database, self.pushed, settled)
        self.runner = VersionRunner(
            database,
            self.requests,
            no_repository_is_open,
            self.content_of,
            server,
            settled=settled,
            caught_up=self.follower.catch_up,
            rules_of=self.book,
        )
        self.versions = Versions(database, settled, self.runner.nudge)
        self.contents = VersionContents(database, {"http://channel.test/main": "main"})
        self.differences = VersionDifferences(database)
        self.overviews = Overviews(database)
        self.directory = PackageDirectory(database)
        self.events = Events(database, self.follower.changed)
        self.grants = Grants(database, settled)
        self.tokens = TokenStore(database, settled)
        self.principals = Principals(database, settled)
        self.idempotency = Idempotency(database)
        self.waivers = Waivers(database, self.book.policies_of, settled, self.runner.nudge)
        self.ends = WaiverEnds(database, settled)
        #: What a text is, where it is no specification.
        self.kinds: dict[bytes, Kind] = {}
        self.schedules = Schedules(database, self.wanted_of, self.runner.nudge)
        self.due_schedules = DueSchedules(database, self.wanted_of, self.runner.nudge)
        #: Which builds nobody may have, for a reason that no row of theirs says.
        self.variants_blocked: set[str] = set()
        self.proposals = Proposals(database, settled, self.blocked)

    async def blocked(self, key: str) -> str | None:
        return "it is blocked" if key in self.variants_blocked else None

    async def content_of(self, key: str) -> LockContent:
        return LockContent(self.packages.get(key, ()))

    async def wanted_of(self, _sha256: str, data: Callable[[], Awaitable[bytes]]) -> Wanted:
        return Wanted(self.kinds.get(await data(), "specification"))

    async def environment(self, path: str = "analytics/forecast") -> Environment:
        """Make an environment, and its namespace if there is none."""
        namespace, _, name = path.partition("/")
        if namespace not in {one.slug for one in (await self.namespaces.list(EVERYTHING)).items}:
            await self.namespaces.create(ADA, namespace, owner="ada")
        return await self.environments.create(ADA, namespace, name)

    async def built(self, path: str, data: bytes) -> Version:
        """Ask for a version and have it made."""
        namespace, _, name = path.partition("/")
        version, _ = await self.versions.ask(ADA, namespace, name, data)
        return await self.ended(path, version.number)

    async def ended(self, path: str, number: int, state: State | None = None) -> Version:
        """Run the runner until a version has ended, and return it."""
        running = asyncio.create_task(self.runner.run())
        try:
            return await self.reached(path, number, state)
        finally:
            await stop(running)

    async def reached(self, path: str, number: int, state: State | None = None) -> Version:
        """Return a version when it has ended, or is in a state."""
        namespace, _, name = path.partition("/")
        async with asyncio.timeout(20):
            while True:
                version = await self.versions.get(namespace, name, number)
                if version.state == state or (state is None and version.has_ended):
                    return version
                await asyncio.sleep(0.01)

    async def actions(self, path: str | None = None) -> list[str]:
        """Return what happened, in order."""
        namespace, _, name = (path or "").partition("/")
        events = await self.events.list(
            visible=EVERYTHING, namespace=namespace or None, environment=name or None, limit=500
        )
        return [event.action for event in events]
