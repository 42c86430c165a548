"""Grants: who gave which role to whom."""

from collections.abc import Sequence
from datetime import datetime

from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, GrantRecord, SubjectKind
from registry.database import Database


class Grants:
    """Gives roles and takes them; who may is decided by the caller.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
    """

    def __init__(self, database: Database, settled: Settled = settled_nowhere) -> None:
        self._database = database
        self._settled = settled

    async def give(
        self,
        actor: Actor,
        *,
        subject_kind: SubjectKind,
        subject: str | None,
        namespace_glob: str,
        environment_glob: str = "*",
        role: str,
        expires_at: datetime | None = None,
        source: str = "api",
    ) -> GrantRecord:
        """Return the grant, on every server from now on; one on the same globs is replaced.

        Args:
            actor: Who gives it.
            subject_kind: Whom it is for.
            subject: The user's or group's name; ``None`` for the other kinds.
            namespace_glob: Slugs of namespaces; ``*`` stands for any characters.
            environment_glob: Slugs of environments.
            role: ``viewer``, ``editor``, ``admin`` or ``owner``; for the whole service,
                ``administrator`` or ``auditor``.
            expires_at: When it ends; ``None``: never.
            source: Where it comes from.

        Raises:
            GrantInvalid: There is no such role, or subject, or the globs cannot match anything.
        """
        raise NotImplementedError

    async def list(self, namespace: str | None = None) -> Sequence[GrantRecord]:
        """Return the grants whose globs match a namespace; ``None``: all."""
        raise NotImplementedError

    async def get(self, grant: int) -> GrantRecord:
        """Return a grant.

        Raises:
            GrantUnknown: There is none.
        """
        raise NotImplementedError

    async def take(self, actor: Actor, grant: int) -> None:
        """Take a grant back, on every server from now on.

        Raises:
            GrantUnknown: There is none.
        """
        raise NotImplementedError
