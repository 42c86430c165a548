"""Versions by the numbers of their rows, which clients of conda-store call builds by."""

from dataclasses import dataclass

from sqlalchemy import select

from registry.catalog.lookup import MAX_NUMBER, environment_row, version_row
from registry.database import Database, tables
from registry.errors import EndpointUnknown


@dataclass(frozen=True, slots=True)
class BuildPlace:
    """Where a build is."""

    #: The number of the version's row: no other version ever has it.
    id: int
    #: Slugs.
    namespace: str
    environment: str
    #: The version's, in its environment.
    number: int

    @property
    def path(self) -> str:
        """The path of its environment, e.g. ``"analytics/forecast"``."""
        return f"{self.namespace}/{self.environment}"


class BuildIds:
    """Finds versions by the numbers of their rows, and the other way round.

    Both methods raise :class:`~registry.errors.DatabaseUnavailable` when it does not answer. What
    whoever asks may see is the caller's business.

    Args:
        database: Where versions are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, build_id: int) -> BuildPlace:
        """Return where a build is.

        Raises:
            EndpointUnknown: There is none of that number, or it was deleted, as its environment may
                be.
        """
        version, environment = tables.version, tables.environment
        if not 0 < build_id <= MAX_NUMBER:
            raise unknown_build(build_id)
        statement = (
            select(version.c.number, environment.c.path)
            .join(environment, environment.c.id == version.c.environment_id)
            .where(
                version.c.id == build_id,
                version.c.deleted_at.is_(None),
                environment.c.deleted_at.is_(None),
            )
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            raise unknown_build(build_id)
        namespace, _, slug = row.path.partition("/")
        return BuildPlace(build_id, namespace, slug, row.number)

    async def id_of(self, namespace: str, environment: str, number: int) -> int:
        """Return the number of the row of a version.

        Raises:
            EnvironmentUnknown: There is no environment of these slugs.
            VersionUnknown: It has no version of that number.
        """
        async with self._database.reading() as connection:
            found = await environment_row(connection, namespace, environment)
            return int((await version_row(connection, found, number)).id)


def unknown_build(build_id: int) -> EndpointUnknown:
    """Return what is said of a build that there is not, or that one may not know of."""
    return EndpointUnknown(f"there is no build {build_id} that you may see")
