"""Environments that files define: what is told of that, and what is refused elsewhere.

They are changed in their file. Elsewhere their text, name and place are not: an edit becomes a
proposal, if the source says so. Their text can be solved again, and going back to an earlier
version in an emergency is allowed; the next change of the file counts again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.records import Environment
from registry.catalog.source_records import Management
from registry.database import Database, tables
from registry.errors import EnvironmentManaged


class Managements:
    """Tells which files define environments.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, environments: Iterable[Environment]) -> Mapping[int, Management]:
        """Return the files that define environments, by the environments' numbers.

        Args:
            environments: A page of them; those that no file defines are in no answer.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        numbers = [one.id for one in environments if one.source_id is not None]
        if not numbers:
            return {}
        statement = _managements().where(tables.environment.c.id.in_(numbers))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.environment_id: _management_of(row) for row in rows}


async def require_unmanaged(connection: AsyncConnection, environment: Row[Any]) -> None:
    """Return if an environment may be changed here.

    Args:
        connection: Of the transaction.
        environment: Its row.

    Raises:
        EnvironmentManaged: A file defines it.
    """
    row = await _row(connection, environment)
    if row is not None:
        advice = "rename, move or remove the file, or delete the source first"
        raise EnvironmentManaged(environment.path, row.path, row.source, advice=advice)


async def edit_is_proposed(connection: AsyncConnection, environment: Row[Any], sha256: str) -> bool:
    """Tell whether a text that is sent here waits as a proposal, as a file defines the environment.

    Args:
        connection: Of the transaction.
        environment: Its row.
        sha256: Of the text; that of the file is no edit.

    Raises:
        EnvironmentManaged: It is refused.
    """
    row = await _row(connection, environment)
    if row is None or row.sha256 == sha256:
        return False
    if row.edits != "propose":
        raise EnvironmentManaged(environment.path, row.path, row.source, advice="change it there")
    return True


async def _row(connection: AsyncConnection, environment: Row[Any]) -> Row[Any] | None:
    if environment.source_id is None:
        return None
    mine = tables.environment.c.id == environment.id
    return (await connection.execute(_managements().where(mine))).first()


def _managements() -> Select[Any]:
    """Return what finds the file of each environment that one defines."""
    place, file, source = tables.environment, tables.source_file, tables.source
    of_it = and_(
        file.c.source_id == place.c.source_id,
        file.c.environment_id == place.c.id,
        file.c.gone_at.is_(None),
    )
    return (
        select(
            file.c.environment_id,
            file.c.path,
            file.c.sha256,
            file.c.problem,
            source.c.id.label("source_id"),
            source.c.name.label("source"),
            source.c.problem.label("source_problem"),
            source.c.edits,
        )
        .select_from(place)
        .join(file, of_it)
        .join(source, and_(source.c.id == place.c.source_id, source.c.deleted_at.is_(None)))
    )


def _management_of(row: Row[Any]) -> Management:
    return Management(
        row.source_id,
        row.source,
        row.path,
        row.problem or row.source_problem,
        row.edits,
        is_of_source=bool(row.source_problem and not row.problem),
    )
