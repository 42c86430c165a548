"""How much there is in the whole catalog."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from registry.catalog.records import State
from registry.database import Database, tables


@dataclass(frozen=True, slots=True)
class CatalogCounts:
    """What is counted; what was deleted is not."""

    environments: int
    #: By state: of a state that no version is in, there is none.
    versions: Mapping[State, int]
    #: What the images of all namespaces take, as it was measured last for each.
    size_bytes: int


class Counts:
    """Counts; raises :class:`~registry.errors.DatabaseUnavailable` when it does not answer.

    Args:
        database: Where all is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> CatalogCounts:
        """Return what there is at this moment."""
        version, environment, namespace = tables.version, tables.environment, tables.namespace
        environments = select(func.count()).where(environment.c.deleted_at.is_(None))
        versions = (
            select(version.c.state, func.count())
            .join(environment, environment.c.id == version.c.environment_id)
            .where(version.c.deleted_at.is_(None), environment.c.deleted_at.is_(None))
            .group_by(version.c.state)
        )
        size = select(func.coalesce(func.sum(namespace.c.size_bytes), 0)).where(
            namespace.c.deleted_at.is_(None)
        )
        async with self._database.reading() as connection:
            return CatalogCounts(
                int((await connection.execute(environments)).scalar_one()),
                {state: int(count) for state, count in await connection.execute(versions)},
                int((await connection.execute(size)).scalar_one()),
            )
