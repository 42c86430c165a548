"""What the catalog needs of others."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.catalog.records import GrantRecord, TokenInfo
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
        self, data: bytes, *, may_pull: RequirePull, renew: bool = False, pin: bool = False
    ) -> RequestStatus:
        """Return how far the request for what ``data`` asks is, begun now if it is a new one."""
        ...

    async def next(self, seen: RequestStatus, timeout_seconds: float) -> RequestStatus:
        """Return the status as soon as it is another than ``seen``, or in time."""
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
    channel: str


#: Returns the packages of the lock with a key.
PackagesOf = Callable[[str], Awaitable[Sequence[LockedPackage]]]


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


#: Writes into the store that there is a namespace, if that is not there.
Announce = Callable[[str], Awaitable[None]]


async def announce_nowhere(_slug: str, /) -> None:
    """Return at once: for where there is no store; servers write it soon after."""


#: Returns once every server that is alive has seen a change, or after two seconds.
Settled = Callable[[int], Awaitable[None]]


async def settled_nowhere(_change: int, /) -> None:
    """Return at once: for where no server follows, as in the command line."""
