"""What the catalog needs of others."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from builder.lock import Lock
from builder.rules.model import Rules
from registry.catalog.records import GrantRecord, TokenInfo
from registry.errors import PolicyTextInvalid
from registry.policy.policy import Policy
from registry.policy.waivers import Waiver
from registry.requests.requests import RequirePull
from registry.requests.status import RequestStatus
from registry.sources.directory import Pointer


class RepositoryNames(Protocol):
    """Knows which repositories were pushed to."""

    async def has_repository(self, name: str) -> bool:
        """Tell whether anything was pushed to ``name`` or, of a namespace, below it.

        Raises:
            ContentUnavailable: The store does not answer.
        """
        ...


class MayPull(Protocol):
    """Says who may take a pushed base."""

    def __call__(self, principal: str | None, /) -> RequirePull:
        """Return what raises an error for a repository that ``principal`` may not pull from.

        What they may do at the moment counts, not what they could when they asked. ``None``:
        whoever has not logged in.
        """
        ...


class Requests(Protocol):
    """Has builds made; :class:`registry.requests.requests.BuildRequests`."""

    async def ask(
        self,
        data: bytes,
        *,
        may_pull: RequirePull,
        renew: bool = False,
        pin: bool = False,
        rules: Rules | None = None,
    ) -> RequestStatus:
        """Return how far the request for what ``data`` asks is, begun now if it is a new one."""
        ...

    async def next(self, seen: RequestStatus, timeout_seconds: float) -> RequestStatus:
        """Return the status as soon as it is another than ``seen``, or in time."""
        ...


class Specifications(Protocol):
    """Reads what files ask for; :class:`registry.requests.requests.BuildRequests`."""

    async def check(self, data: bytes, *, may_pull: RequirePull) -> None:
        """Return if ``data`` can be read and its base be had; nothing is kept.

        Raises:
            RegistryError: The base may not be pulled.
            BuilderError: It cannot be read, or asks for what is not offered.
        """
        ...


class LockKeeper(Protocol):
    """Keeps locks of other tools; :class:`registry.requests.sent_locks.SentLocks`."""

    async def keep(self, data: bytes) -> Lock:
        """Return the lock that ``data`` is, of which an image can be made from now on.

        Raises:
            BuilderError: It is none, or cannot be used here.
        """
        ...


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package that a lock has."""

    platform: str
    #: ``conda`` or ``pypi``.
    manager: str
    name: str
    version: str
    build: str
    #: The channel's address; empty of a wheel.
    channel: str
    #: As the index says it; empty: nothing is said.
    licence: str = ""
    #: In milliseconds since 1970; ``None``: nobody says.
    published_ms: int | None = None
    #: The project of PyPI that it is made of, normalized; empty: none.
    project: str = ""
    #: 0: nobody says.
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LockContent:
    """What a lock has."""

    packages: Sequence[LockedPackage] = ()
    #: The reference of the base image; empty: there is none.
    base: str = ""


#: Returns what the lock with a key has; nothing, if there is no such lock.
ContentOf = Callable[[str], Awaitable[LockContent]]


class Directory(Protocol):
    """Knows in memory where environments lead to."""

    def put(self, pointer: Pointer, /) -> None:
        """Have an environment lead there."""
        ...

    def remove(self, namespace: str, environment: str, /) -> None:
        """Forget an environment; harmless if it is not known."""
        ...

    def put_namespace(self, slug: str, /) -> None:
        """Know a namespace."""
        ...

    def remove_namespace(self, slug: str, /) -> None:
        """Forget a namespace; harmless if it is not known."""
        ...


class Blocks(Protocol):
    """Knows in memory which builds are blocked; :class:`registry.images.blocked.BlockedBuilds`."""

    def put(self, key: str, reason: str, /) -> None:
        """Have nobody get a build, nor its variants; harmless if that is so already."""
        ...

    def remove(self, key: str, /) -> None:
        """Let a build be had again; harmless if it is not blocked."""
        ...

    def keys(self) -> frozenset[str]:
        """Return the keys of all builds that are blocked."""
        ...


class Documents(Protocol):
    """Has in the store what servers must know that do not reach the database."""

    def namespaces(self) -> AsyncIterator[str]:
        """Yield the slugs of all namespaces.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        ...

    def pointers(self) -> AsyncIterator[Pointer]:
        """Yield where environments lead to.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        ...


class Entitlements(Protocol):
    """Knows in memory who may do what. Each method is harmless for what it knows already."""

    def put_grant(self, grant: GrantRecord, /) -> None:
        """Know a grant; one of the same number is replaced."""
        ...

    def remove_grant(self, grant: int, /) -> None:
        """Forget a grant."""
        ...

    def put_token(self, token: TokenInfo, /) -> None:
        """Know a token that was not revoked; it may have ended."""
        ...

    def remove_token(self, token: int, /) -> None:
        """Refuse a token from now on."""
        ...

    def put_principal(
        self, name: str, /, *, is_disabled: bool, groups: Sequence[str], is_of_file: bool = False
    ) -> None:
        """Know the groups of somebody, and whether they are refused.

        Args:
            name: Who.
            is_disabled: Nothing of theirs is good for anything.
            groups: All that they are in.
            is_of_file: They are somebody as long as the auth file has them.
        """
        ...

    def put_signing_key(self, key: str, /) -> None:
        """Know what signs bearer tokens where the auth file has no key."""
        ...

    def set_known(self, is_known: bool, /) -> None:
        """Know whether what was told is all that there is."""
        ...


class HeldWaivers(Protocol):
    """Knows in memory which waivers hold; :class:`registry.policy.book.PolicyBook`."""

    def put_waiver(self, waiver: Waiver, /) -> None:
        """Know a waiver, in place of the one with its number."""
        ...

    def remove_waiver(self, number: int, /) -> None:
        """Forget a waiver; harmless if there is none."""
        ...


class HeldPolicies(Protocol):
    """Knows in memory which policies hold; :class:`registry.policy.book.PolicyBook`."""

    def put_policy(self, policy: Policy, /) -> None:
        """Know a policy, in place of the one with its name and namespace."""
        ...

    def remove_policy(self, name: str, namespace: str | None = None, /) -> None:
        """Forget a policy; harmless if there is none."""
        ...

    def put_problems(self, place: str, problems: Iterable[PolicyTextInvalid], /) -> None:
        """Know what of a place cannot be used, and nothing else of it."""
        ...


class HeldBook(HeldPolicies, HeldWaivers, Protocol):
    """Knows in memory what holds for builds."""


#: Writes into the store that there is a namespace, if that is not there.
Announce = Callable[[str], Awaitable[None]]


async def announce_nowhere(_slug: str, /) -> None:
    """Return at once: for where there is no store; servers write it soon after."""


#: Returns once every server that is alive has seen a change, or after two seconds.
Settled = Callable[[int], Awaitable[None]]


async def settled_nowhere(_change: int, /) -> None:
    """Return at once: for where no server follows, as in the command line."""
