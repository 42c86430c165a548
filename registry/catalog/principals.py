"""Principals and groups: who logs in, and with whom they belong."""

from collections.abc import Sequence

from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Principal, PrincipalKind
from registry.database import Database


class Principals:
    """Keeps people, robots, groups and who is in them.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
    """

    def __init__(self, database: Database, settled: Settled = settled_nowhere) -> None:
        self._database = database
        self._settled = settled

    async def create(
        self,
        actor: Actor,
        name: str,
        *,
        kind: PrincipalKind = "human",
        display_name: str = "",
        email: str = "",
        source: str = "database",
        password_hash: str | None = None,
    ) -> Principal:
        """Return a new principal.

        Raises:
            CatalogNameTaken: There is one of that name.
        """
        raise NotImplementedError

    async def get(self, name: str) -> Principal:
        """Return a principal.

        Raises:
            PrincipalUnknown: There is none.
        """
        raise NotImplementedError

    async def list(
        self, *, search: str = "", after: str | None = None, limit: int = 50
    ) -> Sequence[Principal]:
        """Return those whose name comes after ``after``, by name."""
        raise NotImplementedError

    async def log_in_oidc(
        self,
        issuer: str,
        subject: str,
        name: str,
        *,
        display_name: str = "",
        email: str = "",
        groups: Sequence[str] | None = None,
    ) -> Principal:
        """Return whom an identity of an OIDC provider stands for; made at the first login.

        Its groups of that provider become exactly ``groups``; ``None`` leaves them.

        Raises:
            CatalogNameTaken: The name is that of somebody with another identity.
        """
        raise NotImplementedError

    async def set_disabled(self, actor: Actor, name: str, *, is_disabled: bool) -> Principal:
        """Return the principal, refused at every door from now on, or let in again.

        Raises:
            PrincipalUnknown: There is none.
        """
        raise NotImplementedError

    async def groups_of(self, name: str) -> Sequence[str]:
        """Return the groups that somebody is in, by name."""
        raise NotImplementedError

    async def add_member(self, actor: Actor, group: str, name: str) -> None:
        """Put somebody into a group, which is made if there is none. Idempotent."""
        raise NotImplementedError

    async def remove_member(self, actor: Actor, group: str, name: str) -> None:
        """Take somebody out of a group. Idempotent."""
        raise NotImplementedError
