"""Administrators of the service: there is always one left who can log in."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.policy import Identity, Policy
from registry.auth.roles import service_role_of_rights
from registry.auth.secret import kind_of_hash
from registry.database import Database, tables
from registry.errors import LastAdministrator

#: Whoever is among so many is enough to know that there is one.
_ENOUGH: Final = 100


class Administrators:
    """Knows who administers the service, by the auth file and by grants.

    People alone count: a robot logs in at no page, and nobody can ask it for help.

    Args:
        database: Has the grants, and who is disabled.
        policy: Returns what the auth file says.
    """

    def __init__(self, database: Database, policy: Callable[[], Policy] = Policy) -> None:
        self._database = database
        self._policy = policy

    @asynccontextmanager
    async def kept(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Refuse what is done inside if no administrator is left by it.

        The transaction is one after another (:meth:`Database.writing`): of two administrators who
        disable each other, one stays.

        Raises:
            LastAdministrator: There was one before, and is none after.
        """
        before = await self.names(connection)
        yield
        if before and not await self.names(connection):
            raise LastAdministrator(min(before))

    async def names(self, connection: AsyncConnection) -> set[str]:
        """Return people who are administrators and not disabled: some of them, if they are many."""
        now = self._database.now()
        policy = self._policy()
        of_file = {
            one.name
            for one in policy.identities.values()
            if _is_person(one)
            and not one.is_expired(now.timestamp())
            and service_role_of_rights(one.rights) == "administrator"
        }
        person, grant, member = tables.principal, tables.grant, tables.membership
        theirs = select(member.c.group_name).where(member.c.principal_name == person.c.name)
        holds = (
            select(grant.c.id)
            .where(
                grant.c.role == "administrator",
                or_(grant.c.expires_at.is_(None), grant.c.expires_at > now),
                or_(
                    and_(grant.c.subject_kind == "user", grant.c.subject == person.c.name),
                    and_(grant.c.subject_kind == "group", grant.c.subject.in_(theirs)),
                ),
            )
            .exists()
        )
        granted = (
            select(person.c.name, person.c.source)
            .where(person.c.kind == "human", person.c.disabled_at.is_(None), holds)
            .limit(_ENOUGH)
        )
        disabled = select(person.c.name).where(
            person.c.name.in_(of_file), person.c.disabled_at.is_not(None)
        )
        found = of_file - set((await connection.execute(disabled)).scalars())
        for name, source in await connection.execute(granted):
            known = policy.identities.get(name)
            if known is None and source == "file":  # was removed from the file: nobody any more
                continue
            if known is None or not known.is_expired(now.timestamp()):
                found.add(name)
        return found


def _is_person(identity: Identity) -> bool:
    return kind_of_hash(identity.hashed) == "password"
