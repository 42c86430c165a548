"""What the catalog needs of others."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from registry.requests.requests import RequirePull


class RepositoryNames(Protocol):
    """Knows which repositories were pushed to."""

    async def has_repository(self, name: str) -> bool:
        """Tell whether anything was pushed to ``name`` or to a repository below it.

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


#: Returns once every server that is alive has seen a change, or after two seconds.
Settled = Callable[[int], Awaitable[None]]


async def settled_nowhere(_change: int, /) -> None:
    """Return at once: for where no server follows, as in the command line."""
